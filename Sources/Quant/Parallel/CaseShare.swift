//  Campaigns: many cases that have nothing to do with each other, shared out among ranks with a
//  whole model each.
//
//      rank t of R works on the cases t, t + R, t + 2 R …
//
//  What comes out lies in the order of cases, so reports are the same whatever R is.

import DualityCore
import Foundation

/// The cases of one rank.
package struct CaseShare: Sendable {
    private let exchange: any RankExchange

    package init(_ exchange: any RankExchange) {
        self.exchange = exchange
    }

    package var isFirst: Bool { exchange.rank == 0 }
    package var rank: Int { exchange.rank }

    /// This rank's part of some cases: those next to each other that it takes as long for as others
    /// for theirs.
    ///
    /// - Parameter costs: of the cases, in an order in which neighbours have much in common.
    package func part(_ costs: [Int]) -> Range<Int> {
        RankCut(rank: rank, shares: Array(repeating: 1, count: exchange.count)).parts(costs)[rank]
    }

    /// Numbers of rank 0, on every rank.
    package func fromFirst(_ numbers: [Int]) -> [Int] {
        // A message is never empty.
        let sent = ([numbers.count] + numbers).withUnsafeBytes { Array($0) }
        return exchange.fromFirst(sent).withUnsafeBytes { bytes in
            (1..<max(bytes.count / 8, 1)).map { bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Int.self) }
        }
    }

    /// Lines of every rank, on every rank, in the order of ranks.
    package func gathered(_ lines: [String]) -> [[String]] {
        exchange.gatherTexts(Array(lines.joined(separator: "\n").utf8)).map { text in
            text.isEmpty ? [] : String(decoding: text, as: UTF8.self).components(separatedBy: "\n")
        }
    }

    /// Whether case `index` is this rank's.
    package func isOwn(_ index: Int) -> Bool { index % exchange.count == exchange.rank }

    /// Compares what the campaign is of.
    ///
    /// - Parameter facts: of the model, the cases and the options, by name.
    /// - Throws: `InputError` (`.value`), the same on every rank, that names the first difference.
    package func requireSame(_ facts: [(name: String, value: String)]) throws(InputError) {
        try exchange.requireSame(facts)
    }

    /// The number of every case, on every rank.
    ///
    /// - Parameter numbers: one per case, of which this rank has computed its own.
    /// - Throws: `InputError` (`.shape`) where ranks have other numbers of cases.
    package func combined(_ numbers: [Double]) throws(InputError) -> [Double] {
        let all = exchange.gatherTexts(numbers.withUnsafeBytes { Array($0) })
        for (rank, bytes) in all.enumerated() where bytes.count != all[0].count {
            throw InputError(
                .shape, in: "rank \(rank)", expected: "\(all[0].count / 8) cases, as rank 0",
                found: "\(bytes.count / 8)", remedy: "Give every rank the same cases and options.")
        }
        return numbers.indices.map { index in
            all[index % exchange.count].withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 8 * index, as: Double.self) }
        }
    }
}
