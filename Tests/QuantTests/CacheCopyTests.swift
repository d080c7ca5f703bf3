//  Copies of caches from between the tokens of a call: what shorter calls would have left.

import DualityCore
import DualityKernels
import Synchronization
import TestSupport
import Testing

@testable import DualityQuant

@Suite struct CacheCopyTests {
    /// Around the ends of chunks, pages and passes, and one before the last token.
    private static let places = [[1, 63, 64, 65, 128, 200, 512, 599], [], [49]]

    private static func batch(_ odd: OddModel) -> [[Int]] {
        let tokens = odd.tokens(600)
        return [tokens, Array(tokens[7..<20]), Array(tokens[40..<90].reversed())]
    }

    @Test(arguments: OddModel.all, [EnginePrecision.f32, .int8]) func copiesAreWhatShorterCallsLeave(
        odd: OddModel, precision: EnginePrecision
    ) throws {
        let (model, batch) = (try odd.fast(precision, threads: 3), Self.batch(odd))
        guard model.keepsBetweenRows else { return }
        var caches = batch.map { _ in model.makeCache() }
        // One that somebody else has too, in the middle of a chunk and of a page.
        _ = try model.extend(&caches[2], by: Array(batch[0][100..<130]), logits: .none)
        let before = caches[2]
        let logits = Mutex<[[Float]]>(batch.map { _ in [] })
        let copies = try model.extend(&caches, by: batch, wanting: [1, 1, 1], keeping: Self.places) { index, _, row in
            logits.withLock { $0[index] = Array(row) }
        }
        #expect(copies.map(\.count) == Self.places.map(\.count) && caches.count == batch.count)
        for (i, tokens) in batch.enumerated() {
            var (short, read) = (i == 2 ? before : model.makeCache(), 0)
            for (copy, place) in zip(copies[i], Self.places[i]) {
                _ = try model.extend(&short, by: Array(tokens[read..<place]), logits: .none)
                read = place
                #expect(copy.tokenCount == short.tokenCount)
                #expect(copy.contentHash() == short.contentHash(), "sequence \(i), \(place) tokens")
                // Nobody else sees what a copy goes on with.
                var (other, expected) = (copy, short)
                #expect(try model.extend(&other, by: [3, 4, 5]) == model.extend(&expected, by: [3, 4, 5]))
            }
            let last = try model.extend(&short, by: Array(tokens[read...]), logits: .last)
            #expect(logits.withLock { $0[i] } == last.elements, "sequence \(i)")
            #expect(caches[i].contentHash() == short.contentHash(), "sequence \(i)")
        }
    }

    @Test func whoHasNoStatesButTheMatrixGoesInRounds() throws {
        for odd in OddModel.all {
            let kinds = odd.configuration.layers.map { $0 == .bmojo ? odd.configuration.bmojo.mixer : $0 }
            let hasMatrix = kinds.contains(.gatedDeltaNet) || kinds.contains(.gatedKalmaNet)
            #expect(try odd.fast(.f32).keepsBetweenRows == !hasMatrix, "\(odd.name)")
        }
    }

    @Test func placesThatAreNotBetweenTheTokensAreRefused() throws {
        let model = try ConformanceModel("m2").fast()
        let matrix = try ConformanceModel("gdn").fast()
        func kind(_ model: QuantModel, _ kept: [[Int]]) -> InputError.Kind? {
            var caches = [model.makeCache()]
            do {
                try model.extend(&caches, by: [[1, 2, 3]], wanting: [1], keeping: kept) { _, _, _ in }
            } catch {
                #expect(caches[0].tokenCount == 0)
                return (error as? InputError)?.kind
            }
            return nil
        }
        for wrong in [[0], [3], [-1], [2, 1], [1, 1], [.max], [.min]] { #expect(kind(model, [wrong]) == .value) }
        #expect(kind(model, [[1], [1]]) == .shape)
        #expect(kind(matrix, [[1]]) == .unsupported)
        #expect(kind(matrix, [[]]) == nil && kind(matrix, []) == nil && kind(model, [[1, 2]]) == nil)
    }
}
