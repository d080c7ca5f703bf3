//  How many sentences an English text has.
//
//  The official scorer uses Punkt's trained English model. Here its decisions are made by rules: a
//  full stop ends a sentence unless it belongs to an abbreviation, an initial or a number, and what
//  follows does not begin a new one.

enum EnglishSentences {
    /// Abbreviations after which a sentence does not end where a name or a number follows.
    private static let titles: Set<String> = [
        "mr", "mrs", "ms", "dr", "prof", "st", "sen", "rep", "gov", "gen", "col", "lt", "sgt", "capt", "rev", "hon",
        "jr", "sr", "messrs", "mt", "ft", "no", "vs", "fig", "e.g", "i.e", "cf", "jan", "feb", "mar", "apr", "aug",
        "sept", "sep", "oct", "nov", "dec", "maj", "cmdr", "adm", "atty", "pres",
    ]
    /// Abbreviations that may end a sentence: it does where the next word looks like a beginning.
    private static let open: Set<String> = [
        "etc", "inc", "corp", "co", "ltd", "llc", "bros", "u.s", "u.k", "u.n", "u.s.a", "p.m", "a.m", "ph.d", "d.c",
        "b.c", "a.d", "ave", "blvd", "rd", "dept", "est", "al", "approx", "min", "max", "hr", "ext", "tel",
    ]
    /// Words that begin sentences far more often than they are names.
    private static let starters: Set<String> = [
        "the", "a", "an", "this", "that", "these", "those", "he", "she", "it", "they", "we", "i", "you", "his", "her",
        "its", "their", "our", "my", "your", "in", "on", "at", "for", "but", "and", "so", "if", "when", "while",
        "after", "before", "then", "there", "here", "what", "who", "why", "how", "where", "as", "by", "from", "with",
        "to", "of", "no", "not", "some", "many", "most", "all", "both", "each", "every", "one", "two", "yes",
        "however", "since", "because", "although", "though", "once", "let", "now", "also", "finally", "first", "next",
    ]

    static func count(in text: Scalars) -> Int {
        let tokens = text.words
        var count = 0
        var hasWords = false
        for (i, token) in tokens.enumerated() {
            hasWords = true
            if i == tokens.count - 1 || ends(token, before: tokens[i + 1]) {
                count += 1
                hasWords = false
            }
        }
        return count + (hasWords ? 1 : 0)
    }

    private static let closing: Set<Unicode.Scalar> = ["\"", "'", ")", "]", "}", "\u{201D}", "\u{2019}", "*", "_"]
    private static let opening: Set<Unicode.Scalar> = ["\"", "'", "(", "[", "{", "\u{201C}", "\u{2018}", "*", "_"]

    /// Whether a sentence ends with a token.
    private static func ends(_ token: Scalars, before next: Scalars) -> Bool {
        let core = token.strippedEnd { closing.contains($0) }
        guard let last = core.last else { return false }
        if last == "?" || last == "!" { return true }
        guard last == "." else { return false }
        let following = next.strippedStart { opening.contains($0) }
        let beginsLower = following.first?.properties.isLowercase == true
        if core.count >= 2, core[core.count - 2] == "." { return !beginsLower }
        let word = core.dropLast().strippedArray { opening.contains($0) }
        let lower = word.lowered.text
        // One letter is an initial; a number before a stop counts something.
        if word.count == 1, word[0].isLetter { return false }
        if !word.isEmpty, word.allSatisfy(\.isDecimalDigit) { return !beginsLower }
        let nextWord = following.prefix { $0.isWord || $0 == "'" }.strippedArray { _ in false }.lowered.text
        if titles.contains(lower) { return false }
        if open.contains(lower) || word.contains(".") {
            return starters.contains(nextWord) && following.first?.properties.isUppercase == true
        }
        return !beginsLower
    }
}

extension ArraySlice where Element == Unicode.Scalar {
    /// The scalars without those at both ends that are to go.
    fileprivate func strippedArray(_ isRemoved: (Unicode.Scalar) -> Bool) -> Scalars {
        Scalars(self).stripped(isRemoved)
    }
}
