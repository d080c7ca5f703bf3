import Testing

@testable import DualityCore

@Suite struct RandomSourceTests {
    /// The published test vector of SplitMix64.
    @Test func theStreamIsTheOneOfSplitMix64() {
        var random = RandomSource(seed: 1_234_567)
        let found = (0..<5).map { _ in random.next() }
        #expect(
            found == [
                6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821,
            ])
    }

    /// Golden values of every derived draw, computed by another program: files and tests made from
    /// a seed depend on them.
    @Test func derivedDrawsNeverChange() {
        var parent = RandomSource(seed: 42)
        var child = parent.split()
        #expect(child.next() == 0x5a56_66e1_7c09_af40)
        #expect(parent.next() == 0x28ef_e333_b266_f103)
        var named = RandomSource(seed: 42).stream("weights")
        #expect(named.next() == 0xa3c9_f1ab_05b9_b83b)
        var uniform = RandomSource(seed: 42)
        #expect(
            (0..<3).map { _ in uniform.uniform() } == [
                0x1.7bae644c5fd6dp-1, 0x1.477f199d93378p-3, 0x1.1d499d5c4c3e6p-2,
            ])
        var normal = RandomSource(seed: 42)
        #expect(
            (0..<4).map { _ in normal.normal() }
                == [0x1.f8c80e851c08cp-2, -0x1.47f4af60c7f94p+0, -0x1.342959c9fa344p-1, -0x1.8ad8264f1e64dp+0])
        var integer = RandomSource(seed: 42)
        #expect((0..<10).map { _ in integer.integer(in: -10...10) } == [5, -7, -5, -3, -10, 8, -6, 6, -3, 2])
    }

    @Test func aNamedStreamLeavesItsParentUntouched() {
        let parent = RandomSource(seed: 5)
        #expect(parent.stream("a") == parent.stream("a"))
        #expect(parent.stream("a") != parent.stream("b"))
        #expect(parent == RandomSource(seed: 5))
    }

    /// Parent and children, and children of neighbouring seeds, are uncorrelated.
    @Test func splitsAreIndependent() {
        let count = 100_000
        func correlation(_ a: RandomSource, _ b: RandomSource) -> Double {
            var (a, b) = (a, b)
            var sum = 0.0
            for _ in 0..<count { sum += (a.uniform() - 0.5) * (b.uniform() - 0.5) }
            return sum * 12 / Double(count).squareRoot()  // standard normal if they are independent
        }
        var parent = RandomSource(seed: 6)
        let (first, second) = (parent.split(), parent.split())
        var neighbour = RandomSource(seed: 7)
        let third = neighbour.split()
        let pairs = [
            ("parent, child", parent, first), ("siblings", first, second), ("neighbouring seeds", first, third),
            ("seeds 0 and 1", RandomSource(seed: 0), RandomSource(seed: 1)),
            ("streams a and b", parent.stream("a"), parent.stream("b")),
        ]
        for (name, a, b) in pairs {
            let z = correlation(a, b)
            #expect(z.magnitude < 4.5, "\(name): \(z) standard deviations")
        }
    }

    @Test func normalDrawsHaveTheMomentsOfTheNormalDistribution() {
        let count = 400_000
        var random = RandomSource(seed: 8)
        var moments = [0.0, 0, 0, 0]
        var tail = 0
        for _ in 0..<count {
            let x = random.normal()
            var power = x
            for k in 0..<4 {
                moments[k] += power / Double(count)
                power *= x
            }
            if x.magnitude > 3 { tail += 1 }
        }
        // Standard deviations of the sample moments: sqrt(1, 2, 15, 96) / sqrt(count).
        let root = Double(count).squareRoot()
        let z = zip(moments, [(0.0, 1.0), (1, 2), (0, 15), (3, 96)]).map { ($0 - $1.0) * root / $1.1.squareRoot() }
        #expect(z.allSatisfy { $0.magnitude < 4.5 }, "\(z)")
        let expectedTail = 0.0026997960632601866 * Double(count)
        #expect(
            (Double(tail) - expectedTail).magnitude < 4.5 * expectedTail.squareRoot(),
            "\(tail) beyond 3, not \(expectedTail)")
    }

    @Test func uniformIntegersHitEveryValueEqually() {
        var random = RandomSource(seed: 9)
        var counts = [Int](repeating: 0, count: 7)
        for _ in 0..<70_000 { counts[random.integer(in: 0...6)] += 1 }
        let chiSquared = counts.reduce(0.0) { $0 + (Double($1) - 10_000) * (Double($1) - 10_000) / 10_000 }
        #expect(chiSquared < 27, "\(chiSquared) with 6 degrees of freedom")  // p = 1.4e-4
        #expect(random.integer(in: .min ... .max) != random.integer(in: .min ... .max))
        #expect(random.integer(in: 3...3) == 3)
    }

    @Test func theLogarithmIsAccurate() {
        var random = RandomSource(seed: 10)
        for _ in 0..<1000 {
            let x = random.uniform() + 0x1p-53
            let error = (RandomSource.logarithm(x) - Double.log(x)).magnitude / max(1, Double.log(x).magnitude)
            #expect(error < 1e-15, "\(error) at \(x)")
        }
    }
}
