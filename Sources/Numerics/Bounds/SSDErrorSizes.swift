//  One size of error for every number that the operator returns: of a bound, a sigma or a floor.

import DualityCore
import DualityReference

/// A size of error for every number the operator returns.
public struct SSDErrorSizes: Sendable {
    /// For y, `[B, L, H, P]`.
    public let y: Tensor<Double>
    /// For the state after the last token of each row, `[B, H, P, N]`.
    public let finalState: Tensor<Double>
    /// For the state after the last token of each sequence, `[S, H, P, N]`.
    public let sequenceStates: Tensor<Double>
}

extension SSDErrorSizes {
    static func + (a: SSDErrorSizes, b: SSDErrorSizes) -> SSDErrorSizes {
        a.combined(with: b) { $0 + $1 }
    }

    func combined(with other: SSDErrorSizes, _ operation: (Double, Double) -> Double) -> SSDErrorSizes {
        func combine(_ a: Tensor<Double>, _ b: Tensor<Double>) -> Tensor<Double> {
            var result = a
            for i in result.elements.indices { result.elements[i] = operation(a.elements[i], b.elements[i]) }
            return result
        }
        return SSDErrorSizes(
            y: combine(y, other.y), finalState: combine(finalState, other.finalState),
            sequenceStates: combine(sequenceStates, other.sequenceStates))
    }

    /// A little more of everything: for the roundings of the bound's own computation and, beside
    /// float32 and narrower formats, for those of the oracle, which are 2^-29 of the kernel's a
    /// step (docs/numerics.md, section 8).
    var enlarged: SSDErrorSizes {
        combined(with: self) { a, _ in a.isNaN ? .infinity : a * (1 + 0x1p-8) }
    }
}
