//  The sigma of the chunked form (and of the quadratic one, which is a single chunk).
//
//      weights   w_ts = exp(seg) K_ts: the decay, the products, the rounding to the format of the products, and the sum K = C · B,
//                whose sum of squares is taken to be |C|² |B|² / N where N is large
//      sums      over tokens and over n, in an order between one running sum and many (SpreadSequence.swift)
//      state     V <- exp(ℓ_end)² V + roundings of H and of U, number by number; a kernel is followed from chunk to chunk
//
//  What the tokens of a chunk share is in BlockTerms.swift, and in StateSpread.swift
//  once it has left the chunk.

import DualityCore
import DualityReference

extension SpreadSequence {
    /// O(L (Q (N + P) + P N)) time, about six times that of the form itself.
    func chunkedSigma(_ arithmetic: KernelArithmetic, size: Int) -> HeadErrors {
        var walk = ChunkedSigma(self, arithmetic)
        var first = 0
        while first < length {
            let chunk = arithmetic.chunk(at: first, ofSequenceAt: start, length: length)
            walk.advance(over: chunk)
            first = chunk.upperBound
        }
        return HeadErrors(
            y: walk.y, yErrors: walk.variances.map { $0.squareRoot() },
            stateErrors: walk.state.indices.map { i in
                let known = walk.followed[i] - walk.state[i]
                return (walk.spread.total(at: i) + known * known).squareRoot()
            })
    }
}

struct ChunkedSigma {
    let sequence: SpreadSequence
    let arithmetic: KernelArithmetic
    /// ν of operations.
    let operation: Double
    /// The rounding of weights, and of scaled B, as operands of products; products of such are
    /// exact.
    let factor: RoundingVariance
    let isNarrow: Bool
    /// B and C in that format, `[L, N]`.
    let roundedB: [Double]
    let roundedC: [Double]
    /// x̄ = Δ x, `[L, P]`.
    let input: [Double]
    /// Relative variance of x̄ besides that of Δ.
    let inputVariance: Double

    var state: [Double]
    /// Ŝ: the state of a kernel that is followed, as in RecurrentSigma.swift; `[P, N]`.
    var followed: [Double]
    /// The largest magnitude so far of each number of the state, for trees; `[P, N]`.
    var peak: [Double]
    var spread: StateSpread
    var y: [Double]
    var variances: [Double]

    init(_ sequence: SpreadSequence, _ arithmetic: KernelArithmetic) {
        self.sequence = sequence
        self.arithmetic = arithmetic
        operation = arithmetic.operationVariance.relative
        factor = arithmetic.storageVariance(arithmetic.products)
        isNarrow = !arithmetic.products.holds(arithmetic.accumulate)
        roundedB = isNarrow ? sequence.b.map { arithmetic.products.round($0) } : sequence.b
        roundedC = isNarrow ? sequence.c.map { arithmetic.products.round($0) } : sequence.c
        let (headDim, step) = (sequence.headDim, sequence.factor)
        input = sequence.x.enumerated().map { i, x in step[i / headDim] * x }
        if let format = arithmetic.scaledInput {
            inputVariance = operation + arithmetic.storageVariance(format).relative + factor.relative
        } else {
            inputVariance = 0
        }
        state = sequence.initialState
        followed = state
        peak = [Double](repeating: 0, count: state.count)
        spread = StateSpread(headDim: headDim, stateDim: sequence.stateDim)
        y = [Double](repeating: 0, count: sequence.x.count)
        variances = y
    }

    mutating func advance(over chunk: Range<Int>) {
        let decays = ChunkDecaySpreads(sequence, over: chunk, arithmetic)
        var terms = sequence.terms(
            of: chunk, inputVariance: inputVariance, underflow: arithmetic.underflowVariance)
        terms.decayDeviations = zip(chunk, decays.ends).map { t, end in
            (sequence.logDecayVariances[t] + end).squareRoot()
        }
        terms.partialSums = operation / 2
        terms.sharedSums = sequence.isReversed && arithmetic.decaySums == .segments ? operation : 0
        let copy = arithmetic.storageVariance(arithmetic.chunkStates)
        let copies = state.map { copy.variance(at: $0) + factor.variance(at: $0) }

        for t in chunk { readOut(t, of: chunk, decays, copies, &terms) }
        pass(over: chunk, decays, terms)
    }

