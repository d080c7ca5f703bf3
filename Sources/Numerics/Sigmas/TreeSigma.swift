//  The sigma of the associative form, carried along the tree that its segments are composed in.
//
//  What the operands' own errors do (of Δ, of z, of x̄) no tree changes: they go from leaf to leaf,
//  as from block to block in the recurrent form. Four things are the tree's own. V is a variance of
//  each number of a state, P what a factor multiplies:
//
//      leaf      U is a recurrence from zero, y of its tokens the read-out of that and of exp(seg) H
//      state     (α₂, U₂) ∘ (α₁, U₁), and a state H that enters a right child:
//                V <- α₂² V₁ + V₂ + ν (α₂ U₁)² + min(spacing(U)² / 12, the smaller term squared)
//      exp       evaluated once a node; its error moves one whole α₂ U₁, or α₁ H, in one direction
//      ln α      an addition at a node errs by ε once. It is in ln α of every node above, right children's U too, and comes to
//                one factor on the state from before the node in all that comes after it: ε² (α S)², whatever the tree
//
//  A balanced tree takes a state through log2 of as many roundings as there are leaves, one that
//  leans through all of them. One kernel is followed through the tree, its sums of logarithms
//  included: where z repeats, their roundings do, and pile up.
//
//  Associative.swift is the form itself; the walk below is line for line its own.

import DualityCore
import DualityReference

extension KernelArithmetic {
    /// The tree and leaf of a kernel that scans segments as they are. With narrower operands of
    /// products, or narrower copies of the state, a tree is taken as chunks of its leaves
    /// (KernelArithmetic+Tree.swift).
    var followedTree: (tree: ScanTree, leaf: Int)? {
        guard case .associative(let tree, let leaf) = form else { return nil }
        let isPlain = [products, chunkStates, state].allSatisfy { $0.holds(accumulate) }
        return isPlain ? (tree, max(leaf, 1)) : nil
    }
}

/// What is left to do on the way through a tree, as in Associative.swift.
private enum SpreadTask {
    case walk(leaves: Range<Int>, entering: TreeState)
    case cross(leaves: Range<Int>, entering: TreeState)
    /// `before` is the state before the node.
    case compose(before: [Double])
}

extension SpreadSequence {
    /// O(L (leaf (N + P) + P N)) time, about ten times that of the form itself, and its memory four
    /// times.
    func treeSigma(_ arithmetic: KernelArithmetic, tree: ScanTree, leaf: Int) -> HeadErrors {
        var random = RandomSource(seed: 0)
        if case .random(let seed) = tree { random = RandomSource(seed: seed) }
        var walk = TreeSigma(self, arithmetic)
        var segments: [SegmentSpread] = []
        let start = TreeState(initialState)
        var tasks = [SpreadTask.walk(leaves: 0..<max(1, arithmetic.leaves(of: length)), entering: start)]

        while let task = tasks.popLast() {
            switch task {
            case .walk(let leaves, let entering) where leaves.count == 1:
                let first = leaves.lowerBound * leaf
                segments.append(walk.leaf(first..<first + min(leaf, length - first), entering))
            case .walk(let leaves, let entering):
                let middle = tree.split(leaves, &random)
                tasks.append(.compose(before: entering.state))
                tasks.append(.cross(leaves: middle..<leaves.upperBound, entering: entering))
                tasks.append(.walk(leaves: leaves.lowerBound..<middle, entering: entering))
            case .cross(let leaves, let entering):
                let crossed = segments[segments.count - 1].applied(to: entering, arithmetic, width: stateDim)
                tasks.append(.walk(leaves: leaves, entering: crossed))
            case .compose(let before):
                let (right, left) = (segments.removeLast(), segments.removeLast())
                let whole = left.followed(by: right, arithmetic, width: stateDim)
                let smaller = max(left.logDecay, right.logDecay)
                let rounding = arithmetic.operationVariance.variance(at: whole.logDecay)
                walk.addLogarithmRounding(min(rounding, smaller * smaller), whole, before)
                segments.append(whole)
            }
        }
        let end = segments[0].applied(to: start, arithmetic, width: stateDim)
        return HeadErrors(
            y: walk.y, yErrors: walk.variances.map { $0.squareRoot() },
            stateErrors: end.state.indices.map { i in
                let known = end.held[i] - end.state[i]
                return (walk.spread.total(at: i) + end.variance[i] + known * known).squareRoot()
            })
    }
}

