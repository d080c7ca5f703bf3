//  What the serving engine says about an answer while it computes it.

import DualityCore
import DualityQuant

/// Why an answer ended.
package enum ServingReason: Sendable, Equatable {
    /// One of the model's end tokens, or the end of what the constraint allows.
    case end(Int?)
    /// One of the request's stop tokens.
    case stopToken(Int)
    /// As many tokens as asked for, or as the context holds.
    case length
    /// The caller ended this choice, as at a stop string.
    case finished
    /// The request was cancelled, or its reader left.
    case cancelled

    /// The label of `vllm:request_success_total`.
    package var label: String {
        switch self {
        case .end, .stopToken, .finished: "stop"
        case .length: "length"
        case .cancelled: "abort"
        }
    }
}

/// Where a choice's time went, in seconds, and its tokens.
package struct ServingUsage: Sendable, Equatable {
    package var promptTokens = 0
    /// Of the prompt, those that a snapshot held.
    package var cachedTokens = 0
    /// Sampled, the end token among them.
    package var tokens = 0
    package var queueSeconds = 0.0
    package var promptSeconds = 0.0
    package var answerSeconds = 0.0
    /// How often the sequence had to give its memory away.
    package var preemptions = 0

    package init() {}
}

/// One step of an answer.
package enum ServingEvent: Sendable {
    /// The request left the queue. Comes once, first.
    case admitted(cachedTokens: Int)
    /// For every token of the prompt but the first, its log probability after those before it.
    /// Comes once, before the first token, if asked for.
    case promptScores([TokenScore])
    /// A token was drawn. Its log probability is NaN and `alternatives` empty unless
    /// `logprobs` was asked for. End and stop tokens come too, in front of `finished`.
    case token(choice: Int, TokenScore)
    /// A choice is over. The stream ends with the last choice.
    case finished(choice: Int, ServingReason, ServingUsage)
    /// The model or the constraint broke; the last event.
    case failed(InputError)
    /// The request was taken and will not be served, as when the engine drains; the last event.
    case rejected(ServingRejection)
}