    /// y_t and its variance.
    private mutating func readOut(
        _ t: Int, of chunk: Range<Int>, _ decays: ChunkDecaySpreads, _ copies: [Double], _ terms: inout BlockTerms
    ) {
        let (headDim, stateDim, first) = (sequence.headDim, sequence.stateDim, chunk.lowerBound)
        let (now, operation, isNarrow, underflow) = (t - first, operation, isNarrow, arithmetic.underflowVariance)
        let weights = weights(t, of: chunk, decays)
        let decay = Double.exp(decays.sums[now])
        let decayVariance = decays.variance(entering: now)
        let carried = spread.effects(on: sequence.c, at: t * stateDim, decay: decay)
        let (state, common, elements, followed) = (self.state, spread.common, spread.variance, self.followed)
        var entering = [(value: Double, squares: Double)](repeating: (0, 0), count: headDim)
        withPointers(to: &y, &variances) { y, variances in
            withPointers(state, elements, common, copies) { state, elements, common, copies in
                withPointers(sequence.c, sequence.cSquares, input, followed) { c, cSquares, x, followed in
                    let (c, cSquares) = (c + t * stateDim, cSquares + t * stateDim)
                    let (y, variances) = (y + t * headDim, variances + t * headDim)
                    for p in 0..<headDim {
                        let row = p * stateDim
                        let value = dot(state + row, c, stateDim)
                        let squares = dotOfSquares(state + row, cSquares, stateDim)
                        let along = dot(common + row, c, stateDim)
                        let known = dot(followed + row, c, stateDim) - value
                        let variance =
                            dot(elements + row, cSquares, stateDim) + dot(copies + row, cSquares, stateDim)
                            + along * along + known * known
                            + sumVariance(
                                value, squares: squares, terms: stateDim, relative: operation, exactProducts: isNarrow)
                        // Underflow of the products, and of exp(ℓ) C where a kernel scales that and
                        // not the sum.
                        let tiny = underflow * (Double(stateDim) + dot(state + row, state + row, stateDim))
                        y[p] = decay * value
                        entering[p] = (decay * value, decay * decay * squares)
                        variances[p] =
                            decay * decay * (variance + value * value * (operation + decayVariance)) + tiny
                    }
                    for (s, weight) in zip(first..., weights) {
                        addScaled(weight.value, x + s * headDim, to: y, headDim)
                    }
                    let own = weights[now].value
                    let additions = Double(stateDim) / 4
                    for p in 0..<headDim {
                        // Where the terms of the entering state are added to those of the chunk,
                        // and not summed apart, each addition is rounded at the size of these, if
                        // it changes them at all.
                        let inside = y[p] - entering[p].value
                        variances[p] += additions * min(operation * inside * inside, entering[p].squares / additions)
                        // The error of ℓ_t is shared by all earlier terms of y_t.
                        let earlier = y[p] - own * x[t * headDim + p]
                        variances[p] += decays.ends[now] * earlier * earlier + operation * y[p] * y[p]
                    }
                    terms.add(weights, y: y, x: x + first * headDim, carried: carried, to: variances)
                }
            }
        }
    }

    /// w_ts with the variance of what is theirs alone.
    private func weights(_ t: Int, of chunk: Range<Int>, _ decays: ChunkDecaySpreads) -> [WeightSpread] {
        let first = chunk.lowerBound
        let variances = decays.variances(to: t - first)
        var cell = RoundingCell()
        let weights = (first...t).reversed().map { s in
            let decay = Double.exp(decays.segment(s - first, t - first))
            let gram = sequence.gram(t, s)
            let value = decay * gram
            // Where Δ is part of the weight it is rounded with it.
            let step = arithmetic.scaledInput == nil ? sequence.factor[s] : 1
            if step == 0 { return WeightSpread(value: value) }  // it meets an x̄ of 0
            let squares = sequence.gramSquares(t, s)
            // The leaves of a tree run the recurrence: the state is rounded at every token.
            let inState = arithmetic.isTree ? operation * squares * Double(1 + 2 * (t - s)) : 0
            let ofGram =
                decay * decay
                * (inState
                    + sumVariance(
                        gram, squares: squares, terms: sequence.stateDim, relative: operation, exactProducts: isNarrow))
            let own =
                value * value * (2 * operation + variances[s - first])
                + arithmetic.underflowVariance * Double(sequence.stateDim + 1) / (step * step)
            // Two errors can repeat from token to token, and only the larger is followed: with
            // narrow products the rounding of the weight, else the error of C · B.
            guard isNarrow else {
                return WeightSpread(
                    value: value, variance: own, sharedDeviation: ofGram.squareRoot(),
                    repetition: sequence.repeatsB[s] ? 1 : 0)
            }
            let stored = decay * roundedGram(t, s) * step
            let repeats = cell.take(stored, factor, arithmetic.products)
            return WeightSpread(
                value: value, variance: own + ofGram + cell.ownVariance / (step * step),
                sharedDeviation: cell.deviation / step, repetition: repeats ? 1 : 0)
        }
        return weights.reversed()
    }

