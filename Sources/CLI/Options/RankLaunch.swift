//  This process among those that a launcher has started together: its beginning, its part, its end.

import ArgumentParser
import Duality
import DualityCore
import DualityMeasure
import DualityParallel
import DualityVerify
import Foundation
import Synchronization

/// Set where the launcher ends all ranks, as it does when one of them has died.
private let terminated = Atomic<Bool>(false)

/// This process among those that were started together.
enum RankLaunch {
    private struct State {
        var world: ParallelWorld?
        var isCampaign = false
        var wire = RankWire.Form.auto
        var balance = RankBalance.equal
        var stages = 1
        var timeout = 60.0
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

    /// How much of the model each of them has.
    static var balance: RankBalance { state.withLock { $0.balance } }

    /// Into how many ranges of layers they divide it.
    static var stages: Int { state.withLock { $0.stages } }

    /// Seconds without a word after which a rank is taken for lost.
    static var timeout: Double { state.withLock { $0.timeout } }

    /// What hands out the cases of a campaign, to the threads of this process where it is alone.
    static var desk: CaseDesk {
        let (world, timeout) = state.withLock { ($0.isCampaign ? $0.world : nil, $0.timeout) }
        return CaseDesk(
            world?.exchange, workers: world?.defaultThreads ?? ThreadPool.defaultThreadCount, timeout: timeout,
            isCut: { terminated.load(ordering: .relaxed) })
    }

    /// This process's share of a campaign's cases; nil for all.
    static var campaign: CaseShare? { state.withLock { $0.isCampaign ? $0.world.map { CaseShare($0.exchange) } : nil } }

    /// Whether this process prints and writes.
    static var isFirst: Bool { world.map { $0.rank == 0 } ?? true }

    /// Whether this process is to carry out the command: it is alone, rank 0, or one of those that
    /// share out its cases. Ranks that compute a model with others have done their part of it when
    /// this returns.
    static func begin(_ parsed: any ParsableCommand) throws -> Bool {
        // A number of threads that is none is nobody's, whoever asks for threads later.
        _ = try ThreadPool.demandedThreadCount()
        let launched = ParallelWorld.launchedCount
        if let command = parsed as? any CampaignCommand, command.hasCases {
            guard let launched, launched > 1 else { return true }
            try start("mpirun", launched, timeout: command.campaign.rankTimeout, isCampaign: true)
            return true
        }
        guard let command = parsed as? any RankedCommand, command.loadsModel else {
            if let launched, launched > 1, ParallelWorld.launchedRank == 0 {
                Terminal.note(
                    "note: \(type(of: parsed)._commandName) has no ranks: each of \(launched) processes does all of it")
            }
            return true
        }
        let options = command.ranks
        let asked = options.asked
        let count = asked?.count ?? launched ?? 1
        let isCampaign = command.isCampaign && asked == nil
        guard count > 1 || (launched ?? 1) > 1 else {
            try options.requireRanks(isCampaign: isCampaign, count: count)
            return true
        }
        state.withLock { ($0.wire, $0.balance, $0.stages) = (options.wire, options.balance, options.stages) }
        let world = try start(
            asked?.wish ?? "mpirun", count, timeout: options.rankTimeout, isCampaign: isCampaign)
        try options.requireRanks(isCampaign: isCampaign, count: count)
        if isCampaign { return true }
        guard world.rank > 0 else {
            if asked == nil { Terminal.note("--tensor-parallel \(count): as many processes as were started") }
            return true
        }
        try command.modelLoader().loadFast().follow()
        world.finish()
        return false
    }

    /// Begins MPI.
    ///
    /// - Parameter wish: what has asked for `count` processes.
    @discardableResult
    private static func start(_ wish: String, _ count: Int, timeout: Double, isCampaign: Bool) throws -> ParallelWorld {
        guard ParallelWorld.isBuilt else {
            throw InputError(
                .unsupported, in: wish, expected: "a build with MPI", found: "one without it",
                remedy: "Build with: \(ParallelWorld.buildCommand)")
        }
        let world = try ParallelWorld.start(timeout: timeout)
        state.withLock { ($0.world, $0.isCampaign, $0.timeout) = (world, isCampaign, timeout) }
        try world.requireCount(count, wish)
        if let warning = world.bindingWarning { Terminal.note("warning: rank \(world.rank) is \(warning)") }
        return world
    }

