//  Commands that several processes carry out together, each with a part of the model.
//
//  Rank 0 runs the command as if it were alone: it has the terminal, the files and the network. The
//  others load the same model, compute their part of every pass, and end when rank 0 does.

import ArgumentParser
import Duality
import DualityCore
import DualityParallel
import Foundation
import Synchronization

/// On how many ranks.
struct RankOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Processes that compute the model together, with the same results as one: mpirun -n N --bind-to none duality ... (default: as many as mpirun has started; docs/parallel.md).",
            valueName: "n"))
    var tensorParallel: Int?
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Seconds that a process waits for another within a pass before all of them end.", valueName: "s"))
    var rankTimeout = 60.0
    @Option(
        name: .long,
        help: ArgumentHelp(
            "What processes send each other, with the same results: float32, int8 (of products in int8 and int4 the rounded activations), or auto by the network's speed.",
            valueName: "form"))
    var wire = RankWire.Form.auto

    func validate() throws {
        if let tensorParallel, tensorParallel < 1 { throw ValidationError("--tensor-parallel must be at least 1.") }
        guard rankTimeout > 0 else { throw ValidationError("--rank-timeout must be more than 0.") }
    }
}

/// A command whose model may be on several ranks.
protocol RankedCommand {
    var ranks: RankOptions { get }
    /// Whether it loads a model as it was called.
    var loadsModel: Bool { get }
    /// Whether processes without `--tensor-parallel` share out its cases, with a whole model each.
    var isCampaign: Bool { get }
    /// The model that it loads.
    func modelLoader() throws -> ModelLoader
}

extension RankedCommand {
    var loadsModel: Bool { true }
    var isCampaign: Bool { false }
}

/// This process among those that were started together.
enum RankLaunch {
    private struct State {
        var world: ParallelWorld?
        var isCampaign = false
        var wire = RankWire.Form.auto
        /// Ends the waiting of the other ranks.
        var endRanks: (@Sendable () -> Void)?
    }

    private static let state = Mutex(State())

    /// Nil where the process is alone.
    static var world: ParallelWorld? { state.withLock { $0.world } }

    /// The others that compute the model with this process.
    static var exchange: (any RankExchange)? { state.withLock { $0.isCampaign ? nil : $0.world?.exchange } }

    /// What they send each other.
    static var wire: RankWire.Form { state.withLock { $0.wire } }

    /// This process's share of a campaign's cases; nil for all.
    static var campaign: CaseShare? { state.withLock { $0.isCampaign ? $0.world.map { CaseShare($0.exchange) } : nil } }

    /// Whether this process prints and writes.
    static var isFirst: Bool { world.map { $0.rank == 0 } ?? true }

    /// Whether this process is to carry out the command: it is alone, or rank 0. The other ranks
    /// have done their part of it when this returns.
    static func begin(_ parsed: any ParsableCommand) throws -> Bool {
        let launched = ParallelWorld.launchedCount
        guard let command = parsed as? any RankedCommand, command.loadsModel else {
            if let launched, launched > 1, ParallelWorld.launchedRank == 0 {
                Terminal.note(
                    "note: \(type(of: parsed)._commandName) has no ranks: each of \(launched) processes does all of it")
            }
            return true
        }
        let asked = command.ranks.tensorParallel
        let count = asked ?? launched ?? 1
        guard count > 1 || (launched ?? 1) > 1 else { return true }
        guard ParallelWorld.isBuilt else {
            throw InputError(
                .unsupported, in: asked == nil ? "mpirun" : "--tensor-parallel",
                expected: "a build with MPI", found: "one without it",
                remedy: "Build with: \(ParallelWorld.buildCommand)")
        }
        let world = try ParallelWorld.start(timeout: command.ranks.rankTimeout)
        let isCampaign = command.isCampaign && asked == nil
        state.withLock { ($0.world, $0.isCampaign, $0.wire) = (world, isCampaign, command.ranks.wire) }
        try world.requireCount(count)
        if let warning = world.bindingWarning { Terminal.note("warning: rank \(world.rank) is \(warning)") }
        if isCampaign { return true }
        guard world.rank > 0 else {
            if asked == nil { Terminal.note("--tensor-parallel \(count): as many processes as were started") }
            return true
        }
        try command.modelLoader().loadFast().follow()
        world.finish()
        return false
    }

    /// Remembers the model that the other ranks wait for.
    static func loaded(_ model: QuantModel) {
        let end = model.endOfRanks
        let isNew = state.withLock { state in
            guard state.world != nil, !state.isCampaign, state.endRanks == nil else { return false }
            state.endRanks = end
            return true
        }
        if isNew, model.rankCount > 1 { Terminal.note("\(model.rankCount) ranks, --wire \(model.wire.text)") }
    }

    /// Ends the other ranks where they wait for work, and MPI. Ranks that wait for a model which
    /// rank 0 has not loaded are ended with it.
    static func end(status: Int32 = 0) {
        let (world, isCampaign, endRanks) = state.withLock { ($0.world, $0.isCampaign, $0.endRanks) }
        guard let world else { return }
        if let endRanks {
            endRanks()
        } else if world.count > 1, !isCampaign {
            world.abort(status)
        }
        world.finish()
    }

    /// Says what went wrong and ends all ranks.
    static func fail(_ text: String, status: Int32) -> Never {
        let (world, endRanks) = state.withLock { ($0.world, $0.endRanks) }
        if let world, world.rank > 0 {
            // What is wrong on all ranks is said by the first.
            usleep(500_000)
            Terminal.note(text)
            world.abort(status)
        }
        Terminal.note(text)
        guard let world, world.count > 1 else { Foundation.exit(status) }
        guard let endRanks else { world.abort(status) }
        endRanks()
        world.finish()
        Foundation.exit(status)
    }
}
