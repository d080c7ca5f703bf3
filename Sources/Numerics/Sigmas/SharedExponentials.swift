//  The errors of fast exponentials that are the same for all numbers of a state, and for all its
//  tokens.
//
//      â_t = a_t (1 + ε + η z_t + …)        ε, η one number each for the whole head
//      ŷ - y  =  sum over t of (ε + η z_t) ∂y / ∂ ln a_t  +  what is independent from token to token
//
//  The instruction interpolates in a table: arguments beside each other are served by the same
//  three coefficients, whose rounding, like the instruction's own last rounding, leans to one side.
//  And it takes z log2 e, with log2 e rounded once and for all. A decay multiplies every number of
//  the state, and a decay near that of the token before errs as that did. So these errors add to
//  themselves, token after token, as long as the state remembers; the independent part, which
//  RecurrentSigma.swift and ChunkedSigma.swift carry, adds to its square.
//
//      ε    two units in the last place of a, uniformly either way: what the instruction may err by, also
//           next to 1, where a decay would round to 1
//      η    log2 e in float32 is 1.3e-8 below log2 e
//
//  The recurrent form takes one exponential per token, the chunked form one per chunk on the state
//  that enters it; inside a chunk each pair of tokens has one of its own. docs/numerics.md, 10.

import DualityCore
import DualityReference

extension SpreadSequence {
    /// What the part of exponentials' errors that all decays of the state share adds to ln a, one
    /// standard deviation, `[L]`; nil where exponentials are a library's.
    func sharedExponentialErrors(_ arithmetic: KernelArithmetic) -> [Double]? {
        guard arithmetic.exponential == .fast, arithmetic.accumulate != .f64, !arithmetic.isTree, length > 0 else {
            return nil
        }
        var errors = [Double](repeating: 0, count: length)
        if arithmetic.chunkSize == nil {
            for t in 0..<length { errors[t] = arithmetic.sharedDeviationOfExp(logDecay[t]) }
            return errors
        }
        var first = 0
        while first < length {
            let chunk = arithmetic.chunk(at: first, ofSequenceAt: start, length: length)
            errors[first] = arithmetic.sharedDeviationOfExp(logDecay[chunk].reduce(0, +))
            first = chunk.upperBound
        }
        return errors
    }
}

extension KernelArithmetic {
    /// The relative standard deviation of what fast exponentials near exp(z) err by in common.
    fileprivate func sharedDeviationOfExp(_ z: Double) -> Double {
        let value = Double.exp(z)
        // What is flushed leaves nothing to multiply, and 2^0 is 1.
        guard value >= accumulate.smallestNormal, z != 0 else { return 0 }
        let log2e = 1 / Double.log(2)
        let ofConstant = (1 - accumulate.round(log2e) / log2e).magnitude
        // Below 1 numbers are twice as dense as above, and a decay that is next to 1 is below it.
        let unit = accumulate.spacing(at: min(value, 1 - accumulate.unitRoundoff)) / value
        return 2 * unit / 3.0.squareRoot() + ofConstant * z.magnitude
    }
}
