//  Python's `random.Random(seed)`: the same samples and the same order, so that what HELMET draws
//  is what is drawn here.
//
//  MT19937 (Matsumoto, Nishimura: "Mersenne Twister", ACM TOMACS 8, 1998), seeded by an array of
//  one word, as Python seeds it with a number below 2^32.

struct PythonRandom {
    private var state = [UInt32](repeating: 0, count: 624)
    private var place = 624

    init(seed: UInt32) {
        state[0] = 19_650_218
        for i in 1..<624 { state[i] = 1_812_433_253 &* Self.folded(state[i - 1]) &+ UInt32(i) }
        var i = 1
        for _ in 0..<624 {
            state[i] = (state[i] ^ (Self.folded(state[i - 1]) &* 1_664_525)) &+ seed
            advance(&i)
        }
        for _ in 0..<623 {
            state[i] = (state[i] ^ (Self.folded(state[i - 1]) &* 1_566_083_941)) &- UInt32(i)
            advance(&i)
        }
        state[0] = 0x8000_0000
    }

    private static func folded(_ word: UInt32) -> UInt32 { word ^ (word >> 30) }

    private mutating func advance(_ i: inout Int) {
        i += 1
        if i == 624 { (state[0], i) = (state[623], 1) }
    }

    private mutating func next() -> UInt32 {
        if place == 624 {
            for i in 0..<624 {
                let word = (state[i] & 0x8000_0000) | (state[(i + 1) % 624] & 0x7FFF_FFFF)
                state[i] = state[(i + 397) % 624] ^ (word >> 1) ^ (word & 1 == 0 ? 0 : 0x9908_B0DF)
            }
            place = 0
        }
        var word = state[place]
        place += 1
        word ^= word >> 11
        word ^= (word << 7) & 0x9D2C_5680
        word ^= (word << 15) & 0xEFC6_0000
        return word ^ (word >> 18)
    }

    /// A number in 0..<n, for n from 1 to 2^32 - 1.
    mutating func below(_ n: Int) -> Int {
        let shift = UInt32(n).leadingZeroBitCount
        while true {
            let value = Int(next() >> UInt32(shift))
            if value < n { return value }
        }
    }

    /// `sample(range(n), k)`, for k ≤ n.
    mutating func sample(_ n: Int, _ k: Int) -> [Int] {
        // Up to that size Python draws from a list, above it until a draw is new.
        var size = 21
        if k > 5 {
            var power = 1
            while power < 3 * k { power *= 4 }
            size += power
        }
        var drawn: [Int] = []
        if n <= size {
            var pool = Array(0..<n)
            for i in 0..<k {
                let j = below(n - i)
                drawn.append(pool[j])
                pool[j] = pool[n - i - 1]
            }
        } else {
            var seen: Set<Int> = []
            while drawn.count < k {
                let j = below(n)
                if seen.insert(j).inserted { drawn.append(j) }
            }
        }
        return drawn
    }

    /// `shuffle(list)`.
    mutating func shuffle<Element>(_ list: inout [Element]) {
        for i in stride(from: list.count - 1, to: 0, by: -1) { list.swapAt(i, below(i + 1)) }
    }
}
