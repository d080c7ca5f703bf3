//  Speculation by look-up: what followed the last time that the text ended as it does now.
//
//      tokens    a b c d ... a b c | ?        the longest suffix that occurred before is a b c, of length m = 3,
//                      ^                      and the guess is d and what came after it
//
//  Places with the same last two tokens are chained from the latest to the first, as in LZ77, and
//  the first `candidates` of a chain are compared backwards; of equally long matches the latest
//  wins. How likely a guess is is learned from the text itself: at every token, whether guessed or
//  not, it is known what the look-up would have said, so h(m) = the part of the guesses behind
//  matches of length m that came true, of the recent ones and in prompt and answer alike, costs
//  nothing. A guess behind a match of m and then i guessed tokens has the chance
//  h(m) h(m+1) ... h(m+i), and is made while that is worth a row of a pass. A text that does not
//  repeat soon has small h and is not guessed at.
//
//  Rejected: a suffix automaton, which finds the first place of the longest suffix and not the
//  latest, and takes ten times the memory; a fixed length of guesses, which costs text that does
//  not repeat up to a tenth.

/// Guesses by looking up where the last tokens occurred before.
public struct LookupDrafter: TokenDrafter {
    /// The place of the last token of each pair, the latest one.
    private var latest: [UInt64: Int] = [:]
    /// For every place, the place before it with the same pair; -1 for none.
    private var earlier: [Int] = []
    private var tokens: [Int] = []
    /// The longest match of the end of `tokens`: the place of its last token and its length.
    private var match: (place: Int, length: Int)?
    /// h(m), the last entry for all longer matches.
    private var hits = (0...Self.longest).map { HitRate(length: $0) }

    /// Longer matches are compared no further.
    private static let longest = 16
    private static let candidates = 32

    /// Guesses are made from this chance on.
    private let smallestChance: Double

    /// - Parameter weightBytes: what a pass of the model reads,
    ///   `LanguageModel.weightBytesPerToken`: a large model gains by guesses that are seldom right.
    public init(weightBytes: Int = 0) {
        smallestChance = DraftWorth.smallestChance(weightBytes: weightBytes)
    }

    private init(_ smallestChance: Double) {
        self.smallestChance = smallestChance
    }

    /// - Complexity: O(1) for each token that came since the last call, and for each guess.
    public mutating func draft(after tokens: [Int], atMost limit: Int) -> [Int] {
        // Another text: begin anew.
        if tokens.count < self.tokens.count || self.tokens.last.map({ $0 != tokens[self.tokens.count - 1] }) == true {
            self = LookupDrafter(smallestChance)
        }
        for token in tokens[self.tokens.count...] { read(token) }
        return guesses(atMost: limit)
    }

    private func guesses(atMost limit: Int) -> [Int] {
        guard let match else { return [] }
        var (draft, chance) = ([Int](), 1.0)
        while draft.count < limit {
            chance *= hits[min(match.length + draft.count, Self.longest)].rate
            if chance < smallestChance { break }
            // A text that repeats itself at a short distance goes on into its own guesses.
            let place = match.place + 1 + draft.count
            draft.append(place < tokens.count ? tokens[place] : draft[place - tokens.count])
        }
        return draft
    }

    private mutating func read(_ token: Int) {
        if let match { hits[match.length].count(tokens[match.place + 1] == token) }
        tokens.append(token)
        let end = tokens.count - 1
        earlier.append(-1)
        match = nil
        guard end > 0 else { return }
        let pair = UInt64(UInt32(truncatingIfNeeded: tokens[end - 1])) << 32 | UInt64(UInt32(truncatingIfNeeded: token))
        var place = latest.updateValue(end, forKey: pair) ?? -1
        earlier[end] = place
        for _ in 0..<Self.candidates where place >= 0 {
            let length = commonLength(place, end)
            if length > match?.length ?? 0 { match = (place, length) }
            if length == Self.longest { break }
            place = earlier[place]
        }
    }

    /// How many tokens up to these two places are the same, at most `longest`.
    private func commonLength(_ place: Int, _ end: Int) -> Int {
        var length = 0
        while length < Self.longest, length <= place, tokens[place - length] == tokens[end - length] { length += 1 }
        return length
    }
}

/// The part of guesses that came true, of the recent ones.
private struct HitRate: Sendable {
    private var hits: Double
    private var count: Double
    /// What one guess is counted for after another has come.
    private static let fading = 0.97

    /// What is assumed before anything is known weighs as much as four guesses.
    init(length: Int) {
        count = 4
        hits = count * (1 - 1.1 / Double(max(length, 2)))
    }

    var rate: Double { hits / count }

    mutating func count(_ isHit: Bool) {
        hits = hits * Self.fading + (isHit ? 1 : 0)
        count = count * Self.fading + 1
    }
}
