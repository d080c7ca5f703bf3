//  The sigma of the recurrent form.
//
//      V_t = a² V_{t-1} + ν (a S_{t-1})² + ν (x̄ B)² + spacing(S_t)² / 12            roundings of the state's own numbers
//      var(y_t) = sum over n of C_n² V_t + roundings of the sum S C + errors that are shared + (sum over n of C_n D_n)²
//
//  Not all of these roundings are random. Where a is close to 1, or a step repeats, or an increment
//  is below half the spacing of what it is added to, the same rounding happens again and again, in
//  the same direction. So one kernel is followed,
//
//      Ŝ_t = fl_state(fl(fl(a) Ŝ_{t-1}) + fl(fl(x̄) B))          D = Ŝ - S
//
//  and its error counts beside the variances: where roundings are random D is of their size, and
//  where they are not, a correct kernel has that error too.
//
//  Errors that a step or a decay shares among many numbers are in BlockTerms.swift for the
//  tokens of the same block, and in StateSpread.swift for those before it.

import DualityCore
import DualityReference

extension SpreadSequence {
    /// O(L (P N + W (P + N))) time with blocks of W = 64 tokens, about ten times that of the
    /// recurrence itself.
    func recurrentSigma(_ arithmetic: KernelArithmetic) -> HeadErrors {
        var walk = RecurrentSigma(self, arithmetic)
        for first in stride(from: 0, to: length, by: 64) { walk.advance(over: first..<min(first + 64, length)) }
        return HeadErrors(
            y: walk.y, yErrors: walk.variances.map { $0.squareRoot() }, stateErrors: walk.stateDeviations)
    }
}

private struct RecurrentSigma {
    let sequence: SpreadSequence
    let arithmetic: KernelArithmetic
    /// ν of operations.
    let operation: Double
    /// a, `[L]`.
    let decay: [Double]
    /// Relative standard deviation of a besides the error of Δ, `[L]`.
    let decayDeviations: [Double]
    /// x̄ = Δ x, `[L, P]`.
    let input: [Double]
    /// Relative variance of x̄ besides that of Δ.
    let inputVariance: Double

    var state: [Double]
    /// Ŝ, `[P, N]`.
    var followed: [Double]
    var spread: StateSpread
    var y: [Double]
    var variances: [Double]

    init(_ sequence: SpreadSequence, _ arithmetic: KernelArithmetic) {
        self.sequence = sequence
        self.arithmetic = arithmetic
        operation = arithmetic.operationVariance.relative
        decay = sequence.logDecay.map { Double.exp($0) }
        decayDeviations = zip(sequence.logDecay, sequence.logDecayVariances).map {
            // A decay that rounds to 1 is known, and followed.
            let isOne = arithmetic.accumulate.round(Double.exp($0)) == 1
            return ($1 + (isOne ? 0 : arithmetic.relativeVarianceOfExp($0))).squareRoot()
        }
        let factor = sequence.factor
        let headDim = sequence.headDim
        input = sequence.x.enumerated().map { i, x in factor[i / headDim] * x }
        inputVariance = operation + (arithmetic.scaledInput.map { arithmetic.storageVariance($0).relative } ?? 0)
        state = sequence.initialState
        followed = state
        spread = StateSpread(headDim: headDim, stateDim: sequence.stateDim)
        y = [Double](repeating: 0, count: sequence.x.count)
        variances = y
    }

    /// Of each number of the state.
    var stateDeviations: [Double] {
        state.indices.map { i in
            (spread.total(at: i) + (followed[i] - state[i]) * (followed[i] - state[i])).squareRoot()
        }
    }

    mutating func advance(over block: Range<Int>) {
        let before = state
        let sums = sequence.logDecaySums(over: block)
        advanceState(over: block, sums)

        var terms = sequence.terms(
            of: block, inputVariance: inputVariance, underflow: arithmetic.underflowVariance)
        terms.decayDeviations = Array(decayDeviations[block])
        let (headDim, stateDim, first) = (sequence.headDim, sequence.stateDim, block.lowerBound)
        let (y, input) = (self.y, self.input)
        variances.withUnsafeMutableBufferPointer { variances in
            withPointers(y, input) { y, x in
                for (i, t) in block.enumerated() {
                    let weights = (first...t).map { s in
                        WeightSpread(value: Double.exp(sums[i] - sums[s - first]) * sequence.gram(t, s))
                    }
                    terms.add(
                        weights, y: y + t * headDim, x: x + first * headDim,
                        carried: spread.effects(on: sequence.c, at: t * stateDim, decay: Double.exp(sums[i])),
                        to: variances.base + t * headDim)
                }
            }
        }
        let end = sums[sums.count - 1]
        sequence.b.withUnsafeBufferPointer { b in
            input.withUnsafeBufferPointer { x in
                spread.take(
                    terms, kept: Double.exp(end), weights: sums.map { Double.exp(end - $0) }, before: before,
                    x: x.base + first * headDim, b: b.base + first * stateDim)
            }
        }
    }

    /// The state, its errors and the read-out, token by token.
    private mutating func advanceState(over block: Range<Int>, _ sums: [Double]) {
        let (headDim, stateDim) = (sequence.headDim, sequence.stateDim)
        for p in 0..<headDim {
            let row = p * stateDim
            let shared = Array(spread.common[row..<row + stateDim])
            for (i, t) in block.enumerated() {
                let rounding = StateRounding(arithmetic, decay: decay[t], input: input[t * headDim + p])
                let readOut = withPointers(to: &state, &spread.variance, &followed) { state, variance, followed in
                    withPointers(sequence.b, sequence.c, sequence.cSquares, shared) { b, c, cSquares, shared in
                        let (s, v, f) = (state + row, variance + row, followed + row)
                        let (c, cSquares) = (c + t * stateDim, cSquares + t * stateDim)
                        rounding.advance(s, v, f, b: b + t * stateDim, count: stateDim)
                        let value = dot(s, c, stateDim)
                        let known = dot(f, c, stateDim) - value
                        return (
                            value: value, variance: dot(v, cSquares, stateDim) + known * known,
                            squares: dotOfSquares(s, cSquares, stateDim), shared: dot(shared, c, stateDim)
                        )
                    }
                }
                let common = Double.exp(sums[i]) * readOut.shared
                y[t * headDim + p] = readOut.value
                variances[t * headDim + p] =
                    readOut.variance + common * common
                    + sumVariance(readOut.value, squares: readOut.squares, terms: stateDim, relative: operation)
            }
        }
    }
}
