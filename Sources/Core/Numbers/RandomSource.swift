//  A seeded, splittable source of random numbers with the same stream on every platform.
//
//  SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014):
//  a counter that grows by an odd constant and a mixing function. A split takes a new seed from the
//  parent, so that a tree of generators is fixed by the first seed alone. Every derived draw uses
//  only operations that IEEE 754 defines exactly (no libm), so that a stream of normal numbers is
//  also the same, bit for bit, everywhere.

/// A deterministic random number generator. A value: copying it copies the stream.
public struct RandomSource: RandomNumberGenerator, Sendable, Hashable {
    private var state: UInt64

    /// A generator whose stream the seed alone determines, on every platform.
    public init(seed: UInt64) {
        state = seed
    }

    /// The next 64 uniform bits.
    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        return Self.mix(state)
    }

    /// A generator whose stream is independent of what this one produces next.
    public mutating func split() -> RandomSource {
        RandomSource(seed: Self.mix(next() ^ 0x6a09_e667_f3bc_c909))
    }

    /// A generator for one named part of an experiment: the same name always gives the same stream,
    /// and drawing from it leaves this one untouched.
    public func stream(_ name: String) -> RandomSource {
        // FNV-1a of the name, mixed into the seed: stable across runs, unlike `Hasher`.
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        return RandomSource(seed: Self.mix(state ^ Self.mix(hash)))
    }

    private static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// Uniform in [0, 1), a multiple of 2^-53.
    public mutating func uniform() -> Double {
        Double(next() >> 11) * 0x1p-53
    }

    /// Uniform in `range`, up to the rounding of one product and one sum.
    public mutating func uniform(in range: ClosedRange<Double>) -> Double {
        range.lowerBound + uniform() * (range.upperBound - range.lowerBound)
    }

    /// A uniform integer in `range`, without bias.
    public mutating func integer(in range: ClosedRange<Int>) -> Int {
        let width = UInt64(bitPattern: Int64(range.upperBound &- range.lowerBound)) &+ 1
        if width == 0 { return Int(truncatingIfNeeded: next()) }
        // Lemire's method: the high half of a product, rejecting the few low halves that would bias
        // it.
        var product = next().multipliedFullWidth(by: width)
        if product.low < width {
            let threshold = (0 &- width) % width
            while product.low < threshold { product = next().multipliedFullWidth(by: width) }
        }
        return range.lowerBound &+ Int(truncatingIfNeeded: product.high)
    }

    /// Standard normal, by Marsaglia's polar method with a logarithm of our own.
    public mutating func normal() -> Double {
        while true {
            let u = 2 * uniform() - 1
            let v = 2 * uniform() - 1
            let s = u * u + v * v
            if s > 0 && s < 1 {
                return u * (-2 * Self.logarithm(s) / s).squareRoot()
            }
        }
    }

    /// ln(x) for normal x > 0 from exactly rounded operations only: x = m 2^e with m in [sqrt(1/2),
    /// sqrt(2)), and ln m = 2 artanh((m - 1) / (m + 1)) by its series; error below 1e-15 relative
    /// to max(1, |e|).
    static func logarithm(_ x: Double) -> Double {
        var m = x.significand
        var e = Double(x.exponent)
        if m > 1.4142135623730951 {
            m *= 0.5
            e += 1
        }
        let t = (m - 1) / (m + 1)
        let t2 = t * t
        var sum = 0.0
        for k in stride(from: 25, through: 1, by: -2) { sum = sum * t2 + 1 / Double(k) }
        return e * 0.6931471805599453 + 2 * t * sum
    }
}
