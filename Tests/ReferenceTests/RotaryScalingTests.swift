//  Stretched rotary embeddings against the official ones (float32,
//  Tests/Fixtures/rope/scaling.json), through config.json's keys.

import DualityCore
import TestSupport
import Testing

@testable import DualityReference

@Suite struct RotaryScalingTests {
    @Test func frequenciesAndScaleAreTheOfficialOnes() throws {
        let cases = try #require(try JSON(contentsOf: Fixtures.path("rope/scaling.json"))["cases"]?.array)
        #expect(cases.count == 15)
        for item in cases {
            let name = try #require(item["name"]?.string)
            let length = try #require(item["length"]?.int)
            let headDim = try #require(item["head_dim"]?.int)
            let maxPositions = try #require(item["max_position_embeddings"]?.int)
            var config: JSON.Object = [
                "model_type": "hybrid_qwen3", "hybrid_override_pattern": "*", "num_hidden_layers": 1,
                "num_attention_heads": 2, "num_key_value_heads": 1, "hidden_size": 64,
            ]
            config["head_dim"] = JSON(headDim)
            config["max_position_embeddings"] = JSON(maxPositions)
            config["rope_parameters"] = item["rope_parameters"]
            let configuration = try HybridConfiguration(json: .object(config))

            let inverse = try #require(item["inv_freq"]?.array).compactMap(\.double)
            let scale = try #require(item["attention_scaling"]?.double)
            let cosines = try #require(item["last_cos"]?.array).compactMap(\.double)
            // The official tables are float32, ramps of YaRN included.
            try compare(configuration, length, inverse, scale, cosines, Float.self, limit: 1e-6, name)
            try compare(configuration, length, inverse, scale, cosines, Double.self, limit: 1e-6, name)
        }
    }

    private func compare<Scalar: RealNumber>(
        _ configuration: HybridConfiguration, _ length: Int, _ inverse: [Double], _ scale: Double, _ cosines: [Double],
        _ type: Scalar.Type, limit: Double, _ name: String
    ) throws {
        let rope = try RotaryEmbedding<Scalar>(
            headDim: configuration.headDim, parameters: configuration.rope, maxPositions: configuration.maxPositions)
        let frequencies = rope.frequencies(length: length).map(\.double)
        for (i, (got, expected)) in zip(frequencies, inverse).enumerated() {
            let error = (got / expected - 1).magnitude
            #expect(error < limit, "\(name) \(Scalar.name): frequency \(i) is \(got), official \(expected)")
        }
        #expect((rope.attentionScale.double - scale).magnitude < 1e-6, "\(name): attention scale")
        let last = rope.table(positions: 0..<length).cosines.rows(length - 1..<length).elements
        #expect(maximumDifference(last, cosines) < 3e-5, "\(name) \(Scalar.name): cosines at \(length - 1)")
    }

    /// Beyond the trained length dynamic frequencies change with the length; within it they do not.
    @Test func dynamicFrequenciesAreTheUnscaledOnesWithinTheTrainedLength() throws {
        let plain = try RotaryEmbedding<Double>(headDim: 64, parameters: RopeParameters(theta: 1e4), maxPositions: 128)
        let dynamic = try RotaryEmbedding<Double>(
            headDim: 64, parameters: RopeParameters(theta: 1e4, scaling: .dynamic(factor: 2)), maxPositions: 128)
        #expect(maximumDifference(dynamic.frequencies(length: 128), plain.frequencies(length: 128)) < 1e-15)
        #expect(maximumDifference(dynamic.frequencies(length: 256), plain.frequencies(length: 256)) > 1e-4)
    }
}
