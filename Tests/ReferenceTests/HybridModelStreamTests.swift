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

    @Test func aLayerReadAnewIsThatOfTheOtherSource() throws {
        let checkpoint = try Checkpoint(directory: Fixtures.path("models/m2"))
        let model = try HybridModel<Double>(checkpoint, configuration: checkpoint.configuration)
        var source = try TensorDictionary(reading: checkpoint)
        let name = "model.layers.1.mamba.A_log"
        source.tensors[name] = source.tensors[name]?.map { $0 + 0.5 }
        func logits(_ model: HybridModel<Double>) throws -> Tensor<Double> {
            var cache = model.makeCache()
            return try model.extend(&cache, by: [5, 1, 7, 2, 2, 9])
        }
        let wanted = try logits(HybridModel<Double>(source, configuration: checkpoint.configuration))
        var changed = model
        try changed.reload(layer: 2, from: source)
        #expect(try logits(changed) == logits(model), "layer 2 is the same in both")
        try changed.reload(layer: 1, from: source)
        #expect(try logits(changed) == wanted)
        source.tensors[name] = Tensor([1, 2])
        for layer in [1, -1, 5] {
            #expect(throws: InputError.self, "\(layer)") { try changed.reload(layer: layer, from: source) }
        }
    }
}
