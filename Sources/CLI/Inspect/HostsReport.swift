//  The prediction of `duality family --hosts`, as a table and as JSON.

import DualityCore
import DualityMeasure

struct HostsReport {
    let cost: ModelCost
    let machine: Machine
    let hosts: Int
    let network: Network
    let bytesPerWeight: Double

    private static let promptTokens = 512

    /// 1, 2, 4 … and the number asked for.
    private var counts: [Int] {
        Array(sequence(first: 1) { $0 * 2 }.prefix { $0 < hosts }) + [hosts]
    }

    private func decode(_ ranks: Int) -> Double {
        cost.decodeSpeed(context: 1, on: machine, ranks: ranks, over: network, bytesPerWeight: bytesPerWeight)
    }

    private func prompt(_ ranks: Int) -> Double {
        cost.promptSpeed(
            Self.promptTokens, on: machine, ranks: ranks, over: network, bytesPerWeight: bytesPerWeight)
    }

    /// Longer, as a prompt has to be to fill a pipeline.
    private static let pipelineTokens = 4096

    private func pipeline(_ ranks: Int) -> Double {
        cost.pipelineSpeed(Self.pipelineTokens, on: machine, stages: ranks, over: network)
    }

    var text: String {
        var table = TextTable(Array(repeating: .right, count: 7))
        table.add(
            "hosts", "tokens/s", "against one", "prompt tokens/s", "against one", "pipeline tokens/s", "against one")
        table.addRule()
        for count in counts {
            table.add(
                "\(count)", decode(count).decimals(1), (decode(count) / decode(1)).decimals(2),
                prompt(count).decimals(0), (prompt(count) / prompt(1)).decimals(2),
                pipeline(count).decimals(0), (pipeline(count) / pipeline(1)).decimals(2))
        }
        let lines = [
            "One sequence on hosts that compute every layer together, prompts of \(Self.promptTokens) tokens; as a pipeline, where each",
            "has a range of layers, prompts of \(Self.pipelineTokens). Predicted, not measured, for",
            "  hosts      \((machine.bandwidth / 1e9).decimals(0)) GB/s from memory, "
                + "\((machine.operations / 1e12).decimals(2)) tera-operations/s, \(bytesPerWeight.decimals(1)) bytes per weight",
            "  \(network.name.padding(toLength: 10, withPad: " ", startingAt: 0)) "
                + "\((network.rate / 1e9).decimals(2)) GB/s, \((network.start * 1e6).decimals(1)) µs per exchange and "
                + "\((network.peer * 1e6).decimals(1)) µs per further host (\(network.isMeasured ? "the last is assumed" : "assumed"))",
            "",
        ]
        return (lines + table.lines() + notes).joined(separator: "\n")
    }

    /// What a reader should not do.
    private var notes: [String] {
        var notes: [String] = []
        if let fits = counts.first(where: { cost.bytes(bytesPerWeight) / Double($0) <= machine.memory }) {
            if fits > 1 { notes.append("The weights fit the memory of \(fits) hosts and more.") }
        } else {
            notes.append("The weights do not fit the memory of \(hosts) hosts.")
        }
        if let best = counts.max(by: { decode($0) < decode($1) }), best < hosts {
            notes.append(
                "More than \(best) hosts make one sequence slower: each has less to do, and all have more to say.")
        }
        if counts.contains(where: { prompt($0) < prompt(1) }) {
            notes.append(
                "Where prompts together are below 1, the network is too slow for them: --pipeline-parallel asks less of it."
            )
        }
        return notes.isEmpty ? [] : [""] + notes
    }

    var json: JSON {
        [
            "network": .string(network.name), "bytes_per_weight": JSON(bytesPerWeight),
            "bandwidth": JSON(machine.bandwidth), "operations": JSON(machine.operations),
            "hosts": .array(
                counts.map {
                    [
                        "hosts": JSON($0), "decode_tokens_per_second": JSON(decode($0)),
                        "prompt_tokens_per_second": JSON(prompt($0)),
                        "pipeline_prompt_tokens_per_second": JSON(pipeline($0)),
                    ]
                }),
        ]
    }
}
