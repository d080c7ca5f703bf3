//  Sums of terms that have errors of their own, of many numbers at once: what gradients of layers
//  are.
//
//      bound   γ_(n+1) Σ(|term| + its bound) + Σ its bound        sigma²   ν (Σ term² + Σ partial sum²) + Σ its variance
//
//  u and ν are those of float32, as in LayerError.swift.

import DualityCore
import DualityNumerics
import DualityReference

/// Sums and the errors a kernel may make in them.
struct TermSums {
    private(set) var values: Tensor<Double>
    private var magnitudes: [Double]
    private var squares: [Double]
    private var counts: [Int]
    private var own: [LayerError]

    init(shape: [Int]) {
        values = Tensor(repeating: 0, shape: shape)
        magnitudes = [Double](repeating: 0, count: values.count)
        squares = magnitudes
        counts = [Int](repeating: 0, count: values.count)
        own = [LayerError](repeating: LayerError(bound: 0, variance: 0), count: values.count)
    }

    mutating func add(_ term: Double, error: LayerError = LayerError(bound: 0, variance: 0), at i: Int) {
        values.elements[i] += term
        magnitudes[i] += term.magnitude
        squares[i] += term * term + values.elements[i] * values.elements[i]
        counts[i] += 1
        own[i].bound += error.bound
        own[i].variance += error.variance
    }

    var errors: [LayerError] {
        values.elements.indices.map { i in
            LayerError(
                bound: LayerError.growth(counts[i] + 1) * (magnitudes[i] + own[i].bound) + own[i].bound
                    + NumberFormat.f32.smallestNormal,
                variance: LayerError.relativeVariance * squares[i] + own[i].variance)
        }
    }

    /// What outputs that are sums of terms must be.
    ///
    /// - Parameters:
    ///   - sums: by the outputs' names.
    ///   - formats: of the outputs that were handed in; float32 where absent.
    static func expectations(
        _ sums: [String: TermSums], of outputs: [OutputShape], formats: [String: NumberFormat], inputs: NumberFormat
    ) -> Expectations {
        Expectations(
            outputs: outputs.compactMap { sums[$0.name]?.expectation($0, format: formats[$0.name] ?? .f32) },
            precision: "inputs=\(inputs), sums in float32")
    }

    /// The expectation of an output of this name.
    func expectation(_ output: OutputShape, format: NumberFormat) -> Expectation {
        let sizes = zip(values.elements, errors).map { $1.stored($0, as: format) }
        return Expectation(
            output.name, axes: output.axes, exact: values, errors: sizes,
            magnitudes: Tensor(shape: output.shape, unchecked: magnitudes), format: format)
    }
}