    /// Remembers the model that the other ranks wait for.
    static func loaded(_ model: QuantModel) {
        let end = model.endOfRanks
        let isNew = state.withLock { state in
            guard state.world != nil, !state.isCampaign, state.endRanks == nil else { return false }
            state.endRanks = end
            return true
        }
        guard isNew, model.rankCount > 1 else { return }
        let shares = model.rankShares
        let balance = Set(shares).count > 1 ? ", shares \(RankBalance.text(shares))" : ""
        if let stage = model.stage {
            let turns =
                stage.parts > 1
                ? "\(stage.parts) by \(stage.ranges.count) ranks, \(stage.text), --wire \(model.wire.text)"
                : "\(model.rankCount) ranks one after another, \(stage.text)"
            Terminal.note(
                "\(turns)\(balance): prompts go through them in pieces, decoding waits for each in turn")
        } else {
            Terminal.note("\(model.rankCount) ranks, --wire \(model.wire.text)\(balance)")
            if let advice = try? PromptAdvice(model) { Terminal.note(advice.text) }
        }
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

/// The cases of a suite, handed out to all processes of a campaign.
struct RankedCases: CaseRunner {
    /// What a case is called.
    let name: @Sendable (Int) -> String

    func results<Value: Portable & Sendable>(
        of cases: [Int], costs: [Int], _ work: @escaping @Sendable (Int) -> Value
    ) throws -> [Value] {
        let order = cases.indices.sorted { (costs[$1], $0) < (costs[$0], $1) }.map { cases[$0] }
        var found: [Int: Value] = [:]
        try RankLaunch.carryOut(
            CaseList(order), name: name, item: { $0 }, work: work, take: { found[$0] = $1 })
        return cases.compactMap { found[$0] }
    }
}

extension RankLaunch {
    /// Carries out cases on all processes of a campaign, or on this one alone.
    ///
    /// - Parameters:
    ///   - name: what a case is called.
    ///   - isEnded, item, work, take: as of `CaseDesk.run`.
    /// - Throws: what that throws; a `CampaignEnd` where a process has died or fallen silent.
    static func carryOut<Item: Sendable, Value: Portable & Sendable>(
        _ list: CaseList, name: (Int) -> String, isEnded: () -> Bool = { false }, item: (Int) -> Item,
        work: @escaping @Sendable (Item) throws -> Value, take: (Int, Value) throws -> Void
    ) throws {
        // Alone, a process ends by the signal as any other does.
        if isFirst, world != nil { signal(SIGTERM) { _ in terminated.store(true, ordering: .relaxed) } }
        defer { if isFirst, world != nil { signal(SIGTERM, SIG_DFL) } }
        do {
            try desk.run(list, item: item, work: work, isEnded: isEnded, take: take)
        } catch let broken as BrokenCampaign {
            throw CampaignEnd(broken, name)
        }
    }
}

/// A campaign that has ended before its time.
struct CampaignEnd: Error {
    let text: String
    let status: Int32

    init(_ broken: BrokenCampaign, _ name: (Int) -> String) {
        let hosts = RankLaunch.world?.hosts ?? []
        func words(_ rank: Int) -> String {
            let cases = broken.underWay.indices.contains(rank) ? broken.underWay[rank] : []
            let host = hosts.indices.contains(rank) ? " (host \(hosts[rank]))" : ""
            return "rank \(rank)\(host)" + (cases.isEmpty ? "" : ": \(cases.map(name).joined(separator: ", "))")
        }
        let seconds = String(format: "%g", RankLaunch.timeout)
        let done = "\(broken.done) case\(broken.done == 1 ? "" : "s") done"
        guard let lost = broken.lost else {
            let others = broken.underWay.indices.dropFirst().map(words).joined(separator: "; ")
            (text, status) = ("ended by the launcher, \(done); under way on \(others)", 143)
            return
        }
        let place = lost == 0 ? "" : ", \(done)"
        (text, status) = ("no word for \(seconds) s from \(words(lost))\(place); stopping all ranks", 3)
    }
}
