//  What the serving engine counts. Every number is exact: the sum over all answers is the
//  difference of two statistics.

/// Counters since the start, and gauges of this moment.
package struct ServingStatistics: Sendable {
    /// Why a token of a prompt had to be read.
    package enum ReadReason: String, Sendable, CaseIterable {
        /// No prompt before had it there.
        case new
        /// Earlier prompts had it there, but no snapshot was placed behind it.
        case divergence
        /// A snapshot behind it was evicted.
        case evicted
        /// It was read before by a sequence that had to give its memory away.
        case preempted
        /// Its log probability was asked for.
        case scored
    }

    package enum StepKind: String, Sendable, CaseIterable {
        case decode, mixed, prompt
    }

    // Gauges.
    package internal(set) var running = 0
    package internal(set) var waiting = 0
    package internal(set) var liveBytes = 0
    package internal(set) var treeBytes = 0
    package internal(set) var weightBytes = 0
    package internal(set) var workspaceBytes = 0
    package internal(set) var budgetBytes = 0
    /// The most that sequences and snapshots held at the end of a step.
    package internal(set) var peakBytes = 0
    package internal(set) var snapshots = 0
    package internal(set) var snapshotBytes = 0

    // Counters.
    package internal(set) var promptTokens = 0
    package internal(set) var generationTokens = 0
    package internal(set) var prefixQueries = 0
    package internal(set) var prefixHits = 0
    package internal(set) var preemptions = 0
    package internal(set) var prefixWaits = 0
    package internal(set) var cancelled = 0
    package internal(set) var steps = 0
    /// Guesses, their tokens, and those of them that came true.
    package internal(set) var drafts = 0
    package internal(set) var draftTokens = 0
    package internal(set) var acceptedTokens = 0
    /// By `ServingReason.label`.
    package internal(set) var ended = ["stop": 0, "length": 0, "abort": 0]
    package internal(set) var rejected: [String: Int] = [:]
    package internal(set) var placed: [SnapshotKind: Int] = [:]
    package internal(set) var hits: [SnapshotKind: Int] = [:]
    package internal(set) var evictions: [SnapshotKind: Int] = [:]
    package internal(set) var tokensRead: [ReadReason: Int] = [:]

    // Histograms.
    package internal(set) var timeToFirstToken = ServingHistogram.requestSeconds
    package internal(set) var interTokenLatency = ServingHistogram.tokenSeconds
    package internal(set) var timePerOutputToken = ServingHistogram.tokenSeconds
    package internal(set) var requestSeconds = ServingHistogram.requestSeconds
    package internal(set) var queueSeconds = ServingHistogram.requestSeconds
    package internal(set) var promptSeconds = ServingHistogram.requestSeconds
    package internal(set) var decodeSeconds = ServingHistogram.requestSeconds
    package internal(set) var inferenceSeconds = ServingHistogram.requestSeconds
    package internal(set) var requestPromptTokens = ServingHistogram.counts
    package internal(set) var requestGenerationTokens = ServingHistogram.counts
    package internal(set) var requestMaxGenerationTokens = ServingHistogram.counts
    package internal(set) var requestChoices = ServingHistogram.counts
    package internal(set) var requestMaxTokens = ServingHistogram.counts
    package internal(set) var iterationTokens = ServingHistogram.counts
    package internal(set) var restoreSeconds = ServingHistogram.tokenSeconds
    package internal(set) var stepSeconds: [StepKind: ServingHistogram] = [:]
    package internal(set) var stepRows = ServingHistogram.counts

    package init() {}
}
