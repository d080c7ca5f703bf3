//  The bound of the recurrent form: the recurrence, run on errors.
//
//      S_t = a S_{t-1} + x̄ Bᵀ           |Ŝ_{t-1} - S_{t-1}| <= E_{t-1},  |â - a| <= h,  |x̄̂ - x̄| <= ξ,  |B̂ - B| <= β
//
//      product      (1 + u) â E_{t-1} + ((1 + u) h + u a) |S_{t-1}|,   â <= min(a + h, 1 + κ)
//      input        (1 + u) (ξ (|B| + β) + |x̄| β) + u |x̄| (|B| + β)
//      sum          E' = (1 + u) (product + input) + u |S_t| + tiny (3 + |x|)
//      storage      E_t = (1 + u_s) E' + u_s |S_t| + tiny_s
//      read-out     |ŷ - y| <= (1 + γ) E_t · (|C| + c) + |S_t| · (γ |C| + (1 + γ) c) + N tiny,    γ = γ_N(u)
//
//  The sum of the read-out may run in any order, and every product and sum may or may not be fused.
//  E has the size of the state, and decays as it does: a bound for a token is not larger because
//  the sequence before it was long, only because the state remembers it.

import DualityCore
import DualityReference

extension BoundedSequence {
    /// O(L P N) time, about five times that of the recurrence itself; O(P N) memory besides the
    /// result.
    func recurrentBound(_ arithmetic: KernelArithmetic) -> HeadErrors {
        let walk = RecurrentBound(self, arithmetic)
        var result = HeadErrors(
            y: [Double](repeating: 0, count: length * headDim),
            yErrors: [Double](repeating: 0, count: length * headDim),
            stateErrors: initialState.errors ?? [Double](repeating: 0, count: headDim * stateDim))
        var state = initialState.values
        state.withUnsafeMutableBufferPointer { state in
            result.stateErrors.withUnsafeMutableBufferPointer { errors in
                guard let state = state.baseAddress, let errors = errors.baseAddress else { return }
                // Some tokens at a time, so that a row of the state stays in the cache with the
                // operands it meets.
                for first in stride(from: 0, to: length, by: 64) {
                    for p in 0..<headDim {
                        for t in first..<min(first + 64, length) {
                            (result.y[t * headDim + p], result.yErrors[t * headDim + p]) = walk.advance(
                                state + p * stateDim, errors + p * stateDim, t: t, p: p)
                        }
                    }
                }
            }
        }
        return result
    }
}

/// The coefficients of the walk, made once per token.
private struct RecurrentBound {
    let sequence: BoundedSequence
    let arithmetic: KernelArithmetic
    let operation: Roundoff
    let storage: Roundoff
    /// γ_N
    let growth: Double
    /// a with its error h, `[L]`.
    let decay: [BoundedDecay]
    /// x̄ with its error ξ, `[L, P]`.
    let input: [Bounded]
    /// |B| + β and β, `[L, N]`.
    let b: [Double]
    let bErrors: [Double]
    /// |C| + c and γ |C| + (1 + γ) c, `[L, N]`.
    let c: [Double]
    let cWeights: [Double]
    /// Whether some number of the state may exceed its format.
    let mayOverflow: Bool
    /// Whether a partial sum of y may.
    let readOutMayOverflow: Bool

    init(_ sequence: BoundedSequence, _ arithmetic: KernelArithmetic) {
        self.sequence = sequence
        self.arithmetic = arithmetic
        operation = arithmetic.operation
        storage = arithmetic.storage(arithmetic.state)
        growth = operation.growth(sequence.stateDim)
        decay = sequence.logDecay.map { arithmetic.decay($0) }
        input = sequence.scaledInputs(arithmetic, storedAs: arithmetic.scaledInput)
        b = sequence.b.magnitudes
        bErrors = sequence.b.errors ?? [Double](repeating: 0, count: b.count)
        c = sequence.c.magnitudes
        let (growth, errors) = (growth, sequence.c.errors)
        cWeights = sequence.c.values.indices.map { i in
            growth * sequence.c.values[i].magnitude + (1 + growth) * (errors?[i] ?? 0)
        }
        let largest = sequence.largestState(x: input.map(\.magnitude), b: b)
        mayOverflow = !(2 * largest < min(storage.largest, operation.largest))
        let readOut = largest * (c.max() ?? 0) * Double(sequence.stateDim)
        readOutMayOverflow = !(2 * readOut < operation.largest)
    }

    /// One token on one row of the state: moves S and E on, returns y and its error.
    @inline(__always)
    func advance(
        _ s: UnsafeMutablePointer<Double>, _ e: UnsafeMutablePointer<Double>, t: Int, p: Int
    ) -> (y: Double, error: Double) {
        let count = sequence.stateDim
        let (a, x) = (decay[t], input[t * sequence.headDim + p])
        let u = operation.unit
        let stored = 1 + storage.unit
        let ofError = stored * (1 + u) * (1 + u) * a.largest
        let ofState = stored * (1 + u) * ((1 + u) * a.error + u * a.value)
        let ofResult = stored * u + storage.unit
        let ofB = stored * (1 + u) * ((1 + u) * x.error + u * x.value.magnitude)
        let ofBErrors = stored * (1 + u) * (1 + u) * x.value.magnitude
        let raw = sequence.x.values[t * sequence.headDim + p].magnitude
        let constant = stored * operation.tiny * (3 + raw) * (1 + u) + storage.tiny
        sequence.b.values.withUnsafeBufferPointer { values in
            b.withUnsafeBufferPointer { b in
                bErrors.withUnsafeBufferPointer { errors in
                    let first = t * count
                    for n in 0..<count {
                        let before = s[n]
                        let now = a.value * before + x.value * values[first + n]
                        e[n] =
                            (ofError * e[n] + ofState * before.magnitude)
                            + (ofB * b[first + n] + ofBErrors * errors[first + n])
                            + (ofResult * now.magnitude + constant)
                        s[n] = now
                    }
                }
            }
        }
        if mayOverflow {
            let largest = min(storage.largest, operation.largest)
            for n in 0..<count where !(s[n].magnitude + e[n] <= largest) { e[n] = .infinity }
        }
        return sequence.c.values.withUnsafeBufferPointer { values in
            c.withUnsafeBufferPointer { c in
                cWeights.withUnsafeBufferPointer { weights in
                    let first = t * count
                    guard let values = values.baseAddress, let c = c.baseAddress, let weights = weights.baseAddress
                    else { return (0, 0) }
                    var error =
                        (1 + growth) * dot(e, c + first, count) + dotOfMagnitudes(s, weights + first, count)
                        + Double(count) * operation.tiny
                    // The error is at least γ times the sum of all magnitudes, which no partial sum
                    // exceeds.
                    if readOutMayOverflow, !(error <= growth * operation.largest) { error = .infinity }
                    return (dot(s, values + first, count), error)
                }
            }
        }
    }
}

extension BoundedSequence {
    /// x̄ = Δ x as a kernel forms it, `[L, P]`.
    func scaledInputs(_ arithmetic: KernelArithmetic, storedAs format: NumberFormat?) -> [Bounded] {
        let storage = format.map { arithmetic.storage($0) } ?? .none
        let operation = arithmetic.operation
        return x.values.indices.map { i in
            let x = Bounded(x.values[i], error: x.errors?[i] ?? 0)
            return (x * step[i / headDim]).rounded(operation).rounded(storage)
        }
    }
}
