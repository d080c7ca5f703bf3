//  The trained family on the fast engine: the published logits, and what the formats cost.

import DualityCore
import Foundation
import TestSupport
import Testing

@testable import DualityQuant

@Suite struct FamilyWeightsTests {
    /// A model of Models/family with its reference logits.
    struct Member {
        let checkpoint: Checkpoint
        let ids: [Int]
        let positions: [Int]
        /// `[positions, V]`, computed in float64.
        let logits: Tensor<Double>

        init(_ name: String) throws {
            let family = Fixtures.package.appendingPathComponent("Models/family").path
            checkpoint = try Checkpoint(directory: "\(family)/\(name)")
            let file = try SafetensorsFile(path: "\(family)/reference/\(name).safetensors")
            ids = try file.integers("input_ids").elements
            positions = try file.integers("positions").elements
            logits = try file.tensor("logits_f64")
        }

        func logits(_ options: QuantOptions) throws -> [Float] {
            let model = try QuantModel(checkpoint, configuration: checkpoint.configuration, options: options)
            var cache = model.makeCache()
            let all = try model.extend(&cache, by: ids)
            return positions.flatMap { all.rows($0..<$0 + 1).elements }
        }
    }

    /// The training code's own float32 run is 4.9e-7 to 6.5e-7 from float64 (README.md there).
    @Test(arguments: ["dense", "m2", "gdn", "gka", "swa", "bmf"])
    func float32IsAsCloseAsTheTrainingCode(name: String) throws {
        let member = try Member(name)
        let error = relativeL2(try member.logits(QuantOptions(.f32)), member.logits.elements)
        #expect(error < 3 * 6.5e-7, "\(name): relative L2 error \(error)")
    }

    /// Int8 in groups of 32, by the mean divergence of the next token's distribution.
    @Test(arguments: ["dense", "m2", "gdn", "gka", "swa", "bmf"])
    func int8InGroupsChangesLittle(name: String) throws {
        let member = try Member(name)
        let narrow = try member.logits(QuantOptions(plan: PrecisionPlan(.int8, group: 32), keyValues: .f32))
        let width = member.logits.shape[1]
        var divergence = 0.0
        for row in member.positions.indices {
            let exact = logSoftmax(member.logits.elements[row * width..<(row + 1) * width].map { $0 })
            let ours = logSoftmax(narrow[row * width..<(row + 1) * width].map { Double($0) })
            divergence += zip(exact, ours).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }
        }
        divergence /= Double(member.positions.count)
        #expect(divergence < 0.004, "\(name): KL \(divergence)")
    }

    private func logSoftmax(_ row: [Double]) -> [Double] {
        let top = row.max() ?? 0
        let sum = log(row.reduce(0) { $0 + exp($1 - top) })
        return row.map { $0 - top - sum }
    }
}
