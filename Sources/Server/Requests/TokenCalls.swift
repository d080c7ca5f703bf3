//  The requests of `POST /tokenize` and `POST /detokenize`.

import DualityCore
import DualityInference

/// A text or a conversation to be cut into tokens.
package struct TokenizeCall: Sendable {
    package enum Input: Sendable {
        case text(String)
        case conversation(ConversationFields)
    }

    package let input: Input
    /// Whether the tokens' strings are wanted too.
    package let returnsStrings: Bool
    package let ignored: [String]

    package init(_ object: JSON.Object, _ context: RequestContext) throws(RequestError) {
        var fields = RequestFields(object)
        try context.checkModel(&fields)
        returnsStrings = try fields.bool("return_token_strs") ?? false
        // Nothing is added to a text by these tokenizers, whatever is asked for.
        _ = try fields.bool("add_special_tokens")
        if let prompt = try fields.string("prompt") {
            guard fields.value("messages") == nil else {
                throw RequestError("messages", expected: "a prompt or messages", found: "both")
            }
            input = .text(prompt)
        } else if fields.value("messages") != nil {
            let tools = try ToolFields(&fields)
            input = .conversation(try ConversationFields(&fields, tools: tools.declared))
        } else {
            throw fields.missing("prompt", "a string, or messages in its place")
        }
        ignored = fields.unknownNames
    }
}

/// Tokens to be put together to a text.
package struct DetokenizeCall: Sendable {
    package let tokens: [Int]
    package let ignored: [String]

    package init(_ object: JSON.Object, _ context: RequestContext) throws(RequestError) {
        var fields = RequestFields(object)
        try context.checkModel(&fields)
        guard let items = try fields.array("tokens", "a list of token ids") else {
            throw fields.missing("tokens", "a list of token ids")
        }
        tokens = try CompletionCall.tokens(items, context, place: "tokens")
        ignored = fields.unknownNames
    }
}
