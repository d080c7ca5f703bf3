//  The bound of the chunked form (and of the quadratic one, which is a single chunk).
//
//  Decays. Between tokens j < i of a chunk ln L_ij = seg(i, j). The kernel's sum of the ẑ differs
//  from it by
//
//      shared       the errors of z between j and i, whatever the order of the sum
//      segments     + γ_{i-j-1} |seg|
//      differences  + ρ_i + ρ_j + u (|seg| + …),   ρ_i = γ_{i-1} |ℓ_i|: the errors of the two running sums
//
//  and |L̂ - L| <= L ((1 + κ) e^error - 1) + tiny, κ the relative error of exp. On the diagonal L =
//  1 exactly.
//
//  Weights. K = C·B carries γ_N |C|·|B|; M = L Δ K is then two products and a rounding to
//  `products`.
//
//  Output. All terms of y, those of the chunk and those of the entering state, in any order, are
//  one sum of n = Q + N + 4 roundings:
//
//      |ŷ - y| <= sum over j of ((1 + γ) |M̂ - M| + γ |M|) |x_j|  +  the same for exp(ℓ_i) H C_i
//
//  State. The same with U = sum over j of fl_products(L_end,j Δ_j B_j) x_jᵀ and with exp(ℓ_end) H:
//  a bound F of the size of the state goes from chunk to chunk.

import DualityCore
import DualityReference

extension BoundedSequence {
    /// O(L (Q (N + P) + P N)) time, about four times that of the form itself.
    func chunkedBound(_ arithmetic: KernelArithmetic, size: Int) -> HeadErrors {
        let walk = ChunkedBound(self, arithmetic)
        var result = HeadErrors(
            y: [Double](repeating: 0, count: length * headDim),
            yErrors: [Double](repeating: 0, count: length * headDim),
            stateErrors: initialState.errors ?? [Double](repeating: 0, count: headDim * stateDim))
        var state = initialState.values
        var first = 0
        while first < length {
            let chunk = arithmetic.chunk(at: first, ofSequenceAt: start, length: length)
            walk.advance(&state, over: chunk, &result)
            first = chunk.upperBound
        }
        return result
    }
}

/// The operands of the matrix products with their errors, and one chunk's worth of the walk.
private struct ChunkedBound {
    let sequence: BoundedSequence
    let arithmetic: KernelArithmetic
    let x: BoundedRows
    let b: BoundedRows
    let c: BoundedRows
    /// |B| + β, |C| + c and |x| of those.
    let bMagnitudes: [Double]
    let cMagnitudes: [Double]
    let xMagnitudes: [Double]
    /// The factor of the weights: Δ, or 1 where x̄ is an operand.
    let factor: [Bounded]
    /// Whether a partial sum of y may exceed the format of sums.
    let mayOverflow: Bool
    /// What underflow in a tree may lose of a state, all compositions together.
    let lostInTree: Double

    init(_ sequence: BoundedSequence, _ arithmetic: KernelArithmetic) {
        self.sequence = sequence
        self.arithmetic = arithmetic
        let products = arithmetic.storage(arithmetic.products)
        func asFactor(_ rows: BoundedRows) -> BoundedRows {
            if rows.areComputed {
                let factors = rows.values.indices.map { i in
                    Bounded(rows.values[i], error: rows.errors?[i] ?? 0).rounded(products)
                }
                return BoundedRows(computed: factors)
            }
            return BoundedRows(rows.values) { arithmetic.products.round(arithmetic.inputs.round($0)) }
        }
        b = asFactor(sequence.b)
        c = asFactor(sequence.c)
        if let format = arithmetic.scaledInput {
            let scaled = sequence.scaledInputs(arithmetic, storedAs: format).map { $0.rounded(products) }
            x = BoundedRows(values: scaled.map(\.value), errors: scaled.map(\.error))
            factor = [Bounded](repeating: Bounded(1), count: sequence.length)
        } else {
            x = asFactor(sequence.x)
            factor = sequence.step
        }
        bMagnitudes = b.magnitudes
        cMagnitudes = c.magnitudes
        xMagnitudes = x.values.map(\.magnitude)
        let steps = factor.map(\.magnitude)
        let largest = sequence.largestState(
            x: x.magnitudes.enumerated().map { $1 * steps[$0 / sequence.headDim] }, b: bMagnitudes)
        let readOut = largest * (cMagnitudes.max() ?? 0) * Double(sequence.stateDim)
        mayOverflow = !(2 * max(largest, readOut) < arithmetic.operation.largest)
        lostInTree = 2 * Double(arithmetic.leaves(of: sequence.length)) * arithmetic.operation.tiny * (1 + largest)
    }

