//  An endless, seeded stream of cases, and the smallest failing relative of one that fails.
//
//  Every parameter is drawn where kernels break: lengths around multiples of the chunk and primes,
//  odd and large dimensions, all ways to share heads, decays over eleven decades, sequences that
//  begin at any offset of a chunk.

import DualityCore

/// Cases from a seed: the same seed gives the same cases on every platform.
package struct SSDCaseGenerator: Sequence, IteratorProtocol, Sendable {
    private var random: RandomSource
    /// The largest number of state updates L H P N a case may take, so that a suite has a
    /// predictable cost.
    package var budget: Int

    /// The beginning of a stream.
    ///
    /// - Parameter budget: the most state updates B L H P N of a case; larger ones are passed over.
    package init(seed: UInt64, budget: Int = 2_000_000) {
        random = RandomSource(seed: seed)
        self.budget = budget
    }

    package mutating func next() -> SSDCase? {
        while true {
            let candidate = draw()
            let work = candidate.batch * candidate.length * candidate.heads * candidate.headDim * candidate.stateDim
            if work <= budget { return candidate }
        }
    }

    private mutating func draw() -> SSDCase {
        var item = SSDCase(seed: random.next() >> 16)
        let chunk = pick([1, 2, 3, 8, 16, 31, 64, 128, 256])
        item.chunkSize = chunk
        item.length = pick([
            1, Swift.max(chunk - 1, 1), chunk, chunk + 1, 2 * chunk, 2 * chunk + 3,
            pick([2, 3, 5, 7, 13, 31, 61, 127, 257, 509]),
            random.integer(in: 1...300),
        ])
        item.batch = pick([1, 1, 1, 2, 3])
        item.heads = pick([1, 2, 3, 4, 6, 8])
        let divisors = (1...item.heads).filter { item.heads % $0 == 0 }
        (item.xHeads, item.bHeads, item.cHeads) = (pick(divisors), pick(divisors), pick(divisors))
        item.headDim = pick([1, 2, 3, 5, 7, 16, 16, 33, 64, 128])
        item.stateDim = pick([1, 2, 3, 5, 7, 16, 16, 33, 64, 128])
        // 1e-8 ... 1e3, uniform in the exponent; the power is taken by repeated products, the same
        // everywhere.
        item.decay = Self.powerOfTen(random.integer(in: -8...3)) * random.uniform(in: 1...5)
        item.stateScale = pick([0, 0, 1, 1, 1e-6, 1e6, 1e-30, 1e15])
        item.skip = pick(SSDCase.Skip.allCases)
        item.gate = pick([false, true])
        item.bias = pick([false, true])
        item.softplus = pick([true, true, true, false])
        item.values = pick([.normal, .normal, .normal, .normal, .normal, .sparse, .sparse, .zeros, .denormal, .large])
        if pick([false, false, true]) {
            item.map = .random
            let counts = Array(1...item.heads)
            (item.xHeads, item.bHeads, item.cHeads) = (pick(counts), pick(counts), pick(counts))
        }
        item.still = pick([false, false, false, false, false, true])
        item.limited = pick([false, false, false, false, true])
        if item.length > 1, pick([false, false, true]) {
            // Boundaries at an offset of a chunk, next to its border, and anywhere.
            let border = Swift.min(chunk, item.length - 1)
            let around = [border, border - 1, border + 1, random.integer(in: 1...item.length - 1)]
            let count = random.integer(in: 1...3)
            let cuts = (0..<count).map { _ in pick(around) }.filter { $0 > 0 && $0 < item.length }
            item.cuts = Array(Set(cuts)).sorted()
        }
        return item
    }

    private mutating func pick<Value>(_ values: [Value]) -> Value {
        values[random.integer(in: 0...values.count - 1)]
    }

    private static func powerOfTen(_ exponent: Int) -> Double {
        var power = 1.0
        for _ in 0..<exponent.magnitude { power *= 10 }
        return exponent < 0 ? 1 / power : power
    }
}

extension SSDCase {
    /// Simpler cases, the boldest simplification first; each differs in one respect and is sound.
    package var simplifications: [SSDCase] {
        var simpler: [SSDCase] = []
        func consider(_ change: (inout SSDCase) -> Void) {
            var candidate = self
            change(&candidate)
            candidate.cuts = candidate.cuts.filter { $0 < candidate.length }
            if candidate != self && candidate.isSound { simpler.append(candidate) }
        }
        consider { $0.batch = 1 }
        for length in [1, 2, length / 2, length - 1] where length >= 1 && length < self.length {
            consider { $0.length = length }
        }
        consider { ($0.heads, $0.xHeads, $0.bHeads, $0.cHeads) = (1, 1, 1, 1) }
        consider { ($0.xHeads, $0.bHeads, $0.cHeads) = ($0.heads, $0.heads, $0.heads) }
        for dimension in [1, headDim / 2] where dimension >= 1 && dimension < headDim {
            consider { $0.headDim = dimension }
        }
        for dimension in [1, stateDim / 2] where dimension >= 1 && dimension < stateDim {
            consider { $0.stateDim = dimension }
        }
        for chunk in [1, 2, chunkSize / 2] where chunk >= 1 && chunk < chunkSize { consider { $0.chunkSize = chunk } }
        consider { $0.cuts = [] }
        if cuts.count > 1 { for i in cuts.indices { consider { $0.cuts.remove(at: i) } } }
        consider { $0.gate = false }
        consider { $0.skip = .none }
        consider { $0.bias = false }
        consider { $0.stateScale = 0 }
        consider { $0.map = .grouped }
        consider { $0.still = false }
        consider { $0.limited = false }
        consider { $0.values = .normal }
        return simpler
    }

    /// The simplest relative of this case that still fails.
    ///
    /// - Parameter fails: whether a case shows the failure; this case is taken to.
    /// - Complexity: a few dozen calls of `fails` for every simplification that is taken.
    package func shrunk(while fails: (SSDCase) throws -> Bool) rethrows -> SSDCase {
        var smallest = self
        while let simpler = try smallest.simplifications.first(where: fails) { smallest = simpler }
        return smallest
    }
}
