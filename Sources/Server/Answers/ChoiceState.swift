//  One choice of an answer while it arrives: what has been said, and what clients are told of it.

import DualityCore
import DualityInference
import DualityQuant

/// The parts of one choice.
struct ChoiceState: Sendable {
    struct Call: Sendable {
        let id: String
        let name: String
        var arguments = ""
    }

    var reader: AnswerReader
    var hasBegun = false
    var reasoning = ""
    var content = ""
    var calls: [Call] = []
    var tokens: [Int] = []
    /// Entries of a chat's log probabilities.
    var entries: [JSON] = []
    var scores = CompletionScores()
    var end: AnswerEnd?
    /// Characters of the text before the next token, and what counts them.
    var characterCount = 0
    private var decoder: StreamingDecoder

    init(_ model: ServedModel, _ rules: ReadingRules) {
        reader = AnswerReader(model.tokenizer, rules)
        decoder = StreamingDecoder(model.tokenizer, skipSpecial: rules.skipsSpecial)
    }

    mutating func take(_ pieces: [AnswerPiece]) {
        for piece in pieces {
            switch piece {
            case .reasoning(let text): reasoning += text
            case .content(let text): content += text
            case .callBegins(_, let name): calls.append(Call(id: Identifiers.new("call_", digits: 24), name: name))
            case .callArguments(let index, let text): calls[index].arguments += text
            }
        }
    }

    /// Counts the characters of a token that is part of the text.
    mutating func count(_ token: Int, isText: Bool) {
        if isText { characterCount += decoder.push(token).unicodeScalars.count }
    }

    // MARK: JSON

    var stopReason: JSON {
        switch end?.stopReason {
        case .string(let text)?: .string(text)
        case .token(let token)?: JSON(token)
        case nil: .null
        }
    }

    var finishReason: JSON { end.map { .string($0.finishReason) } ?? .null }

    /// The message of a chat, as a whole.
    func message(includesReasoning: Bool) -> JSON {
        let hasOther = !calls.isEmpty || !reasoning.isEmpty
        var message: JSON.Object = [
            "role": "assistant", "content": content.isEmpty && hasOther ? .null : .string(content), "refusal": .null,
        ]
        if includesReasoning, !reasoning.isEmpty { message["reasoning_content"] = .string(reasoning) }
        if !calls.isEmpty {
            message["tool_calls"] = .array(
                calls.map {
                    [
                        "id": .string($0.id), "type": "function",
                        "function": ["name": .string($0.name), "arguments": .string($0.arguments)],
                    ]
                })
        }
        return .object(message)
    }
}
