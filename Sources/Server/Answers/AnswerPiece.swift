//  A piece of an answer as a client gets it.

/// What became certain of an answer with one token.
package enum AnswerPiece: Sendable, Equatable {
    case reasoning(String)
    case content(String)
    case callBegins(index: Int, name: String)
    case callArguments(index: Int, String)
}

/// Why an answer ended, as a client is told.
package struct AnswerEnd: Sendable, Equatable {
    package enum StopReason: Sendable, Equatable {
        case string(String)
        case token(Int)
    }

    /// `stop`, `length` or `tool_calls`.
    package var finishReason: String
    /// The stop string or stop token.
    package var stopReason: StopReason?

    package init(finishReason: String, stopReason: StopReason? = nil) {
        self.finishReason = finishReason
        self.stopReason = stopReason
    }
}
