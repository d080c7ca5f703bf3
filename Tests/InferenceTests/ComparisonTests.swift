//  The distance of two models' predictions, by hand and on the embedded model.

import DualityCore
import DualityMeasure
import DualityQuant
import Foundation
import TestSupport
import Testing

@testable import DualityInference

/// Gives the same logits at every position.
private struct ConstantModel: LanguageModel {
    let logits: [Float]
    var vocabularySize: Int { logits.count }
    let contextLimit: Int? = nil

    func makeCache() -> Int { 0 }
    func nextScores(_ cache: inout Int, after tokens: [Int]) throws -> [Float] { logits }
    func score(_ cache: inout Int, by tokens: [Int]) throws -> Tensor<Float> {
        try Tensor(shape: [tokens.count, logits.count], elements: tokens.flatMap { _ in logits })
    }
}

@Suite struct ComparisonTests {
    @Test func figuresAreThoseComputedByHand() throws {
        // p = (3/4, 1/4), q = (1/3, 2/3).
        let p = ConstantModel(logits: [Float(log(3.0)), 0])
        let q = ConstantModel(logits: [0, Float(log(2.0))])
        let tokens = [0, 0, 1, 0]
        let result = try Comparison.measure([q, p], against: p, tokens: tokens, window: 2)
        let kl = 0.75 * log(0.75 * 3) + 0.25 * log(0.25 * 1.5)
        #expect(abs(result[0].meanKL - kl) < 1e-6 && result[0].klQuantiles.allSatisfy { abs($0 - kl) < 1e-6 })
        #expect(result[0].topAgreement == 0 && result[0].tokens == 4)
        // Two windows, each scoring its second token: 0, then 0.
        #expect(abs(result[0].perplexity - 3) < 1e-6 && abs(result[0].referencePerplexity - 4.0 / 3) < 1e-6)
        #expect(abs(result[0].deltaPPL - 1.25) < 1e-5)
        #expect(result[1].meanKL == 0 && result[1].topAgreement == 1 && result[1].deltaPPL == 0)
    }

    /// The bars of the embedded model on part of its held-out text; `duality compare` shows them on
    /// all of it.
    @Test func theEmbeddedModelKeepsItsQuality() throws {
        let checkpoint = try Checkpoint(directory: Fixtures.embeddedModel)
        let models = try SensitivityModels(checkpoint, configuration: checkpoint.configuration, pool: .common)
        let text = try String(contentsOfFile: Fixtures.embeddedModel + "/data/heldout.txt", encoding: .utf8)
        let ids = try Tokenizer(directory: Fixtures.embeddedModel).encode(
            String(text.prefix(9000)), allowSpecial: false)
        let plan = PrecisionPlan(.int8, for: checkpoint.configuration)
        let result = try Comparison.measure(
            [try models.model(QuantOptions(.bf16)), try models.model(QuantOptions(plan: plan))],
            against: try models.reference(), tokens: ids, window: 1024)
        #expect(result[0].meanKL < 3e-5, "bf16: mean KL \(result[0].meanKL)")
        #expect(result[1].meanKL < 1.4e-3, "int8: mean KL \(result[1].meanKL)")
        #expect(result[1].topAgreement > 0.97, "int8: top-1 \(result[1].topAgreement)")
    }

    @Test func everyPartOfAModelIsAVariant() throws {
        let configuration = try HybridConfiguration(directory: Fixtures.path("models/m2"))
        let names = SensitivityVariant.all(configuration, format: .int8(group: 0)).map(\.name)
        #expect(
            Set(names)
                == Set([
                    "embedding", "head", "q", "k", "v", "o", "gate", "up", "down", "z", "x", "B", "C", "dt", "out_proj",
                    "KV bf16", "KV int8", "state bf16",
                ]))
    }
}
