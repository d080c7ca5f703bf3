//  Plain Mamba-2 language models against transformers, and the two spellings of their checkpoints
//  against each other.

import DualityCore
import TestSupport
import Testing

@testable import DualityReference

@Suite struct PlainMamba2Tests {
    @Test(arguments: ["mamba2_g1", "mamba2_g2"]) func logitsAreThoseOfTransformers(name: String) throws {
        let directory = Fixtures.path("vanilla/\(name)")
        let checkpoint = try Checkpoint(directory: directory)
        let expected = try SafetensorsFile(path: "\(directory)/expected.safetensors")
        let ids = try expected.integers("input_ids").elements
        let model = try HybridModel<Double>(checkpoint, configuration: checkpoint.configuration)
        #expect(model.contextLimit == nil)
        var cache = model.makeCache()
        let logits = try model.extend(&cache, by: ids)
        // The stored answers are of a float32 run; its distance from float64 was measured as 7e-7.
        let error = relativeL2(logits.elements, try expected.tensor("logits", as: Double.self).elements)
        #expect(error < 1e-6, "\(error)")
        for (i, layer) in cache.layers.enumerated() {
            let scan = try #require(layer.scan)
            let state: Tensor<Double> = try expected.tensor("layers.\(i).ssm_state")
            #expect(relativeL2(scan.state.elements, state.elements) < 2e-6, "state of layer \(i)")
            // Theirs are the last four inputs, channel by channel; ours the last three, token by
            // token.
            let window: Tensor<Double> = try expected.tensor("layers.\(i).conv_state")
            let channels = scan.window.shape[1]
            let columns = (0..<3).flatMap { t in (0..<channels).map { window.elements[$0 * 4 + t + 1] } }
            #expect(relativeL2(scan.window.elements, columns) < 2e-6, "window of layer \(i)")
        }

        let greedy = try expected.integers("greedy_ids").elements
        var (row, generated, rows) = (logits.rows(ids.count - 1..<ids.count), [Int](), [Double]())
        while generated.count < greedy.count {
            rows += row.elements
            generated.append(row.elements.indices.max { row.elements[$0] < row.elements[$1] } ?? 0)
            row = try model.extend(&cache, by: [generated[generated.count - 1]], logits: .last)
        }
        #expect(generated == greedy)
        #expect(relativeL2(rows, try expected.tensor("greedy_logits", as: Double.self).elements) < 2e-6)

        for first in [1, 2, 3, 4, 15, 16, 17, ids.count - 1] {
            var cache = model.makeCache()
            let pieces =
                try model.extend(&cache, by: Array(ids[..<first])).elements
                + model.extend(&cache, by: Array(ids[first...])).elements
            #expect(maximumDifference(pieces, logits.elements) < 1e-11, "split after \(first)")
        }
        let float = try HybridModel<Float>(checkpoint, configuration: checkpoint.configuration)
        var floatCache = float.makeCache()
        #expect(relativeL2(try float.extend(&floatCache, by: ids).elements, logits.elements) < 3e-6)
    }

    @Test func theOriginalSpellingIsTheSameModel() throws {
        let names = try HybridConfiguration(directory: Fixtures.path("vanilla/mamba2_g1"))
        var source = try RandomCheckpoint(names)
        let ids = [1, 2, 3, 200, 5]
        let theirs = try HybridModel<Double>(source, configuration: names)
        var cache = theirs.makeCache()
        let expected = try theirs.extend(&cache, by: ids)

        // One group: a norm over each group's channels is a norm over all.
        let json = #"""
            {"d_model": 48, "d_intermediate": 0, "n_layer": 3, "vocab_size": 250, "attn_layer_idx": [], "attn_cfg": {},
             "ssm_cfg": {"layer": "Mamba2", "d_state": 24, "headdim": 16, "ngroups": 1}, "rms_norm": true,
             "residual_in_fp32": true, "fused_add_norm": true, "pad_vocab_size_multiple": 16, "tie_embeddings": false}
            """#
        let configuration = try HybridConfiguration(json: JSON(parsing: json))
        #expect(configuration.vocabularySize == 256)
        #expect(configuration.warnings == [])
        source.rename("backbone.embeddings.weight", to: "backbone.embedding.weight")
        let model = try HybridModel<Double>(source, configuration: configuration)
        var ours = model.makeCache()
        #expect(try model.extend(&ours, by: ids) == expected)
    }

    @Test func groupsAreNormalisedApartInTheOriginalLibrary() throws {
        func configuration(_ text: String) throws -> HybridConfiguration {
            try HybridConfiguration(
                json: JSON(parsing: #"{"d_model": 40, "n_layer": 2, "vocab_size": 256, "ssm_cfg": \#(text)}"#))
        }
        let two = try configuration(#"{"layer": "Mamba2", "headdim": 20, "d_state": 16, "ngroups": 2}"#)
        #expect(two.plainMamba2?.gatedNormGroup == 40 && two.tiedEmbeddings && two.mamba2Shape.channels == 80 + 64)
        #expect(two.mamba2Shape.projectedSize == 2 * 80 + 2 * 2 * 16 + 4)
        for text in [
            #"{"layer": "Mamba1"}"#, "{}", #"{"layer": "Mamba2", "headdim": 7}"#, #"{"layer": "Mamba2", "ngroups": 5}"#,
            #"{"layer": "Mamba2", "norm_before_gate": true}"#, #"{"layer": "Mamba2", "d_ssm": 40}"#,
            #"{"layer": "Mamba2", "dt_limit": [1]}"#, #"{"layer": "Mamba2", "D_has_hdim": true}"#,
        ] {
            #expect(throws: InputError.self, "\(text)") { try configuration(text) }
        }
        let attention = #"{"d_model": 40, "n_layer": 2, "attn_layer_idx": [1], "ssm_cfg": {"layer": "Mamba2"}}"#
        #expect(throws: InputError.self) { try HybridConfiguration(json: JSON(parsing: attention)) }
    }

    @Test func theStepKeepsItsLimit() throws {
        let directory = Fixtures.path("vanilla/mamba2_g1")
        let checkpoint = try Checkpoint(directory: directory)
        var configuration = checkpoint.configuration
        #expect(configuration.plainMamba2?.stepLimit == 0...Double.infinity)
        configuration.plainMamba2?.stepLimit = 0.25...0.25
        let model = try HybridModel<Double>(checkpoint, configuration: configuration)
        for (_, inputs) in try model.scanInputs(reading: [1, 2, 3]) { #expect(inputs.dtLimit == 0.25...0.25) }
        let odd = #"{"model_type": "mamba2", "hidden_size": 48, "num_heads": 6, "head_dim": 15}"#
        #expect(throws: InputError.self) { try HybridConfiguration(json: JSON(parsing: odd)) }
    }
}
