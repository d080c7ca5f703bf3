//  One head of one sequence, with the variances its steps and their logarithms bring along.

import DualityCore
import DualityReference

/// One head of one sequence as the walks over variances read it.
struct SpreadSequence {
    let length: Int
    let headDim: Int
    let stateDim: Int
    /// Where in its row the sequence begins; chunks are counted from the start of the row.
    private(set) var start: Int
    /// Δ, `[L]`: where it repeats, its errors do.
    private(set) var step: [Double]
    /// The factor of x: Δ, or 1; `[L]`.
    private(set) var factor: [Double]
    /// Relative standard deviation of Δ, `[L]`.
    private(set) var stepDeviations: [Double]
    /// z = Δ A, `[L]`.
    private(set) var logDecay: [Double]
    /// Variance of z besides that of Δ, `[L]`.
    private(set) var logDecayVariances: [Double]
    /// Sum of z over the tokens of the row between the beginning of the chunk and that of the
    /// sequence.
    private(set) var lead: Double
    /// What is known of the kernel's operands.
    var known = KnownOperands()
    /// Whether the tokens run backwards in time.
    private(set) var isReversed = false
    /// `[L, P]`
    let x: [Double]
    /// `[L, N]`
    let b: [Double]
    /// `[L, N]`
    let c: [Double]
    /// B² and C², `[L, N]`.
    let bSquares: [Double]
    let cSquares: [Double]
    /// sum over n of B², and of C²; `[L]`.
    let bNorms: [Double]
    let cNorms: [Double]
    /// Whether B is the same for a token and the next, `[L]`.
    let repeatsB: [Bool]
    /// `[P, N]`
    let initialState: [Double]

    init(
        _ inputs: SSDInputs<Double>, steps: Tensor<Spread>, run: SSDRun, head: Int, arithmetic: KernelArithmetic
    ) {
        length = run.tokens.count
        headDim = inputs.headDim
        let stateDim = inputs.stateDim
        self.stateDim = stateDim
        let start = run.tokens.lowerBound
        self.start = start
        let rate = inputs.a.elements[head]
        let stored = arithmetic.storageVariance(arithmetic.steps)
        let rowSteps = (0..<run.tokens.upperBound).map {
            steps.elements[(run.row * inputs.length + $0) * inputs.heads + head]
        }
        let readRate = arithmetic.accumulate.round(rate)
        let z = rowSteps.map { step in
            let exact = Spread(step.value * rate)
            // The product of a step that is known is known.
            let isKnown = step.variance == 0 && arithmetic.accumulate != .f64
            return isKnown ? exact : exact.rounded(arithmetic.operationVariance).rounded(stored)
        }
        let knownZ = rowSteps[start...].map { step in
            let exact = step.value * readRate
            guard step.variance == 0 else { return exact }
            // Of its own rounding alone: what rounding dt + dtBias does is counted in
            // RoundingSigma.swift.
            let product = arithmetic.accumulate.round(step.value) * readRate
            return exact + (arithmetic.steps.round(arithmetic.accumulate.round(product)) - product)
        }
        step = rowSteps[start...].map(\.value)
        factor = step
        stepDeviations = rowSteps[start...].map { $0.relative.squareRoot() }
        logDecay = z[start...].map(\.value)
        logDecayVariances = z[start...].map(\.variance)
        if arithmetic.accumulate != .f64, knownZ != logDecay { known.logDecay = knownZ }
        let chunkStart = arithmetic.isTree ? start : arithmetic.chunkSize.map { start - start % $0 } ?? start
        lead = z[chunkStart..<start].reduce(0) { $0 + $1.value }
        let (row, tokens, map) = (run.row, run.tokens, inputs.headMap)
        x = columns(of: inputs.x, row: row, tokens: tokens, head: map.x[head], width: headDim)
        b = columns(of: inputs.b, row: row, tokens: tokens, head: map.b[head], width: stateDim)
        c = columns(of: inputs.c, row: row, tokens: tokens, head: map.c[head], width: stateDim)
        initialState = run.initialState(of: head, in: inputs)
        (bSquares, cSquares, bNorms, cNorms, repeatsB) = Self.squares(b, c, length, stateDim)
    }

