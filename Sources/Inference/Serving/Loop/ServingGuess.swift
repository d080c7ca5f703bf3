//  Guessed tokens of one sequence in one step.
//
//      tokens    known tokens, of which the cache holds r        read together: those from r on, and guesses g_1 ... g_n
//      rows      the logits behind the last known token, g_1, ..., g_n
//
//  The rows arrive on several threads at a time; the one that brings the last of them draws from
//  the first, from the second if that gave g_1, and so on.

import DualityQuant
import Synchronization

/// What a sequence reads before it is known, and how its memory is put back.
final class ServingGuess: Sendable {
    let draft: DraftSource.Draft
    /// The memory without the guess.
    let before: QuantCache
    /// Whether somebody else had that memory too.
    let shared: Bool
    private let rows: GuessedRows
    private let missing: Atomic<Int>

    var count: Int { draft.tokens.count }

    /// - Parameter width: the number of logits.
    init(_ draft: DraftSource.Draft, before: QuantCache, shared: Bool, width: Int) {
        self.draft = draft
        self.before = before
        self.shared = shared
        rows = GuessedRows(count: draft.tokens.count + 1, width: width)
        missing = Atomic(draft.tokens.count + 1)
    }

    /// Keeps a row. Returns whether it was the last that was missing.
    func keep(_ logits: UnsafeMutableBufferPointer<Float>, row: Int) -> Bool {
        _ = rows[row].update(from: logits)
        return missing.subtract(1, ordering: .acquiringAndReleasing).newValue == 0
    }

    /// A row that was kept; it may be overwritten.
    func row(_ index: Int) -> UnsafeMutableBufferPointer<Float> { rows[index] }
}

/// Rows of logits, each written by one thread.
private final class GuessedRows: @unchecked Sendable {
    private let storage: UnsafeMutableBufferPointer<Float>
    private let width: Int

    init(count: Int, width: Int) {
        storage = .allocate(capacity: count * width)
        self.width = width
    }

    deinit { storage.deallocate() }

    subscript(row: Int) -> UnsafeMutableBufferPointer<Float> {
        UnsafeMutableBufferPointer(rebasing: storage[row * width..<(row + 1) * width])
    }
}