private struct TreeSigma {
    let sequence: SpreadSequence
    let arithmetic: KernelArithmetic
    /// ν of operations.
    let operation: Double
    /// x̄ = Δ x, `[L, P]`.
    let input: [Double]
    /// Relative variance of x̄ besides that of Δ.
    let inputVariance: Double
    /// What the errors of operands and of sums of logarithms have done to the state.
    var spread: StateSpread
    var y: [Double]
    var variances: [Double]

    init(_ sequence: SpreadSequence, _ arithmetic: KernelArithmetic) {
        self.sequence = sequence
        self.arithmetic = arithmetic
        operation = arithmetic.operationVariance.relative
        input = sequence.scaledInput
        inputVariance = operation + (arithmetic.scaledInput.map { arithmetic.storageVariance($0).relative } ?? 0)
        spread = StateSpread(headDim: sequence.headDim, stateDim: sequence.stateDim)
        y = [Double](repeating: 0, count: sequence.x.count)
        variances = y
    }

    /// The pair of a leaf, and y of its tokens, which `entering` enters.
    mutating func leaf(_ tokens: Range<Int>, _ entering: TreeState) -> SegmentSpread {
        var segment = SegmentSpread(after: TreeState([Double](repeating: 0, count: sequence.initialState.count)))
        guard !tokens.isEmpty else { return segment }
        let sums = sequence.logDecaySums(over: tokens)
        let decays = ChunkDecaySpreads(sequence, over: tokens, arithmetic)
        var terms = sequence.terms(of: tokens, inputVariance: inputVariance, underflow: arithmetic.underflowVariance)
        terms.decayDeviations = tokens.map { sequence.logDecayVariances[$0].squareRoot() }
        // The exponentials of the leaf's recurrence decay nothing that is older than the leaf.
        var exponentials = BlockTerms(headDim: sequence.headDim)
        exponentials.logDecay = terms.logDecay
        exponentials.stepDeviations = [Double](repeating: 0, count: tokens.count)
        exponentials.inputVariances = exponentials.stepDeviations
        exponentials.repetitions = terms.repetitions
        exponentials.decayDeviations = tokens.map { t in
            let z = sequence.logDecay[t]
            return arithmetic.accumulate.round(Double.exp(z)) == 1
                ? 0 : arithmetic.relativeVarianceOfExp(z).squareRoot()
        }

        var ofLogarithms = 0.0
        for (i, t) in tokens.enumerated() {
            let z = arithmetic.accumulate.round(sequence.logDecay[t])
            segment.logDecay = sums[i]
            segment.heldLogDecay = arithmetic.accumulate.round(segment.heldLogDecay + z)
            segment.sumOfHeld += z
            if i > 0 { ofLogarithms += arithmetic.operationVariance.variance(at: sums[i]) }
            advance(&segment.after, t, isFirst: i == 0)
            readOut(
                t, of: tokens, sums, decays, segment.after, entering: entering, terms: &terms,
                exponentials: &exponentials)
        }
        if arithmetic.accumulate == .f64 { segment.sumOfHeld = segment.heldLogDecay }  // nothing is followed there
        close(tokens, sums, terms, exponentials, entering: entering, segment: &segment)
        addLogarithmRounding(ofLogarithms, segment, entering.state)
        return segment
    }

    /// The error ε of a sum of logarithms over a segment, on the state that was there before it.
    mutating func addLogarithmRounding(_ variance: Double, _ segment: SegmentSpread, _ before: [Double]) {
        let factor = variance.squareRoot() * Double.exp(segment.logDecay)
        if factor > 0 { spread.add(before, scaledBy: factor) }
    }

    /// One token of the recurrence.
    private func advance(_ state: inout TreeState, _ t: Int, isFirst: Bool) {
        let (headDim, stateDim) = (sequence.headDim, sequence.stateDim)
        for p in 0..<headDim {
            let rounding = StateRounding(
                arithmetic, decay: Double.exp(sequence.logDecay[t]), input: input[t * headDim + p])
            withPointers(to: &state.state, &state.variance, &state.held) { s, v, f in
                sequence.b.withUnsafeBufferPointer { b in
                    let (row, b) = (p * stateDim, b.base + t * stateDim)
                    if isFirst {
                        rounding.begin(s + row, v + row, f + row, b: b, count: stateDim)
                    } else {
                        rounding.advance(s + row, v + row, f + row, b: b, count: stateDim)
                    }
                }
            }
        }
    }

