//  Perplexity: the windows, the sums, and the documented figures of the embedded model.

import DualityCore
import DualityQuant
import DualityReference
import Foundation
import TestSupport
import Testing

@testable import DualityInference

/// A model that gives every token the same score, whatever it read.
private struct UniformModel: LanguageModel {
    var vocabularySize = 7
    var contextLimit: Int? = 64

    func makeCache() -> [Int] { [] }

    func nextScores(_ cache: inout [Int], after tokens: [Int]) throws -> [Float] {
        cache += tokens
        return Array(repeating: 0.5, count: vocabularySize)
    }

    func score(_ cache: inout [Int], by tokens: [Int]) throws -> Tensor<Float> {
        cache += tokens
        return Tensor(repeating: 0.5, shape: [tokens.count, vocabularySize])
    }
}

@Suite struct PerplexityTests {
    @Test func aUniformModelHasThePerplexityOfItsVocabulary() async throws {
        let tokens = (0..<50).map { $0 % 7 }
        let result = try await Perplexity.measure(UniformModel(), tokens: tokens, window: 16)
        #expect((result.perplexity - 7).magnitude < 1e-12, "got \(result.perplexity)")
        #expect(result.scoredTokens == 50 - 4)
        #expect((result.standardError ?? 1) < 1e-12)
    }

    /// Every token but the first is scored once when windows overlap, and once a window's first is
    /// lost when they do not.
    @Test(arguments: [(100, 16, 16), (100, 16, 5), (97, 16, 1), (16, 16, 16), (17, 16, 16), (5, 16, 16), (33, 16, 15)])
    func everyTokenIsScoredAtMostOnce(count: Int, window: Int, stride: Int) {
        let windows = Perplexity.windows(count: count, window: window, stride: stride)
        let scored = windows.flatMap { Array($0.scored) }
        #expect(Set(scored).count == scored.count, "some token is scored twice")
        let starts = stride == window ? Set(Swift.stride(from: 0, to: count, by: window)) : [0]
        #expect(Set(scored) == Set(0..<count).subtracting(starts))
        for piece in windows {
            #expect(piece.read.count <= window && piece.scored.lowerBound > piece.read.lowerBound)
            #expect(piece.scored.upperBound == piece.read.upperBound)
        }
    }

    @Test func windowsThatCannotBeAreRefused() async {
        for (window, stride, tokens) in [(1, 1, 10), (16, 17, 10), (16, 0, 10), (100, 100, 200), (16, 16, 1)] {
            await #expect(throws: InputError.self, "window \(window), stride \(stride), \(tokens) tokens") {
                try await Perplexity.measure(
                    UniformModel(), tokens: Array(repeating: 1, count: tokens), window: window, stride: stride)
            }
        }
    }

    private static func heldout() throws -> [Int] {
        let text = try String(contentsOfFile: Fixtures.embeddedModel + "/data/heldout.txt", encoding: .utf8)
        return try Tokenizer(directory: Fixtures.embeddedModel).encode(text, allowSpecial: false)
    }

    /// The figure that the model's README documents, which the reference found in float32, on the
    /// whole held-out text. The fast engine in float32 reads it; the test below holds the reference
    /// and the engine to each other.
    @Test func theEmbeddedModelHasItsDocumentedPerplexity() async throws {
        let checkpoint = try Checkpoint(directory: Fixtures.embeddedModel)
        let model = try QuantModel(checkpoint, configuration: checkpoint.configuration, options: QuantOptions(.f32))
        let result = try await Perplexity.measure(model, tokens: Self.heldout(), window: 512)
        #expect(result.scoredTokens == 82_021)
        #expect((result.meanNLL - 3.195074852977489).magnitude < 2e-7, "mean NLL \(result.meanNLL)")
        #expect((result.perplexity - 24.41200).magnitude < 5e-5, "perplexity \(result.perplexity)")
    }

    @Test func theReferenceAndTheFastEngineHaveOnePerplexity() async throws {
        let checkpoint = try Checkpoint(directory: Fixtures.embeddedModel)
        let tokens = Array(try Self.heldout().prefix(8 * 512))
        let reference = try await Perplexity.measure(
            HybridModel<Float>(checkpoint, configuration: checkpoint.configuration), tokens: tokens, window: 512,
            threads: 2)
        let fast = try await Perplexity.measure(
            QuantModel(checkpoint, configuration: checkpoint.configuration, options: QuantOptions(.f32)),
            tokens: tokens, window: 512)
        #expect(reference.scoredTokens == fast.scoredTokens)
        #expect(
            (reference.meanNLL - fast.meanNLL).magnitude < 2e-7, "mean NLL \(reference.meanNLL), \(fast.meanNLL)")
    }
}
