//  MATH: competition problems, scored as olmes scores Minerva's form of it.
//
//      exact_match       the stated answer ("The final answer is …") equals the gold
//      exact_match_flex  that, or any answer of the text equals it, or is the same text by
//                        Hendrycks' rule; what the Tulu 3 paper prints

import DualityCore

package struct MathTask: EvaluationTask {
    package let name = "math"
    package let primary = "exact_match_flex"

    package init() {}

    package func score(_ doc: JSONFields, _ response: Response) throws(InputError) -> ItemScore {
        let gold = try Self.gold(doc)
        let answers = try MinervaAnswer(Scalars(try response.text(doc)))
        let isStated = answers.stated.map { Expression.areEqual($0, gold) } ?? false
        let isAny =
            isStated
            || answers.all.contains { HendrycksAnswer.areEqual($0, gold) || Expression.areEqual($0, gold) }
        return ItemScore(
            [("exact_match_flex", .flag(isAny)), ("exact_match", .flag(isStated))],
            extracted: .string(answers.all.first?.text ?? ""), group: try doc.string("type"))
    }

    private static func gold(_ doc: JSONFields) throws(InputError) -> Scalars {
        let solution = Scalars(try doc.requiredString("solution"))
        if let box = MinervaAnswer.lastBox(solution) { return try MinervaAnswer.normalized(box) }
        if let answer = try doc.string("answer") { return try MinervaAnswer.normalized(Scalars(answer)) }
        throw InputError(
            .value, in: doc.place(of: "solution"), expected: "an answer in \\boxed{…}", found: "none")
    }

    /// Means over the subjects' means.
    package func summary(_ items: [ItemScore]) -> TaskSummary {
        var summary = meanSummary(items)
        guard items.allSatisfy({ $0.group != nil }) else { return summary }
        for i in summary.metrics.indices {
            let name = summary.metrics[i].name
            summary.metrics[i].value = mean(groupMeans(items) { $0.value(name)?.number }.map(\.value))
        }
        return summary
    }

    package func request(_ doc: JSONFields, examples: [JSONFields], isChat: Bool) throws(InputError) -> TaskRequest {
        func query(_ doc: JSONFields) throws(InputError) -> String {
            "Problem:\n\(try doc.requiredString("problem"))\n\nSolution:"
        }
        var turns = QuestionTurns(query: try query(doc))
        for example in examples {
            turns.examples.append((try query(example), try example.requiredString("solution")))
        }
        return turns.request(.generate(.init(maxTokens: 1024)), isChat: isChat)
    }
}
