//  Questions whose answers are given: the likeliest one is the model's.
//
//      acc        argmax of the sums               of equal ones the first
//      acc_norm   argmax of sum / code points      of the choice without the delimiter
//      acc_bytes  argmax of sum / UTF-8 bytes

import DualityCore

/// The likeliest of some choices.
enum Choice {
    static func best(_ values: [Double]) -> Int {
        var best = 0
        for i in values.indices where values[i] > values[best] { best = i }
        return best
    }

    static func perCharacter(_ sums: [Double], _ choices: [String]) -> [Double] {
        zip(sums, choices).map { $0 / Double($1.unicodeScalars.count) }
    }

    static func perByte(_ sums: [Double], _ choices: [String]) -> [Double] {
        zip(sums, choices).map { $0 / Double($1.utf8.count) }
    }
}

/// Choices of one's own: rows with `choices` and `gold`, and a `question` when a model is to be
/// asked.
package struct MultipleChoice: EvaluationTask {
    package let name = "multiple_choice"
    package let primary = "acc"
    package let accepts = ["loglikelihoods"]

    package init() {}

    package func score(_ doc: JSONFields, _ response: Response) throws(InputError) -> ItemScore {
        let choices = try doc.requiredStrings("choices")
        let sums = try response.likelihoods(doc, count: choices.count)
        let gold = try doc.requiredInt("gold", in: 0...max(choices.count - 1, 0))
        return ItemScore([
            ("acc", .flag(Choice.best(sums) == gold)),
            ("acc_norm", .flag(Choice.best(Choice.perCharacter(sums, choices)) == gold)),
            ("acc_bytes", .flag(Choice.best(Choice.perByte(sums, choices)) == gold)),
        ])
    }

    package func request(_ doc: JSONFields, examples: [JSONFields], isChat: Bool) throws(InputError) -> TaskRequest {
        var turns = QuestionTurns(query: try doc.requiredString("question"))
        for example in examples {
            let choices = try example.requiredStrings("choices")
            let gold = try example.requiredInt("gold", in: 0...max(choices.count - 1, 0))
            turns.examples.append((try example.requiredString("question"), choices[gold]))
        }
        return turns.request(.choose(try doc.requiredStrings("choices")), isChat: isChat)
    }
}

/// MMLU: 57 subjects, the likelihood of the four letters.
package struct MMLU: EvaluationTask {
    package let name = "mmlu"
    package let primary = "acc_macro"
    package let accepts = ["loglikelihoods"]
    private static let letters = ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J"]

    package init() {}

    package func score(_ doc: JSONFields, _ response: Response) throws(InputError) -> ItemScore {
        let (choices, gold) = try Self.choices(doc)
        let sums = try response.likelihoods(doc, count: choices.count)
        return ItemScore([("acc", .flag(Choice.best(sums) == gold))], group: try doc.string("subject"))
    }

    private static func choices(_ doc: JSONFields) throws(InputError) -> ([String], gold: Int) {
        let choices = try doc.requiredStrings("choices")
        guard (1...letters.count).contains(choices.count) else {
            throw InputError(
                .value, in: doc.place(of: "choices"), expected: "1 to \(letters.count) choices",
                found: "\(choices.count)")
        }
        return (choices, try doc.requiredInt("answer", in: 0...choices.count - 1))
    }

    package func summary(_ items: [ItemScore]) -> TaskSummary {
        let groups = groupMeans(items) { $0.value("acc")?.number }
        let acc = mean(items.compactMap { $0.value("acc")?.number })
        let macro = groups.isEmpty ? acc : mean(groups.map(\.value))
        return TaskSummary(primary: primary, metrics: [("acc", acc), ("acc_macro", macro)], groups: groups)
    }

    package func request(_ doc: JSONFields, examples: [JSONFields], isChat: Bool) throws(InputError) -> TaskRequest {
        func query(_ doc: JSONFields) throws(InputError) -> String {
            let choices = try Self.choices(doc).0
            let lines = zip(Self.letters, choices).map { " \($0). \($1)\n" }.joined()
            return "Question: \(try doc.requiredString("question"))\n\(lines)Answer:"
        }
        var turns = QuestionTurns(query: try query(doc))
        if let subject = try doc.string("subject") {
            let words = subject.split(separator: "_", omittingEmptySubsequences: false).joined(separator: " ")
            turns.description = "The following are multiple choice questions (with answers) about \(words).\n\n"
        }
        for example in examples {
            turns.examples.append((try query(example), Self.letters[try Self.choices(example).gold]))
        }
        let count = try Self.choices(doc).0.count
        return turns.request(.choose(Array(Self.letters.prefix(count))), isChat: isChat)
    }
}
