//  One request and its sequences, as the loop's thread has them.

import DualityCore

/// A request that was taken, on its way to the loop.
struct Submission: Sendable {
    let id: ServingID
    let request: ServingRequest
    let events: AsyncStream<ServingEvent>.Continuation
    let arrival: ContinuousClock.Instant
    /// Tokens of an answer, at most.
    let maxTokens: Int
}

/// A request in the loop.
final class ServingGroup {
    let submission: Submission
    /// One a choice. The first reads the prompt; the others begin from its memory.
    private(set) var sequences: [ServingSequence] = []
    /// Sequences that have not ended.
    private(set) var open: Int
    var isPaused = false
    var cachedTokens = 0
    private(set) var longestAnswer = 0

    var request: ServingRequest { submission.request }
    var id: ServingID { submission.id }
    var leader: ServingSequence { sequences[0] }

    /// - Parameter drafter: who guesses, if tokens may be read before they are known.
    init(_ submission: Submission, drafter: LookupDrafter?) {
        self.submission = submission
        open = submission.request.choices
        sequences = (0..<submission.request.choices).map { ServingSequence(self, choice: $0, drafter: drafter) }
    }

    /// Sequences that wait for the first one's prompt.
    var unborn: [ServingSequence] { sequences.filter { $0.phase == .unborn } }

    func ended(_ sequence: ServingSequence) {
        open -= 1
        longestAnswer = max(longestAnswer, sequence.answerCount)
        // Sequences and group hold each other.
        if open == 0 { sequences = [] }
    }
}
