//  What every kind of case can do: say which outputs it judges, compute what to expect of them, and
//  look for a known fault.

import DualityCore
import DualityNumerics
import DualityReference

/// An output that a kind knows.
struct OutputShape: Sendable {
    let name: String
    let shape: [Int]
    let axes: [Axis]
}

/// A kind of case, with the operands of one call.
protocol KindJudge: Sendable {
    /// The outputs that may be handed in.
    var outputs: [OutputShape] { get }
    /// Tokens in a chunk, where there are chunks.
    var chunkSize: Int? { get }
    /// What is expected of the outputs in `found`.
    ///
    /// - Parameter formats: the number format each was handed in.
    func expect(_ found: [String: Tensor<Double>], formats: [String: NumberFormat]) throws -> Expectations
    /// The known faults that explain what was found.
    ///
    /// - Parameter seeksPairs: whether two faults at once are tried, where one does not explain it;
    ///   that takes long.
    func diagnose(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], seeksPairs: Bool
    ) -> Diagnosis
}

/// Expected outputs, and by what.
struct Expectations: Sendable {
    let outputs: [Expectation]
    /// The arithmetic in words.
    let precision: String
    /// What was left out, in sentences.
    var remarks: [String] = []
    /// The mean of -dt A a token, of each head; empty where there are no heads.
    var decays: [Double] = []
}
