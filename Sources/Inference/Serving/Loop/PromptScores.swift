//  Log probabilities of a prompt's tokens, written by several threads at once, each its own.

import DualityQuant

/// A table with a place for each token of a prompt.
final class PromptScores {
    private let table: UnsafeMutableBufferPointer<TokenScore?>
    /// The tokens of which the scores are there, the first among them, which has none.
    var known = 1

    init(count: Int) {
        table = .allocate(capacity: count)
        table.initialize(repeating: nil)
    }

    deinit {
        table.deinitialize()
        table.deallocate()
    }

    func set(_ token: Int, _ score: TokenScore) { table[token] = score }

    /// The scores of all tokens but the first.
    var all: [TokenScore] { table.dropFirst().compactMap { $0 } }
}
