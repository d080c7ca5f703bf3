//  Why the serving engine does not take a request.

import DualityCore

/// A request that was not taken.
package enum ServingRejection: Error, Sendable, Equatable {
    /// As many wait as may; a place is likely to be free in `retryAfter` seconds, 1 to 60.
    case queueFull(retryAfter: Int)
    /// Prompt and answer do not fit into the context of `limit` tokens.
    case contextLengthExceeded(limit: Int, promptTokens: Int, maxTokens: Int?)
    /// Something that the request itself says.
    case invalid(InputError)
    /// The engine is draining.
    case shuttingDown

    /// The label of `duality:requests_rejected_total`.
    package var code: String {
        switch self {
        case .queueFull: "queue_full"
        case .contextLengthExceeded: "context_length_exceeded"
        case .invalid: "invalid_value"
        case .shuttingDown: "shutting_down"
        }
    }
}
