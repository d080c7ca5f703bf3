//  What happens to one number of the state in one step of a kernel: which of its roundings are
//  random, which are known, and which do nothing.
//
//      s <- round(round(a s) + round(x̄ B))        the spacing of the format at each of the three decides
//
//  The walk over tokens is RecurrentSigma.swift; this is its innermost line.

import DualityCore
import DualityReference

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
    /// The relative variance ν of the sum; 0 where the sum's spacing, and so its rounding, is
    /// known.
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
