import Foundation
import TestSupport
import Testing

@testable import DualityCore

@Suite struct ConfigurationTests {
    /// A small valid config.json with some keys replaced; nil removes one.
    static func json(_ changes: [String: JSON?] = [:]) throws -> JSON {
        var object: JSON.Object = [
            "model_type": "hybrid_qwen3", "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 5,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 512,
            "max_position_embeddings": 2048, "hybrid_override_pattern": "*-M2-M2-*-M2",
            "mamba2_config": ["use_qk_norm": true, "use_pos_emb": false],
        ]
        for (key, value) in changes { object[key] = value ?? .null }
        return .object(object)
    }

    static func configuration(_ changes: [String: JSON?] = [:]) throws -> HybridConfiguration {
        try HybridConfiguration(json: json(changes))
    }

    /// The complaint about a config.json with these changes.
    static func complaint(_ changes: [String: JSON?]) throws -> InputError? {
        let json = try json(changes)
        return #expect(throws: InputError.self) { try HybridConfiguration(json: json) }
    }

    @Test func readsAnOfficialConfiguration() throws {
        let found = try HybridConfiguration(directory: Fixtures.path("models/m2_rope"))
        #expect(found.vocabularySize == 512)
        #expect(found.hiddenSize == 96)
        #expect(found.intermediateSize == 192)
        #expect(found.layers == [.mamba2, .attention, .mamba2, .attention])
        #expect((found.headCount, found.keyValueHeadCount, found.headDim) == (4, 2, 64))
        #expect(found.maxPositions == 2048)
        #expect(found.normEpsilon == 1e-6)
        #expect(found.rope == RopeParameters(theta: 5e6))
        #expect(found.mamba2.rotatesBC && found.mamba2.normalizesBC)
        #expect(found.dtype == "bfloat16")
        #expect(found.beginToken == nil && found.endTokens == [] && found.padToken == nil)
        #expect(found.warnings == [])
    }

    @Test(arguments: ["qwen3_dense", "m2", "m2_tied", "m2_tied_noqknorm_f32", "gdn", "gka", "swa"])
    func everyOfficialConfigurationIsReadWithoutAWarning(name: String) throws {
        let found = try HybridConfiguration(directory: Fixtures.path("models/\(name)"))
        #expect(found.warnings == [])
        #expect(found.tiedEmbeddings == name.contains("tied"))
        #expect(found.mamba2.normalizesBC == !name.contains("noqknorm"))
    }

