//  A context read by the fast engine and gone on from by the reference.

import DualityCore
import DualityInference
import DualityQuant
import DualityReference
import Foundation
import TestSupport
import Testing

@Suite struct CacheHandoverTests {
    @Test func theReferenceGoesOnWhereTheFastEngineStopped() throws {
        let checkpoint = try Checkpoint(directory: Fixtures.path("models/m2"))
        let configuration = checkpoint.configuration
        let reference = try HybridModel<Float>(checkpoint, configuration: configuration)
        let fast = try QuantModel(checkpoint, configuration: configuration, options: QuantOptions(.f32))
        // More than two pages of keys, and not a whole number of pages, blocks or chunks.
        let tokens = (0..<283).map { ($0 * 37 + $0 / 5) % 512 }
        var (quick, slow) = (fast.makeCache(), reference.makeCache())
        _ = try fast.extend(&quick, by: tokens, logits: .none)
        _ = try reference.extend(&slow, by: tokens, logits: .none)
        var handed = try HybridCache<Float>(quick, configuration: configuration)
        #expect(handed.tokenCount == 283)
        for (i, (ours, theirs)) in zip(handed.layers, slow.layers).enumerated() {
            let pairs = [
                (ours.keyValues?.keys.flatMap(\.elements), theirs.keyValues?.keys.flatMap(\.elements)),
                (ours.keyValues?.values.flatMap(\.elements), theirs.keyValues?.values.flatMap(\.elements)),
                (ours.scan?.state.elements, theirs.scan?.state.elements),
                (ours.scan?.window.elements, theirs.scan?.window.elements),
                (ours.scan?.logDecay.map { Float($0) }, theirs.scan?.logDecay.map { Float($0) }),
            ]
            for (part, pair) in pairs.enumerated() {
                #expect((pair.0 == nil) == (pair.1 == nil), "layer \(i), part \(part)")
                guard let found = pair.0, let wanted = pair.1 else { continue }
                let error = relativeL2(found, wanted)
                #expect(error < 5e-5, "layer \(i), part \(part): \(error)")
            }
        }
        let found = try reference.nextScores(&handed, after: [3, 1, 4])
        let wanted = try reference.nextScores(&slow, after: [3, 1, 4])
        let error = relativeL2(found, wanted)
        #expect(error < 5e-5, "\(error)")
    }

    @Test func otherFormatsAndModelsAreRefused() throws {
        let checkpoint = try Checkpoint(directory: Fixtures.path("models/m2"))
        let rounded = try QuantModel(
            checkpoint, configuration: checkpoint.configuration, options: QuantOptions(.f32, keyValues: .bf16))
        #expect(throws: InputError.self) {
            try HybridCache<Float>(rounded.makeCache(), configuration: checkpoint.configuration)
        }
        let other = try Checkpoint(directory: Fixtures.path("models/m2_rope")).configuration
        #expect(throws: InputError.self) { try HybridCache<Float>(rounded.makeCache(), configuration: other) }
    }
}
