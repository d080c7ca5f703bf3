//  ln of a decay over many tokens, and a state that goes through many decays close to 1, without
//  what their roundings pile up to.
//
//      segment   s + z = fl(s + z) + e;  e is added to the next z (Kahan)
//      state     a H + U = H + ((a - 1) H + U)        with a - 1 = e^s - 1 to its own last digit, and what H + … drops kept for the next
//
//  Plain summation of n equal logarithms rounds the same way n times, so that its error reaches n
//  units. The state is rounded once per chunk. Both make the error depend on the chunk size;
//  compensation removes that. Where a is below 1/2, each chunk halves the state together with the
//  error it carries, and the plain product is enough.
//
//  Source: Kahan 1965, "Further remarks on reducing truncation errors".

import DualityCore

/// A sum of z, each at most zero.
struct SegmentSum<Scalar: RealNumber> {
    private(set) var value = Scalar.zero
    private var dropped = Scalar.zero

    @inline(__always)
    init() {}

    @inline(__always)
    mutating func add(_ z: Scalar) {
        let term = z + dropped
        let sum = value + term
        // Beyond the format's range there is nothing left to drop.
        dropped = sum.isFinite ? term - (sum - value) : .zero
        value = sum
    }
}

/// A state that goes from chunk to chunk.
struct CarriedState<Scalar: RealNumber> {
    /// H, `[P, N]`.
    private(set) var value: [Scalar]
    /// H - value, as far as it is known.
    private var dropped: [Scalar]

    init(_ state: [Scalar]) {
        value = state
        dropped = [Scalar](repeating: .zero, count: state.count)
    }

    /// H <- e^s H + U.
    mutating func advance(logDecay s: Scalar, adding update: [Scalar]) {
        let decay = Scalar.exp(s)
        guard decay >= 0.5 else {
            for i in value.indices {
                value[i] = update[i] + decay * (value[i] + dropped[i])
                dropped[i] = .zero
            }
            return
        }
        let change = Scalar.expMinusOne(s)
        for i in value.indices {
            let (old, low) = (value[i], dropped[i])
            let term = (change * old + update[i]) + (low + change * low)
            let sum = old + term
            // Knuth's exact error of a sum, whichever term is the larger.
            let part = sum - old
            let lost = (old - (sum - part)) + (term - part)
            dropped[i] = lost.isFinite ? lost : .zero
            value[i] = sum
        }
    }
}
