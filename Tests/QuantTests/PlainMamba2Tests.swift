//  Plain Mamba-2 language models on the fast engine, against transformers and the reference.

import DualityCore
import DualityReference
import TestSupport
import Testing

@testable import DualityQuant

@Suite struct PlainMamba2Tests {
    /// The official float32 run is 7e-7 from float64; three times that is allowed.
    private static let limit = 2.1e-6

    @Test(arguments: ["mamba2_g1", "mamba2_g2"]) func logitsAndTokensAreThoseOfTransformers(name: String) throws {
        let directory = Fixtures.path("vanilla/\(name)")
        let checkpoint = try Checkpoint(directory: directory)
        let expected = try SafetensorsFile(path: "\(directory)/expected.safetensors")
        let ids = try expected.integers("input_ids").elements
        let reference = try HybridModel<Double>(checkpoint, configuration: checkpoint.configuration)
        let model = try QuantModel(checkpoint, configuration: checkpoint.configuration, options: QuantOptions(.f32))
        var (cache, exact) = (model.makeCache(), reference.makeCache())
        let logits = try model.extend(&cache, by: ids)
        let error = relativeL2(logits.elements, try reference.extend(&exact, by: ids).elements)
        #expect(error < Self.limit, "\(error)")
        // States are held to six times the distance of the reference in float32, whose recurrence
        // rounds in another place than chunks do; hybrid models' are held to as much.
        let float = try HybridModel<Float>(checkpoint, configuration: checkpoint.configuration)
        var single = float.makeCache()
        _ = try float.extend(&single, by: ids, logits: .none)
        for (i, layer) in exact.layers.enumerated() {
            let (scan, rounded) = (try #require(layer.scan), try #require(single.layers[i].scan))
            let limit = 6 * relativeL2(rounded.state.elements, scan.state.elements)
            let state = try #require(try cache.state(ofLayer: i))
            let window = try #require(try cache.window(ofLayer: i))
            let stateError = relativeL2(state.elements, scan.state.elements)
            #expect(stateError < limit, "state of layer \(i): \(stateError), limit \(limit)")
            #expect(relativeL2(window.elements, scan.window.elements) < Self.limit, "window of layer \(i)")
        }
        let greedy = try expected.integers("greedy_ids").elements
        var (row, generated) = (logits.rows(ids.count - 1..<ids.count), [Int]())
        while generated.count < greedy.count {
            generated.append(argmax(row.elements))
            row = try model.extend(&cache, by: [generated[generated.count - 1]], logits: .last)
        }
        #expect(generated == greedy)
    }

    @Test func theOriginalLibrarysNameOfTheEmbeddingIsKnown() throws {
        let odd = OddModel.plain("", groups: 1, gatedNormGroup: 24, 0...Double.infinity)
        var checkpoint = try odd.checkpoint()
        var cache = try odd.fast().makeCache()
        let expected = try odd.fast().extend(&cache, by: [1, 2, 3])
        checkpoint.rename("backbone.embeddings.weight", to: "backbone.embedding.weight")
        let model = try QuantModel(checkpoint, configuration: odd.configuration, options: QuantOptions(.f32))
        var other = model.makeCache()
        #expect(try model.extend(&other, by: [1, 2, 3]) == expected)
    }
}
