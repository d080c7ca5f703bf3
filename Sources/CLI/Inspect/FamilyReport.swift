//  The comparison of `duality family`, as tables and as JSON.

import DualityCore
import DualityMeasure
import Foundation

struct FamilyReport {
    let members: [FamilyMember]
    let machine: Machine
    let lengths: [Int]
    let bytesPerWeight: Double
    /// Whether the published ratios belong to this configuration.
    let showsPublished: Bool

    private var dense: FamilyMember { members[0] }

    // MARK: - Text

    var text: String {
        var lines = [
            "Machine: \(machine.name), \((machine.bandwidth / 1e9).decimals(0)) GB/s, "
                + "\((machine.operations / 1e12).decimals(1)) TFLOP/s, \((machine.memory / 1e9).decimals(0)) GB; "
                + "\(bytesPerWeight.decimals(1)) bytes per weight, bf16 keys and values, f32 states",
            "",
        ]
        lines += section("Size", sizes)
        lines += section("Keys and values of one sequence", perLength { keyValueBytes($0, $1).binaryUnits })
        lines += section(
            "GFLOP for one token, by the tokens it sees",
            perLength { ($0.cost.operationsPerToken(context: $1) / 1e9).decimals(1) })
        lines += section(
            "Predicted decoding of one sequence, against dense",
            ratios { $0.decodeSpeed(context: $1, on: machine, bytesPerWeight: bytesPerWeight) })
        lines += section(
            "Predicted decoding with memory full of sequences, against dense",
            ratios { $0.saturatedSpeed(context: $1, on: machine, bytesPerWeight: bytesPerWeight) })
        if showsPublished { lines += section("  published (vLLM, 8 H200, memory full)", published(\.decode)) }
        lines += section(
            "Predicted time to the first token of one prompt, against dense (below 1 is faster)",
            ratios { $0.promptSeconds($1, on: machine, bytesPerWeight: bytesPerWeight) })
        if showsPublished { lines += section("  published (vLLM, 8 H200, batched)", published(\.firstToken)) }
        return lines.dropLast().joined(separator: "\n")
    }

    private func section(_ title: String, _ body: [String]) -> [String] { [title] + body + [""] }

    private var sizes: [String] {
        var table = TextTable([.left, .right, .right, .right, .right])
        table.add("", "parameters", "against dense", "states, f32", "windows, f32")
        table.addRule()
        for member in members {
            let cache = member.cost.configuration.cacheSize(tokens: 1)
            let growth = 100 * (Double(member.cost.parameters) / Double(dense.cost.parameters) - 1)
            table.add(
                member.name, member.cost.parameters.grouped, "\(growth >= 0 ? "+" : "")\(growth.decimals(1)) %",
                (4 * cache.state).binaryUnits, (4 * cache.convolutionWindow).binaryUnits)
        }
        return table.lines()
    }

    private func perLength(_ cell: (FamilyMember, Int) -> String) -> [String] {
        var table = TextTable([.left] + lengths.map { _ in .right })
        table.add([""] + lengths.map { "\($0 / 1024)K" })
        table.addRule()
        for member in members { table.add([member.name] + lengths.map { cell(member, $0) }) }
        return table.lines()
    }

    private func ratios(_ figure: (ModelCost, Int) -> Double?) -> [String] {
        perLength { member, length in
            ratio(figure(member.cost, length), figure(dense.cost, length)).map { "\($0.decimals(2))x" }
                ?? "does not fit"
        }
    }

    private func published(_ figure: KeyPath<FamilyMember.Published, [Int: Double]>) -> [String] {
        perLength { member, length in
            FamilyMember.published(member.kind)?[keyPath: figure][length].map { "\($0.decimals(2))x" } ?? "-"
        }
    }

    private func ratio(_ value: Double?, _ base: Double?) -> Double? {
        guard let value, let base else { return nil }
        return value / base
    }

    private func keyValueBytes(_ member: FamilyMember, _ length: Int) -> Int {
        2 * member.cost.configuration.cacheSize(tokens: length).keysAndValues
    }

    // MARK: - JSON

    var json: JSON {
        [
            "machine": [
                "name": .string(machine.name), "bandwidth_bytes_per_second": JSON(machine.bandwidth),
                "operations_per_second": JSON(machine.operations), "memory_bytes": JSON(machine.memory),
                "bytes_per_weight": JSON(bytesPerWeight),
            ],
            "members": .array(members.map(json(of:))),
        ]
    }

    private func json(of member: FamilyMember) -> JSON {
        let cache = member.cost.configuration.cacheSize(tokens: 1)
        let published = showsPublished ? FamilyMember.published(member.kind) : nil
        func number(_ value: Double?) -> JSON { value.map { JSON($0) } ?? .null }
        return [
            "name": .string(member.name), "symbol": .string(member.kind?.rawValue ?? "*"),
            "pattern": .string(member.cost.configuration.layers.map(\.rawValue).joined(separator: "-")),
            "parameters": JSON(member.cost.parameters), "state_bytes": JSON(4 * cache.state),
            "convolution_bytes": JSON(4 * cache.convolutionWindow),
            "contexts": .array(
                lengths.map { length in
                    let (cost, base) = (member.cost, dense.cost)
                    let decode = cost.decodeSpeed(context: length, on: machine, bytesPerWeight: bytesPerWeight)
                    let full = cost.saturatedSpeed(context: length, on: machine, bytesPerWeight: bytesPerWeight)
                    let prompt = cost.promptSeconds(length, on: machine, bytesPerWeight: bytesPerWeight)
                    return [
                        "tokens": JSON(length), "key_value_bytes": JSON(keyValueBytes(member, length)),
                        "flops_per_token": JSON(cost.operationsPerToken(context: length)),
                        "prompt_flops": JSON(cost.operationsOfPrompt(length)),
                        "decode_tokens_per_second": JSON(decode),
                        "decode_ratio": JSON(
                            decode / base.decodeSpeed(context: length, on: machine, bytesPerWeight: bytesPerWeight)),
                        "saturated_tokens_per_second": number(full),
                        "saturated_ratio": number(
                            ratio(
                                full, base.saturatedSpeed(context: length, on: machine, bytesPerWeight: bytesPerWeight))
                        ),
                        "prefill_seconds": JSON(prompt),
                        "prefill_tokens_per_second": JSON(Double(length) / prompt),
                        "prefill_time_ratio": JSON(
                            prompt / base.promptSeconds(length, on: machine, bytesPerWeight: bytesPerWeight)),
                        "published_decode_ratio": number(published?.decode[length]),
                        "published_first_token_ratio": number(published?.firstToken[length]),
                    ]
                }),
        ]
    }
}