    /// C_t · B_s of the operands in their narrow format.
    private func roundedGram(_ t: Int, _ s: Int) -> Double {
        let count = sequence.stateDim
        return withPointers(roundedC, roundedB) { dot($0 + t * count, $1 + s * count, count) }
    }

    /// The state and its spread from one end of the chunk to the other.
    private mutating func pass(over chunk: Range<Int>, _ decays: ChunkDecaySpreads, _ terms: BlockTerms) {
        let (headDim, stateDim, first, end) = (sequence.headDim, sequence.stateDim, chunk.lowerBound, chunk.count - 1)
        let before = state
        let weights = chunk.indices.map { Double.exp(decays.segment($0 - first, end)) }
        let kept = Double.exp(decays.sums[end])
        advanceState(over: chunk, weights, kept: kept)
        if isNarrow { addFactorRoundings(over: chunk, weights) }

        // What the numbers of a row share: the errors of its decays.
        var terms = terms
        let variances = decays.variances(to: end)
        for i in 0..<end { terms.inputVariances[i] += 2 * operation + decays.ends[end] + variances[i] }
        let ofKept = decays.variance(entering: end) + decays.ends[end]
        withPointers(input, sequence.b) { x, b in
            spread.take(
                terms, kept: kept, keptVariance: ofKept, weights: weights, before: before,
                x: x + first * headDim, b: b + first * stateDim)
        }
    }

    /// H and V, and the kernel that is followed.
    private mutating func advanceState(over chunk: Range<Int>, _ weights: [Double], kept: Double) {
        let (headDim, stateDim) = (sequence.headDim, sequence.stateDim)
        var update = [Double](repeating: 0, count: state.count)  // U
        var squares = update  // sum of the squares of its terms
        var scale = 0.0  // of an underflow of x̄ or B scaled by its decay, which is multiplied by the other
        withPointers(to: &update, &squares) { update, squares in
            withPointers(sequence.b, sequence.bSquares) { b, bSquares in
                for (weight, s) in zip(weights, chunk) {
                    var norm = 1.0
                    for p in 0..<headDim {
                        let scaled = weight * input[s * headDim + p]
                        norm += sequence.x[s * headDim + p] * sequence.x[s * headDim + p]
                        addScaled(scaled, b + s * stateDim, to: update + p * stateDim, stateDim)
                        addScaled(scaled * scaled, bSquares + s * stateDim, to: squares + p * stateDim, stateDim)
                    }
                    scale += max(norm, sequence.bNorms[s])
                }
            }
        }
        let lostInTree = Double(arithmetic.leaves(of: sequence.length)) * arithmetic.underflowVariance
        let format = arithmetic.accumulate
        let (addition, stored) = (arithmetic.operationVariance, arithmetic.storageVariance(arithmetic.state))
        let decay = format.round(kept)
        for i in state.indices {
            let old = kept * state[i]
            let new = old + update[i]
            let product = format.round(decay * followed[i])
            let sum = format.round(product + format.round(update[i]))
            let held = arithmetic.state.round(sum)
            spread.variance[i] =
                kept * kept * spread.variance[i] + operation * old * old + squares[i] * operation
                + sumVariance(
                    update[i], squares: squares[i], terms: chunk.count, relative: operation, exactProducts: isNarrow)
                + arithmetic.underflowVariance * scale
            // The rounding of a sum changes no more than the sum did, and that of storing it
            // likewise.
            let (ofSum, ofStorage) = (sum - product, sum - followed[i])
            spread.variance[i] +=
                min(addition.variance(at: new), ofSum * ofSum) + min(stored.variance(at: new), ofStorage * ofStorage)
            if lostInTree > 0 {
                peak[i] = max(peak[i], state[i].magnitude)
                spread.variance[i] += lostInTree * (peak[i] * peak[i])
            }
            state[i] = new
            followed[i] = held
        }
    }
}
