//  The request of `POST /v1/completions`.

import DualityCore
import DualityInference

/// Prompts and the answers wanted to them.
package struct CompletionCall: Sendable {
    /// A prompt, as text or as tokens.
    package enum Prompt: Sendable, Equatable {
        case text(String)
        case tokens([Int])
    }

    package let options: AnswerOptions
    package let prompts: [Prompt]
    /// Whether the answer begins with its prompt.
    package let echoes: Bool
    package let ignored: [String]

    /// Prompts of one request, at most.
    package static let promptLimit = 1024

    /// - Throws: `RequestError` that names the member.
    package init(_ object: JSON.Object, _ context: RequestContext) throws(RequestError) {
        var fields = RequestFields(object)
        try context.checkModel(&fields)
        // OpenAI's own default is 16 tokens.
        var options = try AnswerOptions(&fields, context, defaultTokens: 16)
        options.logprobs = try fields.int("logprobs", in: 0...20)
        echoes = try fields.bool("echo") ?? false
        guard echoes || options.maxTokens != 0 else {
            throw RequestError("max_tokens", expected: "a whole number, at least 1 without echo", found: "0")
        }
        _ = try fields.bool("add_special_tokens")
        prompts = try Self.prompts(&fields, context)
        self.options = options
        ignored = fields.unknownNames
    }

    private static func prompts(
        _ fields: inout RequestFields, _ context: RequestContext
    ) throws(RequestError) -> [Prompt] {
        let expected = "a string, a list of strings, a list of token ids or a list of such lists"
        guard let value = fields.value("prompt") else { throw fields.missing("prompt", expected) }
        if let text = value.string { return [try prompt(text, place: "prompt")] }
        guard let items = value.array else {
            throw RequestError("prompt", expected: expected, found: RequestFields.found(value))
        }
        guard let first = items.first else {
            throw RequestError("prompt", expected: "a prompt that is not empty", found: "an empty list")
        }
        if case .number = first { return [.tokens(try tokens(items, context, place: "prompt"))] }
        guard items.count <= promptLimit else {
            throw RequestError("prompt", expected: "at most \(promptLimit) prompts", found: "\(items.count)")
        }
        var prompts: [Prompt] = []
        for (index, item) in items.enumerated() {
            let place = "prompt[\(index)]"
            switch (first, item) {
            case (.string, .string(let text)): prompts.append(try prompt(text, place: place))
            case (.array, .array(let ids)):
                guard !ids.isEmpty else {
                    throw RequestError(place, expected: "a prompt that is not empty", found: "an empty list")
                }
                prompts.append(.tokens(try tokens(ids, context, place: place)))
            default:
                throw RequestError(
                    place, expected: "prompts of one kind: \(expected)", found: RequestFields.found(item))
            }
        }
        return prompts
    }

    private static func prompt(_ text: String, place: String) throws(RequestError) -> Prompt {
        guard !text.isEmpty else {
            throw RequestError(place, expected: "a prompt that is not empty", found: "an empty string")
        }
        return .text(text)
    }

    /// Token ids of a list.
    static func tokens(_ items: [JSON], _ context: RequestContext, place: String) throws(RequestError) -> [Int] {
        var tokens: [Int] = []
        tokens.reserveCapacity(items.count)
        for (index, item) in items.enumerated() {
            guard case .number(let literal) = item, let token = RequestBody.integer(literal),
                0..<context.vocabularySize ~= token
            else {
                throw RequestError(
                    "\(place)[\(index)]", expected: "a token id below \(context.vocabularySize)",
                    found: RequestFields.found(item))
            }
            tokens.append(token)
        }
        return tokens
    }
}