    @Test func absentKeysHaveTheDefaultsOfTheOfficialClass() throws {
        let pattern = Array(repeating: "*", count: 32).joined(separator: "-")
        let text = #"{"model_type": "hybrid_qwen3", "num_hidden_layers": 32, "hybrid_override_pattern": "\#(pattern)"}"#
        let found = try HybridConfiguration(json: JSON(parsing: text))
        #expect(
            found
                == HybridConfiguration(
                    vocabularySize: 151_936, hiddenSize: 4096, intermediateSize: 22016,
                    layers: Array(repeating: .attention, count: 32), headCount: 32, keyValueHeadCount: 32, headDim: 128)
        )
        #expect(found.rope.theta == 10000)
    }

    @Test func nullIsTheSameAsAbsent() throws {
        var everything: [String: JSON?] = [:]
        for key in [
            "rms_norm_eps", "rope_parameters", "rope_scaling", "attention_bias", "tie_word_embeddings", "eos_token_id",
            "dtype", "hidden_act", "layer_types", "sliding_window", "use_sliding_window", "max_window_layers",
        ] {
            everything[key] = .null
        }
        #expect(try Self.configuration(everything) == Self.configuration())
        #expect(try Self.configuration(["num_key_value_heads": nil]).keyValueHeadCount == 4)
    }

    @Test func denseQwen3IsAttentionThroughout() throws {
        let dense = try Self.configuration([
            "model_type": "qwen3", "hybrid_override_pattern": nil, "mamba2_config": nil, "rope_theta": 1_000_000,
            "torch_dtype": "torch.bfloat16",
        ])
        #expect(dense.layers == Array(repeating: .attention, count: 5))
        #expect(dense.rope.theta == 1e6)
        #expect(dense.dtype == "bfloat16")
        #expect(dense.warnings == [])
        let windowed = try Self.configuration([
            "model_type": "qwen3", "hybrid_override_pattern": nil, "use_sliding_window": true, "sliding_window": 64,
            "max_window_layers": 3,
        ])
        #expect(windowed.layers[2...] == [.attention, .slidingWindowAttention, .slidingWindowAttention])
    }

    @Test func thePatternDecidesOverLayerTypes() throws {
        let found = try Self.configuration(["layer_types": ["*", "*", "*", "*", "*"]])
        #expect(found.layers == [.attention, .mamba2, .mamba2, .attention, .mamba2])
        #expect(found.warnings.count == 1)
        let typesOnly = try Self.configuration([
            "hybrid_override_pattern": nil, "layer_types": ["M2", "full_attention", "M2", "*", "M2"],
        ])
        #expect(typesOnly.layers == [.mamba2, .attention, .mamba2, .attention, .mamba2])
        #expect(typesOnly.warnings.count == 1)
    }

    @Test func ropeParametersComeBeforeTheOlderKeys() throws {
        let both = try Self.configuration([
            "rope_parameters": ["rope_type": "default", "rope_theta": 1_000_000], "rope_theta": 5_000_000,
        ])
        #expect(both.rope == RopeParameters(theta: 1e6))
        #expect(both.warnings.count == 1, "\(both.warnings)")
        let legacy = try Self.configuration([
            "rope_theta": 5_000_000, "rope_scaling": ["rope_type": "linear", "factor": .number("2.0")],
        ])
        #expect(legacy.rope == RopeParameters(theta: 5e6, scaling: .linear(factor: 2)))
        #expect(legacy.warnings == [])
        let old = try Self.configuration(["rope_scaling": ["type": "dynamic", "factor": 4]])
        #expect(old.rope.scaling == .dynamic(factor: 4))
        #expect(old.warnings.count == 1)
        #expect(try Self.configuration().rope == RopeParameters(theta: 10000))
    }

    @Test func everyScalingIsReadWithItsConstants() throws {
        let plain = try Self.configuration(["rope_parameters": ["rope_type": "yarn", "factor": 4]])
        #expect(plain.rope.scaling == .yarn(.init(factor: 4, originalMaxPositions: 2048)))
        var yarn = RopeParameters.Yarn(factor: 8, originalMaxPositions: 256)
        (yarn.betaFast, yarn.betaSlow, yarn.truncate, yarn.attentionFactor) = (16, 2, false, 1.25)
        (yarn.mscale, yarn.mscaleAllDim) = (0.5, 0.75)
        let full = try Self.configuration([
            "rope_parameters": [
                "rope_type": "yarn", "original_max_position_embeddings": 256, "beta_fast": 16, "beta_slow": 2,
                "truncate": false, "attention_factor": .number("1.25"), "mscale": .number("0.5"),
                "mscale_all_dim": .number("0.75"),
            ]
        ])
        #expect(full.rope.scaling == .yarn(yarn))
        let llama3 = try Self.configuration([
            "rope_parameters": ["rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4]
        ])
        #expect(
            llama3.rope.scaling
                == .llama3(factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: 2048))
    }

    @Test func tokenIdsAreANumberOrAList() throws {
        #expect(try Self.configuration(["eos_token_id": 7]).endTokens == [7])
        #expect(try Self.configuration(["eos_token_id": [7, 9]]).endTokens == [7, 9])
        let outside = try Self.configuration(["eos_token_id": [7, 512], "pad_token_id": -1])
        #expect(outside.endTokens == [7] && outside.padToken == nil)
        #expect(outside.warnings.count == 2, "\(outside.warnings)")
    }

    @Test func storedWidthsThatContradictTheHeadsAreTold() throws {
        let found = try Self.configuration([
            "mamba2_config": ["use_qk_norm": false, "d_inner": 256, "ssm_cfg": ["d_state": 32], "use_rotary_emb": true]
        ])
        #expect(!found.mamba2.normalizesBC)
        #expect(found.warnings.count == 2, "\(found.warnings)")
    }

    @Test func aMisspelledKeyIsTold() throws {
        let found = try Self.configuration(["num_key_value_heads": nil, "num_key_value_head": 2])
        #expect(found.warnings.count == 1, "\(found.warnings)")
    }

    /// A key, its value as JSON text, and what the complaint is to say.
    struct Mistake: Sendable, CustomTestStringConvertible {
        let key: String
        let value: String
        let kind: InputError.Kind
        let words: String
        var testDescription: String { "\(key): \(value)" }

        init(_ key: String, _ value: String, _ kind: InputError.Kind, _ words: String) {
            (self.key, self.value, self.kind, self.words) = (key, value, kind, words)
        }
    }

    static let mistakes: [Mistake] = [
        Mistake("hybrid_override_pattern", #""*-M2-M3-*-M2""#, .unknown, "layer 2"),
        Mistake("hybrid_override_pattern", #""*-M2-m2-*-M2""#, .unknown, "Is it \"M2\"?"),
        Mistake("hybrid_override_pattern", #""*-M2--*-M2""#, .unknown, "layer 2"),
        Mistake("hybrid_override_pattern", #""*-M2-M2*-*-M2""#, .unsupported, "Convert the fused checkpoint"),
        Mistake(
            "hybrid_override_pattern", #""*-M2-M2-*""#, .value, "expected 5 layers, as num_hidden_layers says, found 4"),
        Mistake("hybrid_override_pattern", "null", .missing, "hybrid_override_pattern"),
        Mistake("hybrid_override_pattern", "3", .json, "the number 3"),
        Mistake("num_key_value_heads", "3", .value, "a divisor of num_attention_heads, which is 4"),
        Mistake("num_key_value_heads", "8", .value, "found 8"),
        Mistake("num_attention_heads", "0", .value, "num_attention_heads"),
        Mistake("head_dim", "31", .value, "an even number, for RoPE"),
        Mistake("head_dim", "1000000", .value, "num_attention_heads * head_dim"),
        Mistake("hidden_size", "0", .value, "hidden_size"),
        Mistake("hidden_size", "-4", .value, "hidden_size"),
        Mistake("hidden_size", #""128""#, .json, "the string \"128\""),
        Mistake("hidden_size", "128.5", .json, "128.5"),
        Mistake("hidden_size", "1e300", .json, "1e300"),
        Mistake("vocab_size", "99999999999999999999", .json, "vocab_size"),
        Mistake("intermediate_size", "0", .value, "intermediate_size"),
        Mistake("max_position_embeddings", "0", .value, "max_position_embeddings"),
        Mistake("rms_norm_eps", "-1", .value, "rms_norm_eps"),
        Mistake("rms_norm_eps", #""1e-6""#, .json, "rms_norm_eps"),
        Mistake("tie_word_embeddings", "1", .json, "true or false"),
        Mistake("num_hidden_layers", "0", .value, "num_hidden_layers"),
        Mistake("num_hidden_layers", "6", .value, "expected 6 layers"),
        Mistake("layer_types", #"["*", 1]"#, .json, "layer_types[1]"),
        Mistake("eos_token_id", #"[1, "2"]"#, .json, "eos_token_id[1]"),
        Mistake("model_type", #""llama""#, .unsupported, "\"llama\""),
        Mistake("hidden_act", #""gelu""#, .unsupported, "gelu"),
        Mistake("mamba2_config", #"{"use_qk_norm": "yes"}"#, .json, "mamba2_config.use_qk_norm"),
        Mistake("mamba2_config", #"{"ssm_cfg": {"d_state": "32"}}"#, .json, "mamba2_config.ssm_cfg.d_state"),
        Mistake("mamba2_config", #"{"d_conv": 0}"#, .value, "mamba2_config.d_conv"),
        Mistake("mamba2_config", "[]", .json, "an array"),
        Mistake("rope_parameters", #"{"rope_type": "longrope", "factor": 2}"#, .unsupported, "longrope"),
        Mistake("rope_parameters", #"{"rope_type": "yran", "factor": 2}"#, .unknown, "Is it \"yarn\"?"),
        Mistake("rope_parameters", #"{"rope_type": "linear"}"#, .missing, "rope_parameters.factor"),
        Mistake("rope_parameters", #"{"rope_type": "linear", "factor": 0}"#, .value, "rope_parameters.factor"),
        Mistake("rope_parameters", #"{"rope_theta": -1}"#, .value, "rope_parameters.rope_theta"),
        Mistake("rope_parameters", #"{"partial_rotary_factor": 0.5}"#, .unsupported, "partial_rotary_factor"),
        Mistake(
            "rope_parameters", #"{"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4}"#,
            .value,
            "more than low_freq_factor"),
        Mistake("rope_theta", #""big""#, .json, "rope_theta"),
    ]

    @Test(arguments: mistakes)
    func aMistakeIsNamedWithItsKey(mistake: Mistake) throws {
        let error = try Self.complaint([mistake.key: JSON(parsing: mistake.value)])
        let message = error.map(String.init(describing:)) ?? "no error"
        #expect(error?.kind == mistake.kind, "\(message)")
        #expect(message.contains(mistake.words), "\(message)")
        #expect(error?.place.hasPrefix("config.json: ") == true)
    }

    @Test func malformedJSONCarriesLineAndColumn() throws {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appendingPathComponent("config.json")
        try Data("{\n  \"hidden_size\": 12,,\n}".utf8).write(to: path)
        let error = #expect(throws: InputError.self) { try HybridConfiguration(directory: directory.path) }
        #expect(error?.place == "\(path.path):2:21")
    }

    @Test func aPathThatIsNoModelDirectoryIsExplained() throws {
        let file = Fixtures.path("models/m2/config.json")
        #expect(throws: InputError.self) { try HybridConfiguration(directory: file) }
        let above = #expect(throws: InputError.self) { try HybridConfiguration(directory: Fixtures.path("models")) }
        #expect(above?.remedy.hasPrefix("Is it ") == true)
        let nowhere = #expect(throws: InputError.self) { try HybridConfiguration(directory: Fixtures.path("none")) }
        #expect(nowhere?.kind == .missingFile)
    }

    /// Damage of any byte is an error or a configuration, never a trap.
    @Test func damagedConfigurationsNeverTrap() throws {
        let whole = [UInt8](try Data(contentsOf: URL(fileURLWithPath: Fixtures.path("models/m2/config.json"))))
        var random = RandomSource(seed: 2)
        var refused = 0
        for trial in 0..<4000 {
            var bytes = whole
            if trial % 4 == 0 {
                bytes = Array(bytes[..<random.integer(in: 0...whole.count - 1)])
            } else {
                for _ in 0..<random.integer(in: 1...3) {
                    bytes[random.integer(in: 0...bytes.count - 1)] =
                        UInt8(ascii: "0") &+ UInt8(random.integer(in: 0...80))
                }
            }
            do {
                let json = try bytes.withUnsafeBytes { try JSON(parsing: $0, place: "config.json") }
                let configuration = try HybridConfiguration(json: json)
                _ = try WeightContract(configuration).requirements.reduce(0) { $0 + $1.count }
            } catch is InputError {
                refused += 1
            }
        }
        #expect(refused > 1000, "\(refused) of 4000")
    }
}
