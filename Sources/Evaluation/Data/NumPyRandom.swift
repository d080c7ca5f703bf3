//  NumPy's `default_rng(seed).permutation(n)`: the order in which Hugging Face's datasets shuffles
//  and splits rows.
//
//  PCG64 (O'Neill: "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms",
//  2014; the variant XSL RR 128/64), seeded through NumPy's SeedSequence.

struct NumPyRandom {
    private var state = Wide(0, 0)
    private let increment: Wide
    /// The upper half of a draw whose lower half was used.
    private var half: UInt32?

    /// A number of 128 bits, modulo 2^128.
    private struct Wide {
        var high: UInt64
        var low: UInt64

        init(_ high: UInt64, _ low: UInt64) { (self.high, self.low) = (high, low) }

        static func + (a: Wide, b: Wide) -> Wide {
            let (low, carry) = a.low.addingReportingOverflow(b.low)
            return Wide(a.high &+ b.high &+ (carry ? 1 : 0), low)
        }

        static func * (a: Wide, b: Wide) -> Wide {
            let product = a.low.multipliedFullWidth(by: b.low)
            return Wide(product.high &+ a.high &* b.low &+ a.low &* b.high, product.low)
        }
    }

    init(seed: UInt32) {
        let words = Self.words(seed)
        increment = Wide(words[2] << 1 | words[3] >> 63, words[3] << 1 | 1)
        step()
        state = state + Wide(words[0], words[1])
        step()
    }

    /// Four words that the seed is spread over.
    private static func words(_ seed: UInt32) -> [UInt64] {
        var constant: UInt32 = 0x43B0_D7E5
        func hashed(_ word: UInt32) -> UInt32 {
            let mixed = word ^ constant
            constant &*= 0x931E_8875
            let value = mixed &* constant
            return value ^ (value >> 16)
        }
        var pool = [seed, 0, 0, 0].map(hashed)
        for i in 0..<4 {
            for j in 0..<4 where j != i {
                let value = pool[j] &* 0xCA01_F9DD &- hashed(pool[i]) &* 0x4973_F715
                pool[j] = value ^ (value >> 16)
            }
        }
        var factor: UInt32 = 0x8B51_F9DD
        let halves = (0..<8).map { i -> UInt64 in
            let mixed = pool[i % 4] ^ factor
            factor &*= 0x58F3_8DED
            let value = mixed &* factor
            return UInt64(value ^ (value >> 16))
        }
        return (0..<4).map { halves[2 * $0] | halves[2 * $0 + 1] << 32 }
    }

    private mutating func step() {
        state = state * Wide(0x2360_ED05_1FC6_5DA4, 0x4385_DF64_9FCC_F645) + increment
    }

    private mutating func next() -> UInt32 {
        if let word = half {
            half = nil
            return word
        }
        step()
        let (mixed, turn) = (state.high ^ state.low, state.high >> 58)
        let word = mixed >> turn | mixed << ((64 - turn) & 63)
        half = UInt32(truncatingIfNeeded: word >> 32)
        return UInt32(truncatingIfNeeded: word)
    }

    /// `permutation(n)`, for n below 2^32.
    mutating func permutation(_ n: Int) -> [Int] {
        var order = Array(0..<n)
        for i in stride(from: n - 1, to: 0, by: -1) {
            let mask = UInt32.max >> UInt32(UInt32(i).leadingZeroBitCount)
            var j = Int(next() & mask)
            while j > i { j = Int(next() & mask) }
            order.swapAt(i, j)
        }
        return order
    }
}
