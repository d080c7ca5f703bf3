//  The same bits, however a sequence is fed: in one piece or many, alone or among others, on one
//  thread or several.

import DualityCore
import Foundation
import TestSupport
import Testing

@testable import DualityQuant

@Suite struct ExactReplayTests {
    /// Models that between them have every kind of layer, rotation on and off, and B/C norms on and
    /// off.
    private static let models = ["m2", "m2_rope", "m2_tied_noqknorm_f32"]

    @Test(arguments: models, EnginePrecision.allCases) func splitsAndThreadsChangeNoBit(
        name: String, precision: EnginePrecision
    ) throws {
        let fixture = try ConformanceModel(name)
        let ids = Array(try fixture.ids("input_ids_long").prefix(200))
        var expected: [Float]?
        var random = RandomSource(seed: 23).stream("\(name) \(precision)")
        for threads in [1, 2, 3] {
            let model = try fixture.fast(precision, threads: threads)
            var splits = [[0..<ids.count], randomPieces(of: ids.count, upTo: 90, &random)]
            splits.append(randomPieces(of: ids.count, upTo: 7, &random))
            if threads == 2 { splits.append(ids.indices.map { $0..<$0 + 1 }) }
            for pieces in splits {
                var (cache, logits) = (model.makeCache(), [Float]())
                for piece in pieces { logits += try model.extend(&cache, by: Array(ids[piece])).elements }
                if let expected {
                    let firstOff = zip(logits, expected).enumerated().first { $1.0.bitPattern != $1.1.bitPattern }?
                        .offset
                    #expect(
                        firstOff == nil,
                        "\(threads) threads, pieces \(pieces.map(\.count)): token \((firstOff ?? 0) / model.configuration.vocabularySize) differs"
                    )
                } else {
                    expected = logits
                }
            }
        }
    }

    /// More threads than heads and panels: tokens of products, rows of attention and heads of the
    /// scan are shared out as well.
    @Test(arguments: models, [EnginePrecision.bf16Split, .int8]) func moreThreadsThanHeadsGiveTheSameBits(
        name: String, precision: EnginePrecision
    ) throws {
        let fixture = try ConformanceModel(name)
        let long = try fixture.ids("input_ids_long")
        let ids = (0..<330).map { long[$0 % long.count] }
        var (one, many) = (try fixture.fast(precision, threads: 1), try fixture.fast(precision, threads: 24))
        (one.contextLimit, many.contextLimit) = (nil, nil)
        #expect(one.configuration.keyValueHeadCount < 24)
        var (whole, shared) = (one.makeCache(), many.makeCache())
        for piece in [0..<300, 300..<330] {
            let expected = try one.extend(&whole, by: Array(ids[piece])).elements
            let found = try many.extend(&shared, by: Array(ids[piece])).elements
            #expect(zip(found, expected).allSatisfy { $0.bitPattern == $1.bitPattern }, "tokens \(piece)")
        }
    }

    @Test func keysThatAreSplitOverThreadsGiveTheSameBits() throws {
        let fixture = try ConformanceModel("m2")
        let ids = try fixture.ids("input_ids_long")
        // Three threads cannot share two heads evenly; the last tokens are decoded behind more than
        // one segment of keys.
        let (prompt, rest) = ((0..<1030).map { ids[$0 % ids.count] }, Array(ids.prefix(3)))
        var (one, three) = (try fixture.fast(.bf16, threads: 1), try fixture.fast(.bf16, threads: 3))
        (one.contextLimit, three.contextLimit) = (nil, nil)
        #expect(one.configuration.keyValueHeadCount < 6 && one.configuration.keyValueHeadCount % 3 != 0)
        var (whole, split) = (one.makeCache(), three.makeCache())
        let expected = try one.extend(&whole, by: prompt + rest).rows(1030..<1033)
        _ = try three.extend(&split, by: prompt, logits: .none)
        for (i, id) in rest.enumerated() {
            #expect(try three.extend(&split, by: [id]) == expected.rows(i..<i + 1))
        }
    }

    @Test(arguments: [EnginePrecision.f32, .int8]) func aBatchGivesTheBitsOfItsSequencesAlone(
        precision: EnginePrecision
    ) throws {
        let fixture = try ConformanceModel("m2")
        let model = try fixture.fast(precision)
        let long = try fixture.ids("input_ids_long")
        var random = RandomSource(seed: 5)
        // Ragged: every round extends each sequence by a count of its own.
        let sequences = [Array(long[0..<150]), Array(long[60..<95]), Array(long[200..<389])]
        var batch = sequences.map { _ in model.makeCache() }
        var alone = sequences.map { _ in model.makeCache() }
        var read = [0, 0, 0]
        while zip(read, sequences).contains(where: { $0 < $1.count }) {
            let active = sequences.indices.filter { read[$0] < sequences[$0].count }
            let pieces = active.map { i in
                Array(sequences[i][read[i]..<min(read[i] + random.integer(in: 1...70), sequences[i].count)])
            }
            var caches = active.map { batch[$0] }
            let together = try model.extend(&caches, by: pieces)
            for (k, i) in active.enumerated() {
                batch[i] = caches[k]
                #expect(try model.extend(&alone[i], by: pieces[k]) == together[k], "sequence \(i) from \(read[i])")
                read[i] += pieces[k].count
            }
        }
    }

    @Test func lastRowsAreTheLastOfAll() throws {
        let fixture = try ConformanceModel("m2_tied")
        let (model, ids) = (try fixture.fast(.bf16), try fixture.ids())
        var (all, last, none) = (model.makeCache(), model.makeCache(), model.makeCache())
        let rows = try model.extend(&all, by: ids)
        #expect(try model.extend(&last, by: ids, logits: .last) == rows.rows(ids.count - 1..<ids.count))
        #expect(try model.extend(&none, by: ids, logits: .none).count == 0)
        #expect(try model.extend(&none, by: [3]) == model.extend(&all, by: [3]))
    }
}
