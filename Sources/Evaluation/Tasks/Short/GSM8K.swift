//  GSM8K: word problems whose answer is a number, in the form of olmes (Tulu's variant).
//
//  The answer is the last number of the text. The pattern reads integers without their sign and
//  decimals with it, so that -5 and 5 are equal and -0.5 and 0.5 are not.

import DualityCore

package struct GSM8K: EvaluationTask {
    package let name = "gsm8k"
    package let primary = "exact_match"

    private static let numbers = PythonRegex(ours: #"[-+]?\d*\.\d+|\d+"#)
    private static let separators = PythonRegex(ours: #"(\d),(\d)"#)
    private static let deletions = [
        PythonRegex(ours: ","), PythonRegex(ours: #"\$"#), PythonRegex(ours: "(?s).*#### "), PythonRegex(ours: #"\.$"#),
    ]

    package init() {}

    package func score(_ doc: JSONFields, _ response: Response) throws(InputError) -> ItemScore {
        let answer = Scalars(try doc.requiredString("answer"))
        let gold = try Self.answer(answer.pieces(separatedBy: "####").last.map { $0.stripped() } ?? answer)
        let found = try Self.answer(Scalars(try response.text(doc)))
        let isEqual = try Self.compared(found) == Self.compared(gold)
        return ItemScore([("exact_match", .flag(isEqual))], extracted: .string(found.text))
    }

    /// The last number, or the whole text.
    static func answer(_ text: Scalars) throws(InputError) -> Scalars {
        let plain = try separators.replacing(in: text, with: "$1$2")
        return try numbers.findAll(in: plain).last ?? plain
    }

    private static func compared(_ text: Scalars) throws(InputError) -> Scalars {
        var text = text
        for deletion in deletions { text = try deletion.replacing(in: text, with: "") }
        return text.lowered
    }

    package func request(_ doc: JSONFields, examples: [JSONFields], isChat: Bool) throws(InputError) -> TaskRequest {
        func query(_ doc: JSONFields) throws(InputError) -> String {
            "Question: \(try doc.requiredString("question"))\nAnswer:"
        }
        var turns = QuestionTurns(query: try query(doc), prefix: "Answer:")
        for example in examples {
            turns.examples.append((try query(example), try example.requiredString("answer")))
        }
        return turns.request(
            .generate(.init(maxTokens: 512, stop: ["Question:", "</s>", "<|im_end|>"])), isChat: isChat)
    }
}
