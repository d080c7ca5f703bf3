//  How far the forms of the matrix-valued recurrences are from their definition in float64, on a
//  model's own operands.
//
//  As SSDAgreement: errors are relative L2 errors of single heads, at their worst over layers;
//  operands are rounded to float32 once and given to both precisions.

import DualityCore
import DualityReference

/// One row of the comparison: a form in a precision, at its worst.
package struct RecurrenceAgreement: Sendable {
    /// How the recurrence was evaluated.
    package let form: RecurrenceForm
    /// `f64` or `f32`.
    package let precision: String
    /// The largest error of a head of the outputs.
    package internal(set) var y = SSDAgreement.Worst()
    /// The largest error of a head of the final states.
    package internal(set) var finalState = SSDAgreement.Worst()
    /// What the errors may be.
    package let limit: Double

    /// The larger of the two errors.
    package var worst: SSDAgreement.Worst { y.error >= finalState.error ? y : finalState }
    /// Whether both errors are within the limit.
    package var passes: Bool { worst.error <= limit }

    /// The definition, and chunks of 16 and of 64 tokens.
    package static let forms: [RecurrenceForm] = [.recurrent, .chunked(size: 16), .chunked(size: 64)]

    /// Runs every form in both precisions on every case.
    ///
    /// - Returns: float64 first, in the order of `forms`, then float32.
    package static func measure(
        on cases: [(name: String, inputs: RecurrenceInputs<Float>)], forms: [RecurrenceForm] = forms,
        progress: ((String) -> Void)? = nil
    ) -> [RecurrenceAgreement] {
        // The solver of KalmaNet multiplies rounding errors by the condition of its system, 51 for
        // a ridge of 0.02.
        var double = forms.map { RecurrenceAgreement(form: $0, precision: Double.name, limit: 1e-10) }
        var single = forms.map { RecurrenceAgreement(form: $0, precision: Float.name, limit: 2e-4) }
        for (name, inputs) in cases {
            progress?(name)
            let exact = inputs.converted(to: Double.self)
            let oracle = exact.evaluate(.recurrent)
            for i in forms.indices {
                double[i].take(exact.evaluate(forms[i]), against: oracle, inputs.heads, name)
                single[i].take(inputs.evaluate(forms[i]), against: oracle, inputs.heads, name)
            }
        }
        return double + single
    }

    private mutating func take<Scalar: RealNumber>(
        _ found: (o: Tensor<Scalar>, state: Tensor<Scalar>), against oracle: (o: Tensor<Double>, state: Tensor<Double>),
        _ heads: Int, _ name: String
    ) {
        let shape = [oracle.o.shape[0], heads, oracle.o.shape[1] / heads]
        if let got = try? found.o.reshaped(shape), let expected = try? oracle.o.reshaped(shape) {
            y.take(errorsByHead(got, expected, headAxis: 1), of: name)
        }
        finalState.take(errorsByHead(found.state, oracle.state, headAxis: 0), of: name)
    }
}