    /// y_t, from the leaf's own state and from the one that entered it.
    private mutating func readOut(
        _ t: Int, of tokens: Range<Int>, _ sums: [Double], _ decays: ChunkDecaySpreads, _ own: TreeState,
        entering: TreeState, terms: inout BlockTerms, exponentials: inout BlockTerms
    ) {
        let (headDim, stateDim, first) = (sequence.headDim, sequence.stateDim, tokens.lowerBound)
        let (now, operation) = (t - first, operation)
        let decay = Double.exp(sums[now])
        let ofDecay = operation + decays.variance(entering: now)
        let weights = (first...t).map { s in
            WeightSpread(value: Double.exp(sums[now] - sums[s - first]) * sequence.gram(t, s))
        }
        let carried = spread.effects(on: sequence.c, at: t * stateDim, decay: decay)
        let none = CarriedEffects(
            step: [Double](repeating: 0, count: headDim), decay: [Double](repeating: 0, count: headDim),
            repeats: false)
        var inside = [Double](repeating: 0, count: headDim)
        withPointers(sequence.c, sequence.cSquares) { c, cSquares in
            let (c, cSquares) = (c + t * stateDim, cSquares + t * stateDim)
            for p in 0..<headDim {
                let row = p * stateDim
                let ofOwn = own.readOut(c, cSquares, row: row, count: stateDim)
                let old = entering.readOut(c, cSquares, row: row, count: stateDim)
                let ofOperands = withPointers(spread.variance, spread.common) { v, common in
                    let along = dot(common + row, c, stateDim)
                    return dot(v + row, cSquares, stateDim) + along * along
                }
                let value = decay * old.value
                let squares = decay * decay * old.squares
                inside[p] = ofOwn.value
                y[t * headDim + p] = value + inside[p]
                var variance = ofOwn.variance + decay * decay * (old.variance + ofOperands) + ofDecay * value * value
                variance += sumVariance(inside[p], squares: ofOwn.squares, terms: stateDim, relative: operation)
                // C is scaled by the decay, number by number, and the terms are added to those of
                // the leaf.
                variance +=
                    squares * operation + sumVariance(value, squares: squares, terms: stateDim, relative: operation)
                let additions = Double(stateDim) / 4
                variance += additions * min(operation * inside[p] * inside[p], squares / additions)
                let smaller = min(value * value, inside[p] * inside[p])
                variance += min(operation * y[t * headDim + p] * y[t * headDim + p], smaller)
                variances[t * headDim + p] = variance + arithmetic.underflowVariance * (Double(stateDim) + old.norm)
            }
        }
        let (input, outputs) = (self.input, self.y)
        variances.withUnsafeMutableBufferPointer { variances in
            withPointers(outputs, input) { y, x in
                inside.withUnsafeBufferPointer { inside in
                    let (x, variances) = (x + first * headDim, variances.base + t * headDim)
                    terms.add(weights, y: y + t * headDim, x: x, carried: carried, to: variances)
                    if now > 0 { exponentials.add(weights, y: inside.base, x: x, carried: none, to: variances) }
                }
            }
        }
    }

    /// What the leaf's tokens share goes into the states that leave it.
    private mutating func close(
        _ tokens: Range<Int>, _ sums: [Double], _ terms: BlockTerms, _ exponentials: BlockTerms,
        entering: TreeState, segment: inout SegmentSpread
    ) {
        let (headDim, stateDim, first) = (sequence.headDim, sequence.stateDim, tokens.lowerBound)
        let end = sums[sums.count - 1]
        let (kept, weights) = (Double.exp(end), sums.map { Double.exp(end - $0) })
        for i in spread.variance.indices { spread.variance[i] *= kept * kept }
        var own = StateSpread(headDim: headDim, stateDim: stateDim)
        withPointers(input, sequence.b) { x, b in
            let (x, b) = (x + first * headDim, b + first * stateDim)
            spread.take(terms, kept: kept, weights: weights, before: entering.state, x: x, b: b)
            if tokens.count > 1 {
                let nothing = [Double](repeating: 0, count: entering.state.count)
                own.take(exponentials, kept: 0, weights: weights, before: nothing, x: x, b: b)
            }
        }
        guard tokens.count > 1 else { return }
        for i in own.variance.indices { segment.after.variance[i] += own.total(at: i) }
        for row in stride(from: 0, to: own.variance.count, by: max(stateDim, 1)) {
            join(Array(own.common[row..<row + stateDim]), to: &segment.after.common, row: row)
            join(Array(own.decayEffect[row..<row + stateDim]), to: &segment.after.common, row: row)
        }
    }
}
