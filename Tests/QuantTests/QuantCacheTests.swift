//  Caches of the fast engine as tensors: nothing is read beyond what the cache itself has.

import DualityCore
import TestSupport
import Testing

@testable import DualityQuant

@Suite struct QuantCacheTests {
    @Test(arguments: [-1, 5, Int.max, Int.min]) func aLayerThatIsNotThereIsRefused(layer: Int) throws {
        let model = try ConformanceModel("m2").fast()
        let cache = model.makeCache()
        try #require(cache.layerCount == 5)
        for read in [
            { _ = try cache.state(ofLayer: layer) }, { _ = try cache.window(ofLayer: layer) },
            { _ = try cache.logDecay(ofLayer: layer) }, { _ = try cache.keysAndValues(ofLayer: layer) },
        ] {
            let error = #expect(throws: InputError.self) { try read() }
            #expect(error?.kind == .value && error?.found == "\(layer)")
        }
    }

    @Test func theShapeOfAnotherModelIsRefusedAndNamed() throws {
        let fixture = try ConformanceModel("m2")
        let cache = try fixture.fast().makeCache()
        try cache.requireShape(of: fixture.checkpoint.configuration)
        let own = fixture.checkpoint.configuration
        var others: [HybridConfiguration] = []
        for change in [
            { (c: inout HybridConfiguration) in c.layers.removeLast() }, { $0.layers.swapAt(0, 1) },
            { $0.headDim *= 2 }, { $0.headCount *= 2 }, { $0.mamba2.convolutionTaps += 1 },
        ] {
            var other = own
            change(&other)
            others.append(other)
        }
        for other in others {
            let error = #expect(throws: InputError.self) { try cache.requireShape(of: other) }
            #expect(error?.kind == .shape)
        }
    }

    @Test func tensorsHaveTheShapesOfTheCache() throws {
        let fixture = try ConformanceModel("m2")
        let (model, configuration) = (try fixture.fast(), fixture.checkpoint.configuration)
        var cache = model.makeCache()
        for count in [0, 1, 70] {
            if count > 0 { _ = try model.extend(&cache, by: Array(repeating: 3, count: count), logits: .none) }
            for (i, kind) in configuration.layers.enumerated() {
                let (heads, dim) = (configuration.headCount, configuration.headDim)
                if kind == .mamba2 {
                    #expect(try cache.state(ofLayer: i)?.shape == [heads, dim, dim])
                    #expect(try cache.window(ofLayer: i)?.shape.first == configuration.mamba2.convolutionTaps - 1)
                    #expect(try cache.logDecay(ofLayer: i)?.count == heads)
                    #expect(try cache.keysAndValues(ofLayer: i) == nil)
                } else {
                    #expect(try cache.state(ofLayer: i) == nil)
                    let keys = try cache.keysAndValues(ofLayer: i)?.keys
                    #expect(keys?.shape == [configuration.keyValueHeadCount, cache.tokenCount, dim])
                }
            }
        }
    }

    /// The library's default is the command's: scales for groups of 32 where the model is narrow.
    @Test func aPrecisionMeansTheSameInTheLibraryAndInTheCommand() throws {
        var configuration = try ConformanceModel("m2").checkpoint.configuration
        for (width, group) in [(256, 32), (1023, 32), (1024, 0), (4096, 0)] {
            configuration.hiddenSize = width
            let plan = QuantOptions(.int8).plan(for: configuration)
            #expect(plan.base == .int8(group: group))
            #expect(plan == PrecisionPlan(.int8, group: PrecisionPlan.defaultGroup(configuration)))
        }
        let own = PrecisionPlan(uniform: .int8(group: 64))
        #expect(QuantOptions(plan: own).plan(for: configuration) == own)
    }
}
