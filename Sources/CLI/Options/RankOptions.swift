//  Commands that several processes carry out together, each with a part of the model.
//
//  Rank 0 runs the command as if it were alone: it has the terminal, the files and the network. The
//  others load the same model, compute their part of every pass, and end when rank 0 does.

import ArgumentParser
import Duality
import DualityCore
import DualityParallel
import Foundation

/// On how many ranks.
struct RankOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Processes that compute every layer together, with the same results as one: mpirun -n N --bind-to none duality ... (default: as many as mpirun has started; docs/parallel.md).",
            valueName: "n"))
    var tensorParallel: Int?
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Processes that have a range of layers each, with the same results as one: long prompts go through them in pieces, one behind another, which asks little of the network. With --tensor-parallel T, n ranges of T neighbouring processes.",
            valueName: "n"))
    var pipelineParallel: Int?
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
    @Option(
        name: .long,
        help: ArgumentHelp(
            "How much of the model each process has, with the same results: whole numbers from 1 on, one per process, such as 5:3; equal; or auto, by the rate at which each reads memory.",
            valueName: "shares"))
    var balance = RankBalance.equal

    func validate() throws {
        if let tensorParallel, tensorParallel < 1 { throw ValidationError("--tensor-parallel must be at least 1.") }
        if let pipelineParallel, pipelineParallel < 1 {
            throw ValidationError("--pipeline-parallel must be at least 1.")
        }
        if (tensorParallel ?? 1).multipliedReportingOverflow(by: stages).overflow {
            throw ValidationError(
                "--tensor-parallel and --pipeline-parallel ask for more processes than can be counted.")
        }
        if stages > 1, (tensorParallel ?? 1) == 1, wire == .int8 {
            throw ValidationError(
                "--wire int8 goes with --tensor-parallel: with --pipeline-parallel the residual stream travels, as float32."
            )
        }
        guard rankTimeout > 0 else { throw ValidationError("--rank-timeout must be more than 0.") }
    }

    /// Ranges of layers.
    var stages: Int { pipelineParallel ?? 1 }

    /// How many processes were asked for, and the words; nil for as many as there are.
    var asked: (count: Int, wish: String)? {
        let tensor = tensorParallel.map { "--tensor-parallel \($0)" }
        let pipeline = pipelineParallel.map { "--pipeline-parallel \($0)" }
        let count = (tensorParallel ?? 1) * stages
        switch (tensor, pipeline) {
        case (let tensor?, let pipeline?) where stages > 1 && count > stages:
            return (count, "\(tensor) \(pipeline)")
        case (_, let pipeline?) where stages > 1 || tensor == nil: return (count, pipeline)
        default: return tensor.map { (count, $0) }
        }
    }

    /// Shares without processes that could have them.
    func requireRanks(isCampaign: Bool, count: Int) throws(InputError) {
        guard balance != .equal else { return }
        guard count > 1 else {
            var shares = 2
            if case .shares(let given) = balance { shares = given.count }
            // One share of one process is all of it.
            guard shares > 1 else { return }
            throw InputError(
                .value, in: "--balance \(balance.text)", expected: "\(shares) processes", found: "1",
                remedy: "Start it with: mpirun -n \(shares) --bind-to none duality ...")
        }
        if isCampaign {
            throw InputError(
                .value, in: "--balance \(balance.text)", expected: "--tensor-parallel \(count) beside it",
                found: "a campaign, whose cases go to whoever is ready",
                remedy: "Leave --balance out, or give --tensor-parallel \(count).")
        }
        try balance.requireCount(count)
    }
}

/// A command whose cases processes share out, with no model that they would divide.
protocol CampaignCommand {
    var campaign: CampaignOptions { get }
    /// Whether it has cases as it was called.
    var hasCases: Bool { get }
}

/// What such a command asks of the processes.
struct CampaignOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Under mpirun, whose processes share out the cases: seconds without a word after which one is taken for lost and all of them end.",
            valueName: "s"))
    var rankTimeout = 60.0

    func validate() throws {
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
