//  What is said about one output of a kernel.

import DualityCore

/// A place in an output, and what was found there.
public struct Place: Sendable, Equatable {
    /// The full index.
    public let index: [Int]
    /// Token in its row, head, channel and row, where the output has such axes.
    public let token: Int?
    /// The head, where the output has that axis.
    public let head: Int?
    /// The channel, where the output has that axis.
    public let channel: Int?
    /// The row of the batch, the packed sequence of a state, or the row of a matrix.
    public let row: Int?
    /// The chunk of the token, and the position in it, by the case's chunk size.
    public let chunk: Int?
    /// The position in that chunk; nil without a chunk size or a token axis.
    public let positionInChunk: Int?
    /// The kernel's number.
    public let found: Double
    /// The exact answer.
    public let expected: Double
    /// The largest |found - expected| of a right kernel; nil where there is no bound.
    public let bound: Double?
    /// The standard deviation that a right kernel's roundings give the number.
    public let sigma: Double

    /// `token 64 (chunk 1, position 0), head 3, channel 2`.
    public var words: String {
        var parts: [String] = []
        if let row, row > 0 { parts.append("row \(row)") }
        if let token {
            let inside = chunk.flatMap { c in positionInChunk.map { " (chunk \(c), position \($0))" } } ?? ""
            parts.append("token \(token)\(inside)")
        }
        if let head { parts.append("head \(head)") }
        if let channel { parts.append("channel \(channel)") }
        return parts.isEmpty ? "index \(index)" : parts.joined(separator: ", ")
    }
}

/// The figures of one output.
public struct OutputReport: Sendable {
    /// The name of the tensor: `y`, `final_states` and so on.
    public let name: String
    /// What the figures below come to.
    public let verdict: Verdict
    /// As it was handed in, which is as expected.
    public let shape: [Int]
    /// The format it came in, as in the file.
    public let dtype: String
    /// The largest and the root mean square error.
    public let maxError: Double
    /// Root mean square error; numbers that are not finite add nothing.
    public let rmsError: Double
    /// ||error|| / ||exact||
    public let relativeError: Double
    /// The largest error / bound; nil where there is no bound.
    public let errorOverBound: Double?
    /// The largest error / sigma, its root mean square and its median.
    public let errorOverSigma: Double
    /// Root mean square of error / sigma; numbers that are not finite add nothing.
    public let rmsOverSigma: Double
    /// Median of error / sigma; of 100,000 to 200,000 numbers where there are more.
    public let medianOverSigma: Double
    /// ||error|| / ||error of the exact answer rounded to the output's format||; nil where that rounding is exact.
    public let errorOverFloor: Double?
    /// ||sums of magnitudes|| / ||exact||: 1 where nothing cancels; nil where it is not known.
    public let condition: Double?
    /// Error in units of the last place of the output's format, at 50, 90, 99 and 100 %.
    public let ulps: [Double]
    /// Numbers in the output.
    public let count: Int
    /// Elements beyond the bound, beyond the sigma limit, and NaN or infinite without reason.
    public let overBound: Int
    /// Numbers whose error / sigma is beyond `Limits.sigma`.
    public let overSigma: Int
    /// Numbers that are NaN or infinite where no declared format may overflow.
    public let nonFinite: Int
    /// The first element, in order of tokens, beyond the sigma limit (or beyond the bound, where
    /// none is beyond the sigma limit).
    public let firstOutside: Place?
    /// Where error / sigma is largest.
    public let worst: Place?
    /// Error along the tokens; nil without a token axis or below eight tokens.
    public let growth: Growth?
    /// Error by token and head; nil without one of these axes.
    public let map: ErrorMap?

    /// Why the verdict is what it is, in a few words.
    public let reason: String
}

/// How the error of an output changes along the tokens.
public struct Growth: Sendable {
    /// The first token of each bin.
    public let tokens: [Int]
    /// Root mean square error in each bin, and of error / sigma.
    public let rms: [Double]
    /// Root mean square of error / sigma in each bin.
    public let overSigma: [Double]
    /// `flat`, `like the square root of the position`, `linear` …
    public let words: String
    /// The exponent of a power law fitted to the bins.
    public let exponent: Double
}

/// error / sigma by token and head.
public struct ErrorMap: Sendable {
    /// The first token of each column.
    public let tokens: [Int]
    /// The rows of `overSigma`.
    public let heads: Int
    /// The largest error / sigma, `[heads, columns]`.
    public let overSigma: [Double]
    /// The root mean square of error / sigma of each head.
    public let headRMS: [Double]
}
