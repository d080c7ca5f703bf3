//  BABILong: facts of bAbI in the sentences of a long text.
//
//      acc        the labels found in the output, less those of the question, are exactly the
//      target contains   the target is in the output (as lm-evaluation-harness scores it)

import DualityCore
import DualityVerify

package struct BABILong: EvaluationTask {
    package let name: String
    package let primary = "acc"

    package init(name: String = "babilong") { self.name = name }

    static let places = ["bathroom", "bedroom", "garden", "hallway", "kitchen", "office"]
    private static let labels: [String: [String]] = [
        "qa1": places, "qa2": places, "qa3": places, "qa4": places,
        "qa5": ["bill", "fred", "jeff", "mary", "apple", "football", "milk"],
    ]

    package func score(_ doc: JSONFields, _ response: Response) throws(InputError) -> ItemScore {
        let task = try doc.requiredString("task")
        guard let labels = Self.labels[Self.subtask(task)] else {
            throw InputError(
                .unknown, in: doc.place(of: "task"), expected: "one of qa1, qa2, qa3, qa4, qa5", found: task)
        }
        let target = Scalars(try doc.requiredString("target")).lowered
        let question = Scalars(try doc.requiredString("question")).lowered
        let output = Scalars(try response.text(doc)).lowered
        var cut = output
        for mark in [".", "<context>", "<example>"] { cut = cut.pieces(separatedBy: mark)[0] }
        let found = labels.map { Scalars($0) }.filter { cut.holds($0) && !question.holds($0) }
        return ItemScore(
            [("acc", .flag(found == [target])), ("contains", .flag(output.holds(target)))],
            group: Self.subtask(task))
    }

    /// `babilong_qa1` is `qa1`.
    private static func subtask(_ task: String) -> String {
        Scalars(task).without(prefix: "babilong_").text
    }

    /// The first digits of SHA-256 of the official prompts, with {C} and {Q} in place.
    private static let referenceHashes = [
        "qa1": "45fb15acac5e8cef", "qa2": "4d4f0e9bf5268e76", "qa3": "f7343b79b2dd6285", "qa4": "35643f8140a32036",
        "qa5": "654717c79dcb8b2d",
    ]

    /// The official prompt of a subtask, from a file with `instruction`, `examples` and
    /// `post_prompt`.
    ///
    /// - Throws: `InputError` for a missing text, or one that is not the official one.
    package static func referenceTemplate(_ prompts: JSONFields, _ task: String) throws(InputError) -> String {
        let fields = try prompts.requiredFields(task)
        let parts = [
            try fields.requiredString("instruction"), try fields.requiredString("examples"),
            try fields.requiredString("post_prompt"), "<context>\n{C}\n</context>", "Question: {Q}",
        ]
        var text = parts.joined(separator: "\n\n").pythonStripped
        let hash = text.withUTF8 { sha256(UnsafeRawBufferPointer($0)) }
        guard let expected = referenceHashes[task], hash.hasPrefix(expected) else {
            throw InputError(
                .value, in: prompts.place(of: task),
                expected: "the official prompt (SHA-256 \(referenceHashes[task] ?? "")…)",
                found: "another one (\(hash.prefix(16))…)", remedy: "Use --template own for other wording.")
        }
        return text
    }

    private static let instructions: [String: String] = [
        "qa1":
            "The text holds facts about where people are, hidden among other sentences. A person is where they went last. Answer with one word, the place.",
        "qa2":
            "The text holds facts about people who move and who take and leave things, hidden among other sentences. A thing is where the person is who holds it, or where it was left. Answer with one word, the place.",
        "qa3":
            "The text holds facts about people who move and who take and leave things, hidden among other sentences. Say where the thing was before it came to the place that is named. Answer with one word, the place.",
        "qa4":
            "The text holds facts about how places lie to each other, hidden among other sentences. Answer with one word, the place.",
        "qa5":
            "The text holds facts about people who give things to each other, hidden among other sentences. Answer with one word, the person or the thing.",
    ]

    package func request(_ doc: JSONFields, examples: [JSONFields], isChat: Bool) throws(InputError) -> TaskRequest {
        let task = Self.subtask(try doc.requiredString("task"))
        guard let instruction = Self.instructions[task] else {
            throw InputError(
                .unknown, in: doc.place(of: "task"), expected: "one of qa1, qa2, qa3, qa4, qa5", found: task)
        }
        let input = try doc.requiredString("input")
        let question = try doc.requiredString("question").pythonStripped
        let template = try doc.string("prompt_template")
        let text: String
        if let template {
            text = Scalars(template).replacing("{C}", with: input).replacing("{Q}", with: question).stripped().text
        } else {
            text = "\(instruction)\n\n<context>\n\(input)\n</context>\n\nQuestion: \(question)"
        }
        let kind = TaskRequest.Kind.generate(.init(maxTokens: 20))
        return isChat
            ? TaskRequest(messages: [.init(role: "user", content: text)], kind: kind)
            : TaskRequest(messages: [], text: text + " Answer:", kind: kind)
    }
}
