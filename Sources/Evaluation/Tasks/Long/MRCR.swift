//  MRCR: of several answers to the same request in a long conversation, repeat the k-th.
//
//      score = 0                              unless the output begins with the random letters,
//      exactly
//            = ratio(output, answer)          else, both without them (SequenceRatio.swift)

import DualityCore

package struct MRCR: EvaluationTask {
    package let name: String
    package let primary = "score"

    package init(name: String = "mrcr") { self.name = name }

    package func score(_ doc: JSONFields, _ response: Response) throws(InputError) -> ItemScore {
        let prefix = try doc.requiredString("random_string_to_prepend")
        let answer = Scalars(try doc.requiredString("answer")).without(prefix: prefix)
        let output = Scalars(try response.text(doc))
        let value =
            output.starts(with: prefix.unicodeScalars)
            ? SequenceRatio.of(output.without(prefix: prefix), answer) : 0
        let needles = doc["n_needles"].map(\.plainText)
        return ItemScore([("score", .number(value))], group: needles)
    }

    /// The texts of a conversation's messages.
    static func messages(_ doc: JSONFields) throws(InputError) -> [String] { try turns(doc).map(\.content) }

    private static func turns(_ doc: JSONFields) throws(InputError) -> [TaskRequest.Message] {
        let place = doc.place(of: "prompt")
        let text = try doc.requiredString("prompt")
        guard let list = try JSON(parsing: text, place: place).array, !list.isEmpty else {
            throw InputError(.json, in: place, expected: "a list of messages", found: "something else")
        }
        var messages: [TaskRequest.Message] = []
        for (i, message) in list.enumerated() {
            let fields = try JSONFields(message, place: place, path: "[\(i)]")
            messages.append(
                .init(role: try fields.requiredString("role"), content: try fields.requiredString("content")))
        }
        return messages
    }

    package func request(_ doc: JSONFields, examples: [JSONFields], isChat: Bool) throws(InputError) -> TaskRequest {
        let messages = try Self.turns(doc)
        let kind = TaskRequest.Kind.generate(
            .init(maxTokens: try doc.int("max_tokens", in: 1...16_384) ?? 16_384))
        if isChat { return TaskRequest(messages: messages, kind: kind) }
        let plain = messages.map { ($0.role == "user" ? "User: " : "Assistant: ") + $0.content }
        return TaskRequest(
            messages: [], text: plain.joined(separator: "\n\n") + "\n\nAssistant: ", kind: kind)
    }

    // MARK: Length classes

    /// Eight times 1024 tokens, doubled as often as ⌊log2(⌊t/8192⌋ + 1)⌋ says, t =
    /// ⌊characters/3.5⌋.
    static func lengthClass(characters: Int) -> Int {
        var (rest, length) = (characters * 2 / 7 / 8192 + 1, 8192)
        while rest > 1 { (rest, length) = (rest / 2, length * 2) }
        return length
    }

    /// The upper end of the class (4096·2^i, 4096·2^(i+1)] that holds the tokens of a conversation
    /// and its answer.
    static func lengthClass(tokens: Int) -> Int {
        var length = 8192
        while length < tokens { length *= 2 }
        return length
    }
}
