//  The serving engine: requests in, events out. One thread owns the model and all sequences.

import DualityCore
import DualityQuant
import Synchronization

/// Answers many requests at once with one model.
package final class ServingEngine: Sendable {
    private let model: QuantModel
    private let limits: ServingLimits

    /// - Throws: `InputError` (`.value`) when the memory does not hold one sequence of the longest
    ///   length, with what would.
    package init(model: QuantModel, limits: ServingLimits) throws {
        self.model = model
        self.limits = limits
    }

    /// Budget, bytes of a snapshot and of a token, in one line.
    package var summary: String { "" }
    /// Tokens of a prompt and its answer, at most.
    package var maxModelLength: Int { limits.maxModelLength ?? model.contextLimit ?? .max }

    /// Takes a request.
    package func submit(_ request: ServingRequest) throws(ServingRejection) -> ServingAnswer {
        try submit([request])[0]
    }

    /// Takes several requests, all or none.
    package func submit(_ requests: [ServingRequest]) throws(ServingRejection) -> [ServingAnswer] {
        throw .shuttingDown
    }

    /// Ends a request within a step; its unfinished choices end as `.cancelled`.
    package func cancel(_ id: ServingID) {}

    /// Ends one choice within a step, as at a stop string.
    package func finish(_ id: ServingID, choice: Int) {}

    /// Stops drawing tokens for a request while its reader does not read, or goes on.
    package func setPaused(_ isPaused: Bool, for id: ServingID) {}

    /// Takes nothing more; waiting requests are cancelled. Returns when the last running sequence
    /// has ended and the thread has stopped.
    package func drain() async {}

    /// Ends everything within a step; for a drain that takes too long.
    package func cancelAll() {}

    package var statistics: ServingStatistics { ServingStatistics() }
}