    func advance(_ state: inout [Double], over chunk: Range<Int>, _ result: inout HeadErrors) {
        let decays = BoundedChunkDecays(sequence, over: chunk, arithmetic)
        let entering = EnteringState(state, result.stateErrors, arithmetic, rows: sequence.headDim)
        for t in chunk { readOut(t, of: chunk, decays, state, entering, to: &result) }
        pass(&state, over: chunk, decays, &result.stateErrors)
    }

    private func readOut(
        _ t: Int, of chunk: Range<Int>, _ decays: BoundedChunkDecays, _ state: [Double], _ entering: EnteringState,
        to result: inout HeadErrors
    ) {
        let (headDim, stateDim) = (sequence.headDim, sequence.stateDim)
        let operation = arithmetic.operation
        let product = arithmetic.productAddition
        let storage = arithmetic.storage(arithmetic.products)
        let growth = product.growth(arithmetic.additions(inChunkOf: chunk.count) + stateDim + 4)
        let gramGrowth = product.growth(stateDim)
        let own = t * stateDim
        result.y.withUnsafeMutableBufferPointer { y in
            result.yErrors.withUnsafeMutableBufferPointer { errors in
                guard let y = y.baseAddress.map({ $0 + t * headDim }) else { return }
                guard let errors = errors.baseAddress.map({ $0 + t * headDim }) else { return }
                // Terms of the chunk.
                for s in chunk.lowerBound...t {
                    let other = s * stateDim
                    let magnitude = dot(cMagnitudes, own, bMagnitudes, other, count: stateDim)
                    var gramError = gramGrowth * magnitude + 2 * Double(stateDim) * product.tiny
                    if let errors = c.errors { gramError += dot(errors, own, bMagnitudes, other, count: stateDim) }
                    if let errors = b.errors { gramError += dot(cMagnitudes, own, errors, other, count: stateDim) }
                    let gram = Bounded(dot(c.values, own, b.values, other, count: stateDim), error: gramError)
                    let decay = decays.between(s, t)
                    let weight = ((gram * decay).rounded(operation) * factor[s]).rounded(operation).rounded(storage)
                    let ofX = (1 + growth) * weight.error + growth * weight.value.magnitude
                    for p in 0..<headDim {
                        y[p] += weight.value * x.values[s * headDim + p]
                        errors[p] += ofX * xMagnitudes[s * headDim + p]
                    }
                    if let xErrors = x.errors {
                        let ofXErrors = (1 + growth) * weight.magnitude
                        for p in 0..<headDim { errors[p] += ofXErrors * xErrors[s * headDim + p] }
                    }
                }
                // Terms of the entering state.
                let decay = decays.fromStart(t)
                for p in 0..<headDim {
                    let row = p * stateDim
                    var error = (1 + growth) * dot(entering.errors, row, cMagnitudes, own, count: stateDim)
                    error += growth * dotOfMagnitudes(state, row, cMagnitudes, own, count: stateDim)
                    if let errors = c.errors { error += dotOfMagnitudes(state, row, errors, own, count: stateDim) }
                    let term = Bounded(dot(state, row, c.values, own, count: stateDim), error: error) * decay
                    y[p] += term.value
                    // Underflow: of each product, and of exp(ℓ) C where a kernel scales that and
                    // not the sum.
                    let tiny = product.tiny * (2 * Double(chunk.count + stateDim) + entering.sums[p])
                    errors[p] = Bounded(y[p], error: errors[p] + term.rounded(operation).error).rounded(operation).error
                    errors[p] += tiny
                    // The error is at least γ times the sum of all magnitudes, which no partial sum
                    // exceeds.
                    if mayOverflow, !(errors[p] <= growth * operation.largest) { errors[p] = .infinity }
                }
            }
        }
    }

