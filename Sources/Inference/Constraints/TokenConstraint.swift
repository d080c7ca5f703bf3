//  What one sequence may still say.
//
//  A constraint is a value of two words: copying it is forking it, keeping it is all that
//  preemption needs. What was learned of its states is shared with every sequence under the same
//  rules.

import DualityCore

/// The constraint of one sequence in its present state.
public struct TokenConstraint: Sendable {
    private let automaton: TokenAutomaton
    private var state: Term

    init(_ automaton: TokenAutomaton) {
        self.automaton = automaton
        state = automaton.start
    }

    /// The tokens that lead to a valid answer; the end tokens are among them exactly when the
    /// answer is complete.
    ///
    /// - Throws: `InputError` (`.unsupported`) for a grammar that reads the text in too many ways.
    /// - Complexity: O(V / 64) for a state that was met before, by any sequence; else O(bytes of
    ///   the vocabulary).
    public func mask() throws(InputError) -> TokenMask { try automaton.mask(state) }

    /// Whether the answer may end here.
    public var isComplete: Bool { automaton.isComplete(state) }

    /// Whether nothing but the end can follow.
    public var isOver: Bool { state == .empty }

    /// Whether a token that is text may come next.
    ///
    /// - Complexity: O(bytes of the token).
    public func allows(_ token: Int) throws(InputError) -> Bool {
        guard let text = automaton.trie.text(of: token) else {
            return automaton.trie.endTokens.contains(token) && isComplete
        }
        return try automaton.advance(state, by: text) != nil
    }

    /// Whether a token is text, and not one that ends the answer.
    func isText(_ token: Int) -> Bool { automaton.trie.text(of: token) != nil }

    /// Takes the token that came.
    ///
    /// - Throws: `InputError` (`.value`) for a token that the mask does not have, and for an end
    ///   token, behind which nothing comes.
    public mutating func advance(by token: Int) throws(InputError) {
        guard let text = automaton.trie.text(of: token), let next = try automaton.advance(state, by: text) else {
            throw InputError(
                .value, in: "constraint", expected: "a token that the constraint allows", found: "token \(token)")
        }
        state = next
    }

    /// The tokens that have no alternative, from here on.
    ///
    /// - Complexity: a mask a token, one that is needed anyway when the token comes.
    func forced(atMost limit: Int) throws(InputError) -> [Int] {
        var (constraint, tokens) = (self, [Int]())
        while tokens.count < limit, let token = try constraint.mask().single, try constraint.allows(token) {
            // An end token has nothing behind it.
            guard (try? constraint.advance(by: token)) != nil else { break }
            tokens.append(token)
        }
        return tokens
    }
}
