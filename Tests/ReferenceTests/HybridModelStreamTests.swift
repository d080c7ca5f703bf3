import DualityCore
import DualityReference
import TestSupport
import Testing

@Suite struct HybridModelStreamTests {
    @Test func upperPartsGiveTheLogitsOfTheWhole() throws {
        let checkpoint = try Checkpoint(directory: Fixtures.path("models/m2"))
        let model = try HybridModel<Double>(checkpoint, configuration: checkpoint.configuration)
        var streams: [Tensor<Double>] = []
        var cache = model.makeCache()
        let whole = try model.extend(&cache, by: [5, 1, 7, 2, 2, 9]) { seen in
            if case .layer(_, .output(let h)) = seen { streams.append(h) }
        }
        for (i, stream) in streams.enumerated() {
            #expect(try model.logits(of: stream, enteringLayer: i + 1) == whole, "from layer \(i + 1)")
        }
        #expect(throws: InputError.self) { try model.logits(of: streams[0], enteringLayer: streams.count + 1) }
        #expect(throws: InputError.self) { try model.logits(of: Tensor([1, 2]), enteringLayer: 0) }
    }
}