    /// H <- exp(ℓ_end) H + U, and F with it.
    private func pass(
        _ state: inout [Double], over chunk: Range<Int>, _ decays: BoundedChunkDecays, _ errors: inout [Double]
    ) {
        let (headDim, stateDim) = (sequence.headDim, sequence.stateDim)
        let operation = arithmetic.operation
        let storage = arithmetic.storage(arithmetic.products)
        let product = arithmetic.productAddition
        let growth = product.growth(arithmetic.additions(inChunkOf: chunk.count) + 2)
        let end = chunk.upperBound - 1

        let decay = decays.fromStart(end)
        for i in state.indices {
            let kept = (Bounded(state[i], error: errors[i]) * decay).rounded(operation)
            state[i] = kept.value
            errors[i] =
                (1 + growth) * kept.error + growth * kept.value.magnitude + Double(chunk.count) * product.tiny
                + lostInTree
        }
        for s in chunk {
            // fl(L Δ B) = w B with a relative error, and an absolute one where that underflows in
            // the narrow format.
            let weight = (factor[s] * decays.between(s, end)).rounded(operation)
            let relative = (1 + operation.unit) * (1 + storage.unit) * (1 + growth) - 1
            let ofProduct = weight.error * (1 + relative) + weight.value.magnitude * relative
            let ofErrors = weight.magnitude * (1 + relative)
            let tiny = (operation.tiny + storage.tiny) * (1 + growth)
            let largestB = bMagnitudes[s * stateDim..<(s + 1) * stateDim].reduce(0.0) { max($0, $1) }
            let overflows = !(weight.magnitude * largestB <= min(storage.largest, operation.largest))
            for p in 0..<headDim {
                let value = x.values[s * headDim + p]
                let xError = x.errors?[s * headDim + p] ?? 0
                let ofB = ofProduct * value.magnitude + ofErrors * xError
                let constant = overflows ? .infinity : tiny * (value.magnitude + xError) + product.tiny
                let row = p * stateDim
                let input = weight.value * value
                let ofTiny = ofB + operation.tiny  // of exp(ℓ) x̄, where a kernel scales that and not B
                state.withUnsafeMutableBufferPointer { state in
                    errors.withUnsafeMutableBufferPointer { errors in
                        for n in 0..<stateDim {
                            state[row + n] += input * b.values[s * stateDim + n]
                            errors[row + n] += ofTiny * bMagnitudes[s * stateDim + n] + constant
                        }
                        if let bErrors = b.errors {
                            let ofBErrors = ofErrors * value.magnitude
                            for n in 0..<stateDim { errors[row + n] += ofBErrors * bErrors[s * stateDim + n] }
                        }
                    }
                }
            }
        }
        let store = arithmetic.storage(arithmetic.state)
        for i in state.indices {
            errors[i] = Bounded(state[i], error: errors[i]).rounded(operation).rounded(store).error
            if mayOverflow, !(errors[i] <= growth * operation.largest) { errors[i] = .infinity }
        }
    }
}

/// The state before a chunk, as an operand of the read-out.
private struct EnteringState {
    /// Of each number of the state, with its copy's roundings, `[P, N]`.
    let errors: [Double]
    /// Sum over n of |Ĥ|, `[P]`.
    let sums: [Double]

    init(_ state: [Double], _ errors: [Double], _ arithmetic: KernelArithmetic, rows: Int) {
        let copy = arithmetic.storage(arithmetic.chunkStates)
        let factor = arithmetic.storage(arithmetic.products)
        let entering = zip(state, errors).map { Bounded($0, error: $1).rounded(copy).rounded(factor) }
        self.errors = entering.map(\.error)
        let width = state.count / rows
        sums = (0..<rows).map { p in entering[p * width..<(p + 1) * width].reduce(0) { $0 + $1.magnitude } }
    }
}

/// The dot product of row parts.
@inline(__always)
private func dot(_ a: [Double], _ aFirst: Int, _ b: [Double], _ bFirst: Int, count: Int) -> Double {
    a.withUnsafeBufferPointer { a in
        b.withUnsafeBufferPointer { b in
            guard let a = a.baseAddress, let b = b.baseAddress else { return 0 }
            return dot(a + aFirst, b + bFirst, count)
        }
    }
}

@inline(__always)
private func dotOfMagnitudes(_ a: [Double], _ aFirst: Int, _ b: [Double], _ bFirst: Int, count: Int) -> Double {
    a.withUnsafeBufferPointer { a in
        b.withUnsafeBufferPointer { b in
            guard let a = a.baseAddress, let b = b.baseAddress else { return 0 }
            return DualityNumerics.dotOfMagnitudes(a + aFirst, b + bFirst, count)
        }
    }
}
