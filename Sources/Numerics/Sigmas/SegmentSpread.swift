//  The pairs that a tree composes, with the errors that each composition adds.
//
//      α S + U        α and U with their variances; the part of U that moves the numbers of a row together is kept apart
//
//  TreeSigma.swift walks the tree; Associative.swift has the exact pairs.

import DualityCore
import DualityReference

/// A state with the errors that its own way through the tree has brought. All are `[P, N]`.
struct TreeState {
    var state: [Double]
    /// That of the kernel which is followed.
    var held: [Double]
    /// V
    var variance: [Double]
    /// The part of V that moves the numbers of a row together, as in StateSpread.swift.
    var common: [Double]

    init(_ state: [Double]) {
        (self.state, held) = (state, state)
        variance = [Double](repeating: 0, count: state.count)
        common = variance
    }
}

/// A segment with the errors of its pair.
struct SegmentSpread {
    /// ln α.
    var logDecay = 0.0
    /// What the roundings of its sum are in the kernel that is followed: the sum, and what it is of
    /// the same z exactly.
    var heldLogDecay = 0.0
    var sumOfHeld = 0.0
    /// U
    var after: TreeState

    func applied(to before: TreeState, _ arithmetic: KernelArithmetic, width: Int) -> TreeState {
        let (format, operation) = (arithmetic.accumulate, arithmetic.operationVariance)
        let decay = Double.exp(logDecay)
        let heldDecay = format.round(Double.exp(logDecay + (heldLogDecay - sumOfHeld)))
        // A decay that rounds to 1 is known, and followed; a product with it is exact.
        let isOne = heldDecay == 1 && format != .f64
        let ofExp = isOne ? 0 : arithmetic.relativeVarianceOfExp(logDecay)
        let underflow = isOne ? 0 : arithmetic.underflowVariance
        var result = after
        var direction = [Double](repeating: 0, count: width)
        for row in stride(from: 0, to: result.state.count, by: max(width, 1)) {
            for i in row..<row + width {
                let product = decay * before.state[i]
                let new = product + after.state[i]
                let heldProduct = format.round(heldDecay * before.held[i])
                // The rounding of a sum is at most either of its terms, which are numbers of the
                // format.
                let smaller = min(heldProduct.magnitude, after.held[i].magnitude)
                result.state[i] = new
                result.held[i] = format.round(heldProduct + after.held[i])
                result.variance[i] +=
                    decay * decay * before.variance[i] + min(operation.variance(at: new), smaller * smaller)
                    + (ofExp + (isOne ? 0 : operation.relative)) * product * product
                    + (product == 0 ? 0 : underflow)
                direction[i - row] = ofExp.squareRoot() * product
            }
            join(before.common[row..<row + width].map { decay * $0 }, to: &result.common, row: row)
            join(direction, to: &result.common, row: row)
        }
        return result
    }

    func followed(by next: SegmentSpread, _ arithmetic: KernelArithmetic, width: Int) -> SegmentSpread {
        SegmentSpread(
            logDecay: logDecay + next.logDecay,
            heldLogDecay: arithmetic.accumulate.round(heldLogDecay + next.heldLogDecay),
            sumOfHeld: sumOfHeld + next.sumOfHeld, after: next.applied(to: after, arithmetic, width: width))
    }
}

/// Adds a direction to one row of another: the square root of the sum of their squares, number by
/// number, the signs those of the sum when one of them is turned to point along the other.
func join(_ direction: [Double], to common: inout [Double], row: Int) {
    var along = 0.0
    for (n, number) in direction.enumerated() { along += number * common[row + n] }
    for (n, number) in direction.enumerated() where number != 0 {
        let other = common[row + n]
        let sum = other + (along < 0 ? -number : number)
        common[row + n] = Double(signOf: sum, magnitudeOf: (other * other + number * number).squareRoot())
    }
}

extension TreeState {
    /// S C of one row, its variance without that of the sum itself, the sum of the squares of its
    /// terms, and of those of the row.
    func readOut(
        _ c: UnsafePointer<Double>, _ cSquares: UnsafePointer<Double>, row: Int, count: Int
    ) -> (value: Double, variance: Double, squares: Double, norm: Double) {
        withPointers(state, held, variance, common) { s, f, v, common in
            let (s, f, v, common) = (s + row, f + row, v + row, common + row)
            let value = dot(s, c, count)
            let known = dot(f, c, count) - value
            let along = dot(common, c, count)
            return (
                value, dot(v, cSquares, count) + along * along + known * known, dotOfSquares(s, cSquares, count),
                dot(s, s, count)
            )
        }
    }
}
