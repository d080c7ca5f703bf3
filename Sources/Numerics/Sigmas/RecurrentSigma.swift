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
//  Errors that a step or a decay shares among many numbers are in RoundingSigmaTerms.swift for the
//  tokens of the same block, and in RoundingSigmaState.swift for those before it.

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

/// The roundings of one token on one row of the state.
struct StateRounding {
    let decay: Double
    let input: Double
    /// The same as the kernel that is followed has them.
    let roundedDecay: Double
    let roundedInput: Double
    /// ν a² and ν x̄².
    let ofProduct: Double
    let ofInput: Double
    let underflow: Double
    /// ν of the sum where its spacing is not known, 0 where it is.
    let ofSum: Double
    /// Spacing over binade and the smallest spacing, of operations and of the stored state; 0 where
    /// nothing is rounded.
    let spacing: Double
    let smallest: Double
    let storedSpacing: Double
    let smallestStored: Double

    init(_ arithmetic: KernelArithmetic, decay: Double, input: Double) {
        self.decay = decay
        self.input = input
        let format = arithmetic.accumulate
        let operation = arithmetic.operationVariance.relative
        roundedDecay = format.round(decay)
        roundedInput = format.round(input)
        ofProduct = roundedDecay == 1 ? 0 : operation * decay * decay
        ofInput = operation * input * input
        underflow = roundedDecay == 1 && input == 0 ? 0 : arithmetic.underflowVariance
        // In Double there is nothing to round to.
        ofSum = format == .f64 ? operation : 0
        spacing = format == .f64 ? 0 : 2 * format.unitRoundoff
        smallest = format == .f64 ? 0 : format.smallestSubnormal
        let isStored = !arithmetic.state.holds(format)
        storedSpacing = isStored ? 2 * arithmetic.state.unitRoundoff : 0
        smallestStored = isStored ? arithmetic.state.smallestSubnormal : 0
    }

    /// The first token after a state of zero: there is no product, and no sum to round.
    func begin(
        _ s: UnsafeMutablePointer<Double>, _ v: UnsafeMutablePointer<Double>, _ f: UnsafeMutablePointer<Double>,
        b: UnsafePointer<Double>, count: Int
    ) {
        for n in 0..<count {
            s[n] = input * b[n]
            f[n] = rounded(roundedInput * b[n], spacing, smallest)
            v[n] = s[n] == 0 ? 0 : ofInput * (b[n] * b[n]) + underflow
        }
    }

    @inline(__always)
    func advance(
        _ s: UnsafeMutablePointer<Double>, _ v: UnsafeMutablePointer<Double>, _ f: UnsafeMutablePointer<Double>,
        b: UnsafePointer<Double>, count: Int
    ) {
        if storedSpacing > 0 {
            follow(v, f, b: b, count: count, stores: true)
        } else {
            follow(v, f, b: b, count: count, stores: false)
        }
        for n in 0..<count {
            let old = s[n]
            let new = decay * old + input * b[n]
            v[n] += (ofProduct * (old * old) + ofInput * (b[n] * b[n])) + (ofSum * (new * new) + underflow)
            s[n] = new
        }
    }

    /// Moves the kernel that is followed, and adds to V the roundings of its sums and stores: each
    /// at most what it changes.
    @inline(__always)
    private func follow(
        _ v: UnsafeMutablePointer<Double>, _ f: UnsafeMutablePointer<Double>, b: UnsafePointer<Double>, count: Int,
        stores: Bool
    ) {
        let kept = decay * decay
        for n in 0..<count {
            let held = f[n]
            let product = rounded(roundedDecay * held, spacing, smallest)
            let increment = rounded(roundedInput * b[n], spacing, smallest)
            let sum = rounded(product + increment, spacing, smallest)
            let space = larger(spacing * binade(sum), smallest)
            var added = smaller((sum - product) * (sum - product), space * space * (1.0 / 12))
            if stores {
                // What is stored is uncertain by one rounding, even where it hardly changes.
                let space = larger(storedSpacing * binade(sum), smallestStored)
                let rounding = space * space * (1.0 / 12)
                added += smaller((sum - held) * (sum - held) + (1 - kept) * rounding, rounding)
                f[n] = rounded(sum, storedSpacing, smallestStored)
            } else {
                f[n] = sum
            }
            v[n] = kept * v[n] + added
        }
    }

    /// x rounded to a multiple of its spacing, ties to even; x itself where that is 0.
    @inline(__always)
    private func rounded(_ x: Double, _ spacing: Double, _ smallest: Double) -> Double {
        // Beside 1.5 2^52 spacings the last bit of a Double is one of them.
        let anchor = larger(spacing * binade(x), smallest) * 0x1.8p52
        return (x + anchor) - anchor
    }
}

/// The larger without regard to NaN: one instruction.
@inline(__always)
private func larger(_ a: Double, _ b: Double) -> Double { a > b ? a : b }

/// The smaller, likewise.
@inline(__always)
private func smaller(_ a: Double, _ b: Double) -> Double { a < b ? a : b }

/// The power of two at or below |x|; 0 for subnormal numbers.
@inline(__always)
private func binade(_ x: Double) -> Double { Double(bitPattern: x.bitPattern & 0x7ff0_0000_0000_0000) }

/// sum over i of `a[i]² b[i]`.
@inline(__always)
func dotOfSquares(_ a: UnsafePointer<Double>, _ b: UnsafePointer<Double>, _ count: Int) -> Double {
    var (s0, s1, s2, s3) = (0.0, 0.0, 0.0, 0.0)
    var i = 0
    while i + 4 <= count {
        s0 += a[i] * a[i] * b[i]
        s1 += a[i + 1] * a[i + 1] * b[i + 1]
        s2 += a[i + 2] * a[i + 2] * b[i + 2]
        s3 += a[i + 3] * a[i + 3] * b[i + 3]
        i += 4
    }
    while i < count {
        s0 += a[i] * a[i] * b[i]
        i += 1
    }
    return (s0 + s1) + (s2 + s3)
}
