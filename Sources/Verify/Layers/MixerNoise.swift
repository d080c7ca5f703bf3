//  The noise by which the sigma of a whole mixer is sampled: every stage moved by what storing it,
//  and summing it in float32, may change.

import DualityCore
import DualityNumerics
import DualityReference

/// Random changes of the size that roundings have.
struct MixerNoise {
    let storage: NumberFormat
    private var random: RandomSource
    /// Whether softplus is taken as log(1 + exp(u)).
    private let isNaive: Bool

    init(storage: NumberFormat, seed: UInt64, isNaive: Bool) {
        (self.storage, self.isNaive) = (storage, isNaive)
        random = RandomSource(seed: seed)
    }

    /// Moves raw steps so that the softplus of each changes by a rounding of 1 + exp(u), where
    /// kernels that form that sum do.
    mutating func moveSteps(_ steps: inout Tensor<Double>, bias: Tensor<Double>) {
        guard isNaive else { return }
        for i in steps.elements.indices {
            let slope = Double.sigmoid(steps.elements[i] + bias.elements[i % bias.count])
            steps.elements[i] += random.uniform(in: -1...1) * min(LayerError.unit / slope, 1)
        }
    }

    /// Moves an angle by what its product in float32, of a frequency in float32, may be off by.
    mutating func move(angle: inout Double) {
        angle += random.uniform(in: -2...2) * LayerError.unit * angle
    }

    /// Moves the numbers of a stage: by a rounding of each, and by what sums in float32 make of
    /// numbers of the row's size.
    mutating func move(_ values: inout [Double], rowsOf width: Int) {
        for first in stride(from: 0, to: values.count, by: max(width, 1)) {
            let row = first..<min(first + width, values.count)
            let size = (row.reduce(0) { $0 + values[$1] * values[$1] } / Double(row.count)).squareRoot()
            for i in row {
                values[i] += random.normal() * 2 * LayerError.unit * size
                values[i] += random.uniform(in: -1...1) * storage.unitRoundoff * values[i].magnitude
            }
        }
    }
}
