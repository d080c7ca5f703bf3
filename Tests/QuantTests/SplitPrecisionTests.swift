import DualityCore
import Foundation
import TestSupport
import Testing

@testable import DualityQuant

/// What two bfloat16 numbers for an activation lose: next to nothing of the answers.
@Suite struct SplitPrecisionTests {
    /// Log-probabilities of a row of logits, in float64.
    private func logProbabilities(_ logits: ArraySlice<Float>) -> [Double] {
        let top = Double(logits.max() ?? 0)
        let total = log(logits.reduce(0) { $0 + exp(Double($1) - top) })
        return logits.map { Double($0) - top - total }
    }

    private func logits(_ precision: EnginePrecision, _ checkpoint: Checkpoint, _ tokens: [Int]) throws -> [Float] {
        let plan = PrecisionPlan(precision, for: checkpoint.configuration)
        let model = try QuantModel(
            checkpoint, configuration: checkpoint.configuration,
            options: QuantOptions(plan: plan, pool: ThreadPool(threads: 2)))
        var cache = model.makeCache()
        return try model.extend(&cache, by: tokens).elements
    }

    @Test func theSplitFormHasTheDistributionsOfFloat32() throws {
        let checkpoint = try Checkpoint(directory: Fixtures.embeddedModel)
        let width = checkpoint.configuration.vocabularySize
        let tokens = (0..<96).map { ($0 * 37 + 11) % width }
        let exact = try logits(.f32, checkpoint, tokens)
        func divergence(_ precision: EnginePrecision) throws -> Double {
            let found = try logits(precision, checkpoint, tokens)
            let rows = stride(from: 0, to: exact.count, by: width).map { start in
                zip(logProbabilities(exact[start..<start + width]), logProbabilities(found[start..<start + width]))
                    .reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }
            }
            return rows.reduce(0, +) / Double(rows.count)
        }
        let split = try divergence(.bf16Split)
        #expect(split >= -1e-12 && split <= 3e-5, "\(split)")
        #expect(try divergence(.bf16Dot) > split, "one bfloat16 number loses more than two")
    }
}
