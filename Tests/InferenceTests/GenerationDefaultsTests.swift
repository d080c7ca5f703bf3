import DualityCore
import DualityInference
import Foundation
import TestSupport
import Testing

@Suite struct GenerationDefaultsTests {
    private func load(_ generation: String?, config: String? = nil) throws -> GenerationDefaults {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        for (name, text) in [("generation_config.json", generation), ("config.json", config)] {
            guard let text else { continue }
            try Data(text.utf8).write(to: directory.appendingPathComponent(name))
        }
        return try GenerationDefaults(directory: directory.path)
    }

    @Test func theEmbeddedModelBringsItsOwn() throws {
        let defaults = try GenerationDefaults(directory: Fixtures.embeddedModel)
        #expect(defaults.endTokens == [4095, 4093])
        #expect(defaults.sampling.temperature == 0.7)
        #expect(defaults.sampling.topK == 40)
        #expect(defaults.sampling.topP == 0.95)
        #expect(defaults.warnings.isEmpty)
    }

    @Test func withoutSamplingDecodingIsGreedy() throws {
        #expect(try load(#"{"do_sample": false, "temperature": 0.6, "eos_token_id": 2}"#).sampling.temperature == 0)
        #expect(try load(#"{"temperature": 0.6, "eos_token_id": 2}"#).sampling.temperature == 0)
        let absent = try load(nil, config: #"{"eos_token_id": [3, 4]}"#)
        #expect(absent.sampling == .greedy)
        #expect(absent.warnings.count == 1)
        #expect(absent.endTokens == [3, 4])
    }

    @Test func nullIsAbsent() throws {
        let text = #"{"do_sample": true, "temperature": null, "top_k": null, "top_p": null, "eos_token_id": null}"#
        let defaults = try load(text, config: #"{"eos_token_id": 7}"#)
        #expect(defaults.sampling == SamplingParameters())
        #expect(defaults.endTokens == [7])
    }

    @Test func endTokensAreANumberOrAList() throws {
        #expect(try load(#"{"eos_token_id": 5}"#).endTokens == [5])
        #expect(try load(#"{"eos_token_id": [5, 6, 5]}"#).endTokens == [5, 6])
        #expect(try load("{}").warnings.count == 1)
    }

    @Test(
        arguments: [
            (#"{"temperature": "hot"}"#, InputError.Kind.json, "temperature"),
            (#"{"do_sample": true, "top_p": 1.5}"#, .value, "top_p"),
            (#"{"do_sample": 1}"#, .json, "do_sample"), (#"{"top_k": 1.5}"#, .json, "top_k"),
            (#"{"eos_token_id": "<|im_end|>"}"#, .json, "eos_token_id"),
            (#"{"eos_token_id": [-1]}"#, .value, "eos_token_id"),
            ("[]", .json, "generation_config.json"), ("{", .json, "generation_config.json:1:2"),
        ])
    func aBrokenValueIsNamed(text: String, kind: InputError.Kind, place: String) {
        let error = #expect(throws: InputError.self) { try load(text) }
        #expect(error?.kind == kind, "\(String(describing: error))")
        #expect(error?.place.contains(place) == true, "\(String(describing: error))")
        #expect(error?.place.contains("generation_config.json") == true, "\(String(describing: error))")
    }
}
