//  The text that a calibration reads.

import DualityCore

/// Tokens in sequences of one length, and a name for what they are.
public struct CalibrationText: Sendable {
    /// `[N]` sequences; none is longer than a pass of the model.
    let sequences: [[Int]]
    /// Changes when the tokens do.
    let fingerprint: String

    var tokenCount: Int { sequences.reduce(0) { $0 + $1.count } }

    /// - Parameters:
    ///   - tokens: the text, at least 64 tokens.
    ///   - contextLimit: the most tokens of a sequence.
    /// - Throws: `InputError` (`.value`) for a text that is too short to learn from.
    public init(_ tokens: [Int], contextLimit: Int?) throws(InputError) {
        guard tokens.count >= 64 else {
            throw InputError(
                .value, in: "calibration text", expected: "at least 64 tokens", found: "\(tokens.count)",
                remedy: "Give a longer text; some ten thousand tokens are enough.")
        }
        let length = max(min(QuantModel.rowLimit, contextLimit ?? QuantModel.rowLimit), 1)
        sequences = stride(from: 0, to: tokens.count, by: length).map {
            Array(tokens[$0..<min($0 + length, tokens.count)])
        }
        var hash = ContentHash()
        for sequence in sequences { hash.add(sequence) }
        fingerprint = "\(tokens.count) tokens \(hash.text)"
    }
}
