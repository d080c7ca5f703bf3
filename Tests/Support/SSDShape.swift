//  Seeded operands of the operator, with everything in them.

import DualityCore
import DualityReference
import Testing

/// A seeded call of the operator with everything in it: groups, gate, skip, bias and an initial
/// state.
package struct SSDShape: Sendable, CustomTestStringConvertible {
    package var batch: Int
    package var length: Int
    package var heads: Int
    package var xHeads: Int
    package var bHeads: Int
    package var cHeads: Int
    package var headDim: Int
    package var stateDim: Int
    /// Typical Δ|A| of a token.
    package var decay: Double
    package var seed: UInt64

    package var testDescription: String {
        "L=\(length) H=\(heads) P=\(headDim) N=\(stateDim) decay=\(decay) seed=\(seed)"
    }

    package init(
        batch: Int = 2, length: Int = 37, heads: Int = 4, xHeads: Int = 2, bHeads: Int = 2, cHeads: Int = 4,
        headDim: Int = 5, stateDim: Int = 7, decay: Double = 0.3, seed: UInt64 = 1
    ) {
        (self.batch, self.length, self.heads) = (batch, length, heads)
        (self.xHeads, self.bHeads, self.cHeads) = (xHeads, bHeads, cHeads)
        (self.headDim, self.stateDim, self.decay, self.seed) = (headDim, stateDim, decay, seed)
    }

    package func inputs() throws -> SSDInputs<Double> {
        var random = RandomSource(seed: seed)
        func normal(_ shape: [Int], scale: Double = 1) -> Tensor<Double> {
            var tensor = Tensor(repeating: 0.0, shape: shape)
            for i in tensor.elements.indices { tensor.elements[i] = scale * random.normal() }
            return tensor
        }
        return try SSDInputs(
            x: normal([batch, length, xHeads, headDim]), dt: normal([batch, length, heads]),
            a: normal([heads]).map { -decay * (0.1 + $0.magnitude) }, b: normal([batch, length, bHeads, stateDim]),
            c: normal([batch, length, cHeads, stateDim]), d: normal([heads]),
            z: normal([batch, length, heads, headDim]), dtBias: normal([heads]),
            initialState: normal([batch, heads, headDim, stateDim]))
    }
}