    /// The steps and decays of another sequence with other operands: x `[L, P]`, B and C `[L, N]`,
    /// S_0 `[P, N]`.
    init(
        like other: SpreadSequence, headDim: Int, stateDim: Int, x: [Double], b: [Double], c: [Double],
        initialState: [Double]
    ) {
        // Δ is in the operands already.
        factor = [Double](repeating: 1, count: other.length)
        (length, start, lead) = (other.length, other.start, other.lead)
        (step, stepDeviations) = (other.step, other.stepDeviations)
        (logDecay, logDecayVariances) = (other.logDecay, other.logDecayVariances)
        known.logDecay = other.known.logDecay
        (self.headDim, self.stateDim, self.x, self.b, self.c) = (headDim, stateDim, x, b, c)
        self.initialState = initialState
        (bSquares, cSquares, bNorms, cNorms, repeatsB) = Self.squares(b, c, length, stateDim)
    }

    /// Turns the decays around in time, each token taking that of the next: the error of Δ is in
    /// it, and Δ itself in nothing.
    mutating func reverseDecays(start: Int) {
        func shifted(_ numbers: [Double]) -> [Double] { length == 0 ? [] : [0] + numbers.dropFirst().reversed() }
        let deviations = stepDeviations
        let ofSteps = logDecay.indices.map { t in
            let deviation = deviations[t] * logDecay[t]
            return logDecayVariances[t] + deviation * deviation
        }
        (logDecay, logDecayVariances, step) = (shifted(logDecay), shifted(ofSteps), shifted(step))
        isReversed = true
        known.logDecay = known.logDecay.map(shifted)
        stepDeviations = [Double](repeating: 0, count: length)
        (self.start, lead) = (start, 0)
    }

    /// B² and C², the sums of each over n, and where B repeats.
    private static func squares(
        _ b: [Double], _ c: [Double], _ length: Int, _ stateDim: Int
    ) -> ([Double], [Double], [Double], [Double], [Bool]) {
        let (bSquares, cSquares) = (b.map { $0 * $0 }, c.map { $0 * $0 })
        func norms(_ squares: [Double]) -> [Double] {
            stride(from: 0, to: squares.count, by: stateDim).map { squares[$0..<$0 + stateDim].reduce(0, +) }
        }
        let repeats = (0..<length).map { t in
            t + 1 < length && (0..<stateDim).allSatisfy { b[t * stateDim + $0] == b[(t + 1) * stateDim + $0] }
        }
        return (bSquares, cSquares, norms(bSquares), norms(cSquares), repeats)
    }

    /// C_t · B_s.
    func gram(_ t: Int, _ s: Int) -> Double {
        withPointers(c, b) { dot($0 + t * stateDim, $1 + s * stateDim, stateDim) }
    }

    /// The sum of the squares of the terms of C_t · B_s; where there are many, that of as many
    /// equal ones.
    func gramSquares(_ t: Int, _ s: Int) -> Double {
        if stateDim > 16 { return cNorms[t] * bNorms[s] / Double(stateDim) }
        return withPointers(cSquares, bSquares) { dot($0 + t * stateDim, $1 + s * stateDim, stateDim) }
    }

    /// ln of the decay from the block's beginning up to and with each of its tokens.
    func logDecaySums(over block: Range<Int>) -> [Double] {
        var sum = 0.0
        return block.map {
            sum += logDecay[$0]
            return sum
        }
    }

    /// The terms of a block, without the errors of decays, which depend on the form.
    ///
    /// - Parameter inputVariance: relative, of each number of x̄ besides that of Δ.
    func terms(of block: Range<Int>, inputVariance: Double, underflow: Double) -> BlockTerms {
        var terms = BlockTerms(headDim: headDim)
        terms.logDecay = Array(logDecay[block])
        terms.stepDeviations = Array(stepDeviations[block])
        terms.inputVariances = [Double](repeating: inputVariance, count: block.count)
        terms.repetitions = block.map { $0 + 1 < length && step[$0 + 1] == step[$0] ? 1 : 0 }
        terms.underflow = underflow
        terms.decayDeviations = [Double](repeating: 0, count: block.count)
        return terms
    }
}

/// The variance of rounding in a sum of `terms` products of which `squares` is the sum of squares:
/// of each product unless they are exact, and of the additions. The square of a partial sum is on
/// average a third of that of the whole and a sixth of that of a random walk. Summed one after
/// another there are as many partial sums as terms, in eight lanes an eighth; half of them are
/// counted, which is right to within a factor of two.
@inline(__always)
func sumVariance(_ value: Double, squares: Double, terms: Int, relative: Double, exactProducts: Bool = false) -> Double
{
    let additions = Double(terms - 1) / 2
    return relative * ((exactProducts ? 0 : squares) + additions * (value * value / 3 + squares / 6))
}
