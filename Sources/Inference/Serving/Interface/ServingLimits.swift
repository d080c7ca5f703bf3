//  How much the serving engine takes on.

/// The limits of a serving engine.
package struct ServingLimits: Sendable {
    /// Sequences computed together.
    package var maxSequences = 64
    /// Sequences that wait; beyond that requests are refused.
    package var maxQueue = 256
    /// Tokens of a prompt and its answer; nil for the model's context.
    package var maxModelLength: Int?
    /// Bytes for live sequences and snapshots together; nil for 60 % of what is free.
    package var cacheMemory: Int?
    /// Whether the weights are mapped from a file, and so not counted by the system as taken.
    package var weightsAreMapped = false
    /// Rows of one step, at most `QuantModel.rowLimit`; nil for that.
    package var maxBatchedTokens: Int?
    /// How much longer a step may take for the rows of prompts beside those that decode.
    package var decodeSlowdown = 1.5
    /// Whether what was read is kept for other requests.
    package var cachesPrefixes = true
    /// Whether rows that a step has left read tokens before they are known, guessed from where the
    /// last few occurred before.
    package var looksUp = false
    /// Where snapshots of systems and turns are kept over restarts; nil for nowhere.
    package var stateDirectory: String?
    /// What names the model's weights and formats in those files, such as a content hash.
    package var modelIdentity = ""
    /// Is told what an operator should know, one line each.
    package var notice: (@Sendable (String) -> Void)?

    package init() {}
}
