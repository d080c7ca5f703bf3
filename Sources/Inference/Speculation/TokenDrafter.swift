//  Who guesses the tokens that come next, so that one pass of the model can check several.
//
//  A guess changes no text: a token comes out only after the sampler has drawn it from the scores
//  of the model itself. It changes how many passes the text takes.

/// Guesses the tokens after a text.
public protocol TokenDrafter: Sendable {
    /// Guesses what follows.
    ///
    /// - Parameters:
    ///   - tokens: prompt and answer so far. From call to call they only grow.
    ///   - limit: the most tokens that are of use, at least 1.
    /// - Returns: at most `limit` tokens; none where a guess would likely be wrong.
    mutating func draft(after tokens: [Int], atMost limit: Int) throws -> [Int]

    /// Is told what became of the last guesses.
    ///
    /// - Parameters:
    ///   - confirmed: how many from the first on came true.
    ///   - count: how many were checked; the first wrong one is the last of them.
    mutating func learn(confirmed: Int, of count: Int)
}

extension TokenDrafter {
    /// Learns nothing, for drafters that guess the same way whatever came of it.
    public mutating func learn(confirmed: Int, of count: Int) {}
}

/// When a guess is worth a row of a pass.
///
/// A row more makes a pass longer by a part c of itself: the weights, which are most of what a pass
/// reads, come from memory once for all rows. It pays when the row is needed with a probability
/// above c. On the machines that were measured c is 0.03 to 0.1 for models beyond the caches; the
/// rest of the margin is for the copy of the states that a pass with guesses begins with, and for
/// rows that are read once more after a wrong guess. A model that the caches hold is bound by its
/// arithmetic, and a row costs it a third of a pass.
enum DraftWorth {
    static let smallestChance = 0.35

    /// The same for a guess that costs nothing but its row, by the bytes that a pass reads: beyond
    /// any cache a row is cheap.
    static func smallestChance(weightBytes: Int) -> Double { weightBytes < 1 << 29 ? smallestChance : 0.15 }

    /// Rows of one pass, known and guessed: as many as the kernels multiply with one reading of the
    /// weights on most processors.
    static let rowLimit = 12
}
