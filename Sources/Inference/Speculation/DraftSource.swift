//  Who guesses for one text: what its constraint leaves no choice about, and then the drafters in
//  their order.

import DualityCore

/// The drafters of one text.
struct DraftSource: Sendable {
    /// A guess of the tokens that come next.
    struct Draft: Sendable {
        var tokens: [Int] = []
        /// Which drafter made it; nil where it follows from a constraint.
        var drafter: Int?
    }

    private var drafters: [any TokenDrafter]

    init(_ drafters: [any TokenDrafter]) {
        self.drafters = drafters
    }

    /// Guesses that the constraint allows: what it leaves no choice about, else a drafter's.
    ///
    /// - Parameters:
    ///   - tokens: what is known, prompt and answer.
    ///   - vocabularySize: tokens beyond it are not guessed.
    mutating func draft(
        after tokens: [Int], atMost limit: Int, _ constraint: TokenConstraint?, vocabularySize: Int
    ) throws -> Draft {
        guard limit > 0, !drafters.isEmpty else { return Draft() }
        if let forced = try constraint?.forced(atMost: limit), !forced.isEmpty { return Draft(tokens: forced) }
        for index in drafters.indices {
            var draft = try drafters[index].draft(after: tokens, atMost: limit)
            if let bad = draft.firstIndex(where: { !(0..<vocabularySize ~= $0) }) {
                draft.removeLast(draft.count - bad)
            }
            if var constraint {
                var allowed = 0
                // An end token may come and has nothing behind it: it is not worth a row.
                while allowed < draft.count, (try? constraint.advance(by: draft[allowed])) != nil { allowed += 1 }
                draft.removeLast(draft.count - allowed)
            }
            if !draft.isEmpty { return Draft(tokens: draft, drafter: index) }
        }
        return Draft()
    }

    /// Tells the drafter of a guess what became of it.
    ///
    /// - Parameters:
    ///   - confirmed: how many of its tokens came true.
    ///   - came: how many tokens came, the first that was guessed wrongly among them.
    mutating func learn(_ draft: Draft, confirmed: Int, came: Int) {
        let checked = min(came, draft.tokens.count, confirmed + 1)
        if let drafter = draft.drafter { drafters[drafter].learn(confirmed: confirmed, of: checked) }
    }
}
