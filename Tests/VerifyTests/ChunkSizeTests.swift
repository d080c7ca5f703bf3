import DualityCore
import DualityReference
import Foundation
import TestSupport
import Testing

@testable import DualityVerify

/// Chunks of 16 to 1024 tokens differ little in the error they make in Float, whatever the
/// operands.
///
/// A few generated cases; as many as DUALITY_CHUNK_CASES says where that is set. docs/numerics.md
/// has the distribution over 150.
@Suite struct ChunkSizeTests {
    static let sizes = [16, 64, 256, 1024]

    /// Long relatives of the generator's cases: every size of chunk has its own number of chunks.
    static func cases(_ count: Int) -> [SSDCase] {
        var generator = SSDCaseGenerator(seed: 1024, budget: 400_000)
        var random = RandomSource(seed: 1024)
        var items: [SSDCase] = []
        while items.count < count, var item = generator.next() {
            // Zeros make no errors, and numbers below the normal range all the same ones.
            guard item.values != .zeros, item.values != .denormal else { continue }
            item.length = random.integer(in: 1025...2100)
            (item.batch, item.heads, item.xHeads, item.bHeads, item.cHeads) = (1, 1, 1, 1, 1)
            (item.headDim, item.stateDim) = (min(item.headDim, 16), min(item.stateDim, 64))
            item.cuts = []
            items.append(item)
        }
        return items
    }

    /// ||ŷ - y|| / ||y|| of each size.
    static func errors(_ item: SSDCase) throws -> [Double] {
        let exact = try SSDForm.recurrent.evaluate(item.inputs(as: Double.self)).y
        let narrow: SSDInputs<Float> = try item.inputs()
        return try sizes.map {
            try relativeL2(SSDForm.chunked(size: $0).evaluate(narrow).widened.y.elements, exact.elements)
        }
    }

    @Test func errorsOfChunksDifferByLessThanAFactorOfTwo() throws {
        let asked = ProcessInfo.processInfo.environment["DUALITY_CHUNK_CASES"].flatMap { Int($0) }
        var ratios: [(ratio: Double, errors: [Double], item: SSDCase)] = []
        for item in Self.cases(asked ?? 12) {
            let errors = try Self.errors(item)
            guard let largest = errors.max(), let smallest = errors.min(), smallest > 0 else { continue }
            ratios.append((largest / smallest, errors, item))
        }
        ratios.sort { $0.ratio < $1.ratio }
        #expect(ratios.count > (asked ?? 12) / 2)
        for row in ratios.suffix(asked == nil ? 0 : 40) { print(row.ratio, row.errors, row.item) }
        if asked != nil {
            for fraction in [0.5, 0.9, 0.99, 0.999] {
                print(fraction, ratios[min(Int(Double(ratios.count) * fraction), ratios.count - 1)].ratio)
            }
            print(ratios.count, ratios.count { $0.ratio >= 2 })
        }
        let worst = try #require(ratios.last)
        #expect(worst.ratio < 2, "\(worst.ratio): \(worst.errors) on \(worst.item)")
    }
}
