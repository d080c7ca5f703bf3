//  One head of one sequence, with the variances its steps and their logarithms bring along.

import DualityCore

/// One head of one sequence as the walks over variances read it.
struct SpreadSequence {
    let length: Int
    let headDim: Int
    let stateDim: Int
    /// Where in its row the sequence begins; chunks are counted from the start of the row.
    let start: Int
    /// Δ, `[L]`.
    let step: [Double]
    /// Relative standard deviation of Δ, `[L]`.
    let stepDeviations: [Double]
    /// z = Δ A, `[L]`.
    let logDecay: [Double]
    /// Variance of z besides that of Δ, `[L]`.
    let logDecayVariances: [Double]
    /// Sum of z over the tokens of the row between the beginning of the chunk and that of the sequence.
    let lead: Double
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
        let z = rowSteps.map { Spread($0.value * rate).rounded(arithmetic.operationVariance).rounded(stored) }
        step = rowSteps[start...].map(\.value)
        stepDeviations = rowSteps[start...].map { $0.relative.squareRoot() }
        logDecay = z[start...].map(\.value)
        logDecayVariances = z[start...].map(\.variance)
        let chunkStart = arithmetic.chunkSize.map { start - start % $0 } ?? start
        lead = z[chunkStart..<start].reduce(0) { $0 + $1.value }
        x = columns(of: inputs.x, row: run.row, tokens: run.tokens, head: inputs.headMap.x[head], width: headDim)
        b = columns(of: inputs.b, row: run.row, tokens: run.tokens, head: inputs.headMap.b[head], width: stateDim)
        c = columns(of: inputs.c, row: run.row, tokens: run.tokens, head: inputs.headMap.c[head], width: stateDim)
        bSquares = b.map { $0 * $0 }
        cSquares = c.map { $0 * $0 }
        func norms(_ squares: [Double]) -> [Double] {
            stride(from: 0, to: squares.count, by: stateDim).map { squares[$0..<$0 + stateDim].reduce(0, +) }
        }
        bNorms = norms(bSquares)
        cNorms = norms(cSquares)
        let (b, length) = (self.b, self.length)
        repeatsB = (0..<length).map { t in
            t + 1 < length && (0..<stateDim).allSatisfy { b[t * stateDim + $0] == b[(t + 1) * stateDim + $0] }
        }
        initialState = run.initialState(of: head, in: inputs)
    }

    /// C_t · B_s.
    func gram(_ t: Int, _ s: Int) -> Double {
        withPointers(c, b) { dot($0 + t * stateDim, $1 + s * stateDim, stateDim) }
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

/// The variance of rounding in a sum of `terms` products of which `squares` is the sum of squares: of each product unless
/// they are exact, and of the additions. The square of a partial sum is on average a third of that of the whole and a sixth
/// of that of a random walk. Summed one after another there are as many partial sums as terms, in eight lanes an eighth;
/// half of them are counted, which is right to within a factor of two.
@inline(__always)
func sumVariance(_ value: Double, squares: Double, terms: Int, relative: Double, exactProducts: Bool = false) -> Double
{
    let additions = Double(terms - 1) / 2
    return relative * ((exactProducts ? 0 : squares) + additions * (value * value / 3 + squares / 6))
}
