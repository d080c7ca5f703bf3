//  How the products of one job are divided among threads.
//
//      panels      32 outputs each, of every matrix            the first cut; a piece has some of them
//      tokens      of a prompt, in parts of 64 and more        the second, where panels are fewer than threads want
//
//  Neither cut changes a bit: an output of a token is computed from its own row and column alone. A
//  second cut reads the weights once more, which pays when threads would have nothing to do.

/// Pieces of the products of a job, in the order in which threads claim them.
struct ProductDivision: Sendable {
    /// A matrix of the job.
    struct Matrix: Sendable {
        let panels: Int
        let byteCount: Int
    }

    /// Some panels of a product for one part of the tokens.
    struct Piece: Sendable, Equatable {
        let product: Int
        let tokenPart: Int
        let panels: Range<Int>
    }

    let pieces: [Piece]

    /// Divides into pieces that shrink: each is half of what would be a thread's share of what is
    /// left. Few pieces are large for the memory's sake, and the last ones small, so that threads
    /// that are not equally fast end together.
    ///
    /// - Parameters:
    ///   - tokenParts: parts of the tokens that every product is computed for.
    ///   - isPrompt: whether there are more tokens than the kernels multiply at once.
    init(_ matrices: [Matrix], tokenParts: Int, isPrompt: Bool, threads: Int) {
        var left = tokenParts * matrices.reduce(0) { $0 + $1.byteCount }
        var pieces: [Piece] = []
        pieces.reserveCapacity(32)
        let all = tokenParts * matrices.reduce(0) { $0 + $1.panels }
        let smallest = isPrompt && all >= 4 * Self.smallestPanels * threads ? Self.smallestPanels : 1
        let leastBytes = isPrompt ? 0 : Self.smallestPiece
        for (product, matrix) in matrices.enumerated() {
            let panelBytes = max(matrix.byteCount / max(matrix.panels, 1), 1)
            for part in 0..<tokenParts {
                var first = 0
                while first < matrix.panels {
                    let share = max(left / (2 * threads), leastBytes) / panelBytes
                    // The kernels take eight panels through a block of activations together.
                    let wanted = share >= 8 ? share / 8 * 8 : max(share, smallest)
                    let count = threads == 1 ? matrix.panels : min(wanted, matrix.panels - first)
                    pieces.append(Piece(product: product, tokenPart: part, panels: first..<first + count))
                    first += count
                    left -= count * panelBytes
                }
            }
        }
        self.pieces = pieces
    }

    /// The parts that the tokens of a pass are cut in: as few as let threads that take a panel of a
    /// part at a time be busy nine tenths of the while, or as come nearest to that, each of
    /// `tokensOfAPart` or more.
    ///
    /// - Parameter panels: of all products of the job.
    static func tokenParts(rows: Int, panels: Int, threads: Int) -> [Range<Int>] {
        var (parts, busiest) = (1, 0.0)
        for count in 1...max(1, threads == 1 ? 1 : rows / tokensOfAPart) {
            let turns = (panels * count + threads - 1) / threads
            let busy = Double(panels * count) / Double(max(threads * turns, 1))
            if busy > busiest + 1e-9 { (parts, busiest) = (count, busy) }
            if busiest >= 0.9 { break }
        }
        let units = (rows + tokensTogether - 1) / tokensTogether
        return (0..<parts).map { part in
            units * part / parts * tokensTogether..<min(units * (part + 1) / parts * tokensTogether, rows)
        }
    }

    /// With more rows than a tile, products are bound by arithmetic, and a piece has some panels to
    /// share what is loaded.
    private static let smallestPanels = 2
    /// Bytes of weights that are worth a piece of few tokens: a few microseconds of reading.
    private static let smallestPiece = 1 << 16
    /// Fewer would read weights more often than they are worth.
    private static let tokensOfAPart = 64
    /// Parts begin at multiples of it, a pair of the largest tiles.
    private static let tokensTogether = 32
}
