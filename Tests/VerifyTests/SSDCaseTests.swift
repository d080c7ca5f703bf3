//  The case generator: reproducible, varied, and able to shrink.

import DualityCore
import DualityReference
import Testing

@testable import DualityVerify

@Suite struct SSDCaseTests {
    @Test func aCaseIsItsLine() throws {
        for item in SSDCaseGenerator(seed: 3).prefix(500) {
            let copy = try #require(SSDCase(item.description), "\(item)")
            #expect(copy == item)
            #expect(item.isSound, "\(item)")
        }
        #expect(SSDCase("seed=1 L=5 Q=oops") == nil)
        #expect(SSDCase("seed=1 nonsense=3") == nil)
        #expect(SSDCase("seed=1 H=4 Hx=3") == nil)
        #expect(SSDCase("seed=1 L=5 cuts=5") == nil)
    }

    @Test func theSameSeedGivesTheSameOperandsAndTheyAreFloat32() throws {
        for item in SSDCaseGenerator(seed: 8, budget: 50_000).prefix(50) {
            let (first, again) = (try item.inputs(as: Double.self), try item.inputs(as: Double.self))
            #expect(first.x == again.x && first.dt == again.dt && first.initialState == again.initialState)
            #expect(first.x.elements.allSatisfy { Double(Float($0)) == $0 })
            #expect(first.dt.elements.allSatisfy { Double(Float($0)) == $0 })
        }
        // The stream is part of the format of a printed case: pinned.
        let pinned: SSDInputs<Double> = try SSDCase(seed: 1).inputs()
        #expect(pinned.x.elements[0] == -1.3285554647445679)
    }

    @Test func theStreamCoversWhatKernelsBreakOn() {
        let cases = Array(SSDCaseGenerator(seed: 5).prefix(2000))
        func share(_ predicate: (SSDCase) -> Bool) -> Double { Double(cases.count(where: predicate)) / 2000 }
        #expect(share { $0.length == 1 } > 0.02)
        #expect(share { $0.length == $0.chunkSize + 1 } > 0.05)
        #expect(share { $0.length % $0.chunkSize != 0 } > 0.2)
        #expect(share { !$0.cuts.isEmpty } > 0.15)
        #expect(share { $0.xHeads < $0.heads && $0.cHeads == $0.heads } > 0.05)
        #expect(share { $0.decay < 1e-6 } > 0.1 && share { $0.decay > 100 } > 0.1)
        for values in SSDCase.Values.allCases { #expect(share { $0.values == values } > 0.03, "\(values)") }
        #expect(share { $0.headDim % 2 == 1 } > 0.2 && share { $0.headDim == 128 } > 0.01)
    }

    @Test func aFailingCaseShrinksToItsCause() throws {
        let failing = try #require(
            SSDCaseGenerator(seed: 2).first { $0.length > 50 && $0.gate && $0.heads > 2 && !$0.cuts.isEmpty })
        let shrunk = failing.shrunk { $0.gate && $0.length >= 7 }
        #expect(shrunk.length == 7 && shrunk.gate)
        #expect(shrunk.heads == 1 && shrunk.cuts.isEmpty && shrunk.stateDim == 1 && shrunk.headDim == 1)
    }
}
