//  PopQA: questions about entities; an answer that holds one of the aliases is right.

import DualityCore

package struct PopQA: EvaluationTask {
    package let name = "popqa"
    package let primary = "exact_match"

    package init() {}

    package func score(_ doc: JSONFields, _ response: Response) throws(InputError) -> ItemScore {
        let output = Scalars(try response.text(doc))
        let isRight = try Self.aliases(doc).contains { alias in
            let alias = Scalars(alias)
            return output.holds(alias) || output.holds(alias.lowered) || output.holds(alias.capitalized)
        }
        return ItemScore([("exact_match", .flag(isRight))])
    }

    /// The aliases: a JSON array inside a string, as the data set writes it, or an array.
    private static func aliases(_ doc: JSONFields) throws(InputError) -> [String] {
        guard let text = doc["possible_answers"]?.string else {
            return try doc.requiredStrings("possible_answers")
        }
        let place = doc.place(of: "possible_answers")
        let list = try JSON(parsing: text, place: place)
        return try JSONFields(["list": list], place: place).requiredStrings("list")
    }

    package func request(_ doc: JSONFields, examples: [JSONFields], isChat: Bool) throws(InputError) -> TaskRequest {
        func query(_ doc: JSONFields) throws(InputError) -> String { "Q: \(try doc.requiredString("question")) A:" }
        var turns = QuestionTurns(query: try query(doc))
        for example in examples { turns.examples.append((try query(example), try example.requiredString("obj"))) }
        return turns.request(.generate(.init(maxTokens: 15, stop: ["\n\n"])), isChat: isChat)
    }
}
