import DualityCore
import Foundation
import TestSupport
import Testing

@testable import DualityReference

/// The memory of a model: a value, on disk, and whatever is asked of it.
@Suite struct HybridCacheTests {
    /// A form that fails in the middle of a pass would leave some layers ahead of others.
    @Test func aFormThatCannotRunIsRefusedBeforeAnythingIsRead() throws {
        let model = try ModelCase("m2").model(Float.self)
        for form in [SSDForm.chunked(size: 0), .associative(tree: .balanced, leaf: 0), .convolution] {
            #expect(throws: InputError.self, "\(form)") {
                var changed = model
                try changed.useForm(form)
            }
        }
    }

    @Test func aCacheFileWithAnImpossibleCountIsRefused() throws {
        let fixture = try ModelCase("m2")
        let model = try fixture.model(Float.self)
        let folder = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appendingPathComponent("cache.safetensors").path
        var cache = model.makeCache()
        for count in [-1, Int.max, model.configuration.contextLength + 1] {
            cache.tokenCount = count
            try cache.write(to: path)
            #expect(throws: InputError.self, "token_count \(count)") {
                try HybridCache<Float>(path: path, configuration: model.configuration)
            }
        }
    }

    @Test func aCacheIsAValue() throws {
        let fixture = try ModelCase("m2")
        let model = try fixture.model(Float.self)
        let ids = try fixture.ids("input_ids")
        var cache = model.makeCache()
        _ = try model.extend(&cache, by: Array(ids[..<40]), logits: .none)
        let snapshot = cache
        let first = try model.extend(&cache, by: Array(ids[40...]))
        #expect(snapshot.tokenCount == 40 && cache.tokenCount == ids.count)
        var again = snapshot
        #expect(try model.extend(&again, by: Array(ids[40...])) == first)
        #expect(again == cache)
    }

    @Test func aCacheSurvivesTheDisk() throws {
        let fixture = try ModelCase("m2_rope")
        let model = try fixture.model(Double.self)
        let ids = try fixture.ids("input_ids")
        var cache = model.makeCache()
        _ = try model.extend(&cache, by: Array(ids[..<31]), logits: .none)
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appendingPathComponent("cache.safetensors").path
        try cache.write(to: path)
        var restored = try HybridCache<Double>(path: path, configuration: model.configuration)
        #expect(restored == cache)
        #expect(try model.extend(&restored, by: [1, 2, 3]) == model.extend(&cache, by: [1, 2, 3]))

        let other = try ModelCase("m2").checkpoint.configuration
        #expect(throws: InputError.self) { try HybridCache<Double>(path: path, configuration: other) }
        let weights = Fixtures.path("models/m2/model.safetensors")
        #expect(throws: InputError.self) { try HybridCache<Double>(path: weights, configuration: other) }
    }

    @Test func tokensThatCannotBeReadAreRefusedAndLeaveTheCacheAlone() throws {
        var model = try ModelCase("m2").model(Float.self)
        var cache = model.makeCache()
        _ = try model.extend(&cache, by: [1, 2])
        let before = cache
        for tokens in [[], [-1], [3, 512], Array(repeating: 1, count: 2047)] {
            let error = #expect(throws: InputError.self) { try model.extend(&cache, by: tokens) }
            #expect(error?.kind == .value)
        }
        #expect(cache == before)
        var foreign = try ModelCase("m2_rope").model(Float.self).makeCache()
        #expect(throws: InputError.self) { try model.extend(&foreign, by: [1]) }
        model.contextLimit = nil
        _ = try model.extend(&cache, by: Array(repeating: 1, count: 2047), logits: .last)
        #expect(cache.tokenCount == 2049)
    }
}
