//  IFEval: instructions about form, obeyed or not, of the text as it is (strict) and of the best of
//  eight forms of it (loose).

import DualityCore

package struct IFEval: EvaluationTask {
    package let name = "ifeval"
    package let primary = "prompt_level_loose_acc"

    package init() {}

    package func score(_ doc: JSONFields, _ response: Response) throws(InputError) -> ItemScore {
        let instructions = try Self.instructions(doc)
        let output = Scalars(try response.text(doc))
        let forms = Self.forms(of: output)
        var (strict, loose): ([Double], [Double]) = ([], [])
        for instruction in instructions {
            let followed = try instruction.isFollowed(by: output)
            strict.append(followed ? 1 : 0)
            var isLoose = followed
            for form in forms where !isLoose { isLoose = try instruction.isFollowed(by: form) }
            loose.append(isLoose ? 1 : 0)
        }
        var item = ItemScore([
            ("prompt_level_strict_acc", .flag(!strict.contains(0))), ("inst_level_strict_acc", .list(strict)),
            ("prompt_level_loose_acc", .flag(!loose.contains(0))), ("inst_level_loose_acc", .list(loose)),
        ])
        item.approximate = instructions.filter { Instruction.approximate.contains($0.id) }.count
        return item
    }

    private static func instructions(_ doc: JSONFields) throws(InputError) -> [Instruction] {
        let ids = try doc.requiredStrings("instruction_id_list")
        guard let arguments = try doc.array("kwargs") else { throw doc.missing("kwargs", "a list of objects") }
        guard ids.count == arguments.count, !ids.isEmpty else {
            throw InputError(
                .value, in: doc.place(of: "kwargs"), expected: "an object an instruction, \(ids.count)",
                found: "\(arguments.count)")
        }
        var instructions: [Instruction] = []
        for (i, id) in ids.enumerated() {
            guard Instruction.identifiers.contains(id) else {
                throw InputError(
                    .unknown, in: "\(doc.place(of: "instruction_id_list"))[\(i)]",
                    expected: "an instruction: \(Instruction.identifiers.joined(separator: ", "))", found: id)
            }
            let json = arguments[i] == .null ? JSON.object([:]) : arguments[i]
            instructions.append(
                Instruction(id, try JSONFields(json, place: doc.place, path: "\(doc.path).kwargs[\(i)]")))
        }
        return instructions
    }

    /// Without the first line, the last, both; and these without asterisks.
    private static func forms(of output: Scalars) -> [Scalars] {
        let lines = output.pieces(separatedBy: "\n")
        func joined(_ lines: ArraySlice<Scalars>) -> Scalars { Scalars.joined(Array(lines), by: "\n").stripped() }
        let cut = [output, joined(lines.dropFirst()), joined(lines.dropLast()), joined(lines.dropFirst().dropLast())]
        return cut + cut.map { $0.filter { $0 != "*" } }
    }

    package func summary(_ items: [ItemScore]) -> TaskSummary {
        var metrics: [(name: String, value: Double)] = []
        for name in ["prompt_level_strict_acc", "prompt_level_loose_acc"] {
            metrics.append((name, mean(items.compactMap { $0.value(name)?.number })))
        }
        for name in ["inst_level_strict_acc", "inst_level_loose_acc"] {
            let all = items.flatMap { item -> [Double] in
                if case .list(let values) = item.value(name) { values } else { [] }
            }
            metrics.append((name, mean(all)))
        }
        return TaskSummary(primary: primary, metrics: metrics)
    }

    package func request(_ doc: JSONFields, examples: [JSONFields], isChat: Bool) throws(InputError) -> TaskRequest {
        QuestionTurns(query: try doc.requiredString("prompt")).request(
            .generate(.init(maxTokens: 2048)), isChat: isChat)
    }
}
