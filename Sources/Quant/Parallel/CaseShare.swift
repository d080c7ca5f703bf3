//  Campaigns: many cases that have nothing to do with each other, shared out among ranks with a
//  whole model each.
//
//      rank t of R works on the cases t, t + R, t + 2 R …
//
//  What comes out lies in the order of cases, so reports are the same whatever R is.

/// The cases of one rank.
package struct CaseShare: Sendable {
    private let exchange: any RankExchange

    package init(_ exchange: any RankExchange) {
        self.exchange = exchange
    }

    package var isFirst: Bool { exchange.rank == 0 }

    /// Whether case `index` is this rank's.
    package func isOwn(_ index: Int) -> Bool { index % exchange.count == exchange.rank }

    /// The number of every case, on every rank.
    ///
    /// - Parameter numbers: one a case, of which this rank has computed its own.
    package func combined(_ numbers: [Double]) -> [Double] {
        let all = exchange.gatherTexts(numbers.withUnsafeBytes { Array($0) })
        return numbers.indices.map { index in
            all[index % exchange.count].withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 8 * index, as: Double.self) }
        }
    }
}
