//  Shares of work, steps between ranks, and why no sum is ever cut.

import DualityCore
import DualityKernels
import TestSupport
import Testing

@testable import DualityQuant

@Suite struct RankCutTests {
    @Test func everyUnitIsOneRanks() {
        for shares in [[1], [1, 1, 1], [5, 3], [1, 9, 1, 2], [Int](repeating: 1, count: 40)] {
            for n in [0, 1, 7, 32, 1000] {
                let units = RankCut(rank: 0, shares: shares).units(n)
                #expect(units.flatMap(Array.init) == Array(0..<n), "\(n) units, shares \(shares)")
                let rows = RankCut(rank: 0, shares: shares).panelRows(n)
                #expect(rows.flatMap(Array.init) == Array(0..<n), "\(n) rows, shares \(shares)")
                #expect(rows.allSatisfy { $0.lowerBound % Int(DK_PANEL_ROWS) == 0 || $0.isEmpty })
            }
        }
    }

    /// Every head is one rank's, with the key/value head that it reads.
    @Test(arguments: [(8, 2), (32, 8), (6, 3), (5, 1), (12, 12)]) func headsComeWithWhatTheyRead(
        heads: Int, sharedHeads: Int
    ) {
        for count in 1...heads + 2 {
            var (all, owned) = ([Int](), [Int]())
            for rank in 0..<count {
                let cut = HeadCut(
                    RankCut(rank: rank, shares: Array(repeating: 1, count: count)), heads: heads,
                    sharedHeads: sharedHeads)
                all += cut.ownHeads
                owned += cut.sharedOwners[rank]
                let read = cut.sharedColumns(1).map(\.lowerBound)
                for (unit, shared) in read.enumerated() {
                    for i in 0..<cut.headsOfUnit {
                        let head = cut.ownHeads.lowerBound + unit * cut.headsOfUnit + i
                        #expect(head / (heads / sharedHeads) == shared, "head \(head) of \(count) ranks")
                    }
                }
                for shared in cut.sharedOwners[rank] {
                    #expect(read[cut.unit(ofShared: shared)] == shared, "rank \(rank) of \(count)")
                }
            }
            #expect(all == Array(0..<heads), "\(count) ranks")
            #expect(owned == Array(0..<sharedHeads), "\(count) ranks")
        }
    }

    @Test func aStepArrivesAsItWasSent() {
        let sequences = [
            RankStep.Sequence(source: 0, isKept: false, target: 1, position: 0, wanted: 1, tokens: [5, 9, 11]),
            RankStep.Sequence(source: 7, isKept: true, target: 8, position: 4000, wanted: 0, tokens: [3]),
        ]
        for step in [RankStep.end, .extend(sequences, dropped: [2, 4], rowsTogether: 64)] {
            #expect(RankStep(step.bytes) == step)
        }
        let bytes = RankStep.extend(sequences, dropped: [], rowsTogether: 1).bytes
        for count in stride(from: 0, to: bytes.count, by: 8) { #expect(RankStep(Array(bytes.prefix(count))) == nil) }
    }

    /// What adding up partial sums would do: outputs of two parts of the inputs, in int8 each with
    /// an activation scale of its own. Most are other numbers, so the tests of bits would fail.
    @Test(arguments: [WeightFormat.float32, .int8(group: 0)]) func partialSumsAreOtherNumbers(format: WeightFormat)
        throws
    {
        let (rows, columns) = (96, 512)
        var random = RandomSource(seed: 9)
        let w = (0..<rows * columns).map { _ in Float(random.normal()) }
        let x = (0..<columns).map { _ in Float(random.normal()) }
        func product(_ range: Range<Int>) throws -> [Float] {
            let part = (0..<rows).flatMap { row in range.map { w[row * columns + $0] } }
            var checkpoint = try OddModel("M2", [.mamba2]).checkpoint()
            checkpoint.set("w", [rows, range.count], part)
            let matrix = try CheckpointWeights(checkpoint, pool: ThreadPool(threads: 1))
                .matrix("w", rows: nil, label: "", format: format)
            let (kernels, form) = (try KernelTable.active(), matrix.activationForm)
            let packed = AlignedMemory(byteCount: form.byteCount(tokens: 1, columns: range.count))
            form.pack(
                kernels, Array(x[range]), stride: range.count, tokens: 1, columns: range.count, rows: 0..<1,
                into: packed.base)
            let workspace = AlignedMemory(byteCount: Int(DK_WORKSPACE_BYTES))
            var y = [Float](repeating: 0, count: rows)
            matrix.view.multiply(
                kernels, packed.base, tokens: 1, panels: 0..<matrix.panels, into: &y, stride: rows,
                workspace: workspace.base)
            return y
        }
        let whole = try product(0..<columns)
        let sums = zip(try product(0..<160), try product(160..<columns)).map { $0 + $1 }
        let off = zip(whole, sums).count { $0.bitPattern != $1.bitPattern }
        #expect(off > rows / 3, "\(off) of \(rows) outputs differ")
    }
}
