//  Constraints over the embedded model's vocabulary, and a way to try texts on them.

import DualityCore
import DualityInference

enum ConstraintFixtures {
    static let tokenizer = EmbeddedTokenizer.tokenizer
    static let endToken = 2

    static let trie = Result {
        let tokenizer = try Self.tokenizer.get()
        return TokenTrie(tokenizer, endTokens: [endToken], size: tokenizer.vocabularySize + 3)
    }

    static let compiler = Result { ConstraintCompiler(try trie.get()) }

    /// Whether a constraint allows a text as a whole, token for token, with the end behind it.
    static func accepts(_ text: String, _ rules: AnswerRules) throws -> Bool {
        var constraint = try compiler.get().constraint(rules)!
        for token in try tokenizer.get().encode(text, allowSpecial: false) {
            guard try constraint.allows(token) else { return false }
            try constraint.advance(by: token)
        }
        return constraint.isComplete
    }

    /// A walk of `random` through the masks: a token that the mask has, until the end comes; with
    /// `haste` the end is taken as soon as it may come.
    static func walk(
        _ rules: AnswerRules, _ random: inout RandomSource, limit: Int = 4000, haste: Bool = true
    ) throws -> String? {
        var constraint = try compiler.get().constraint(rules)!
        var tokens: [Int] = []
        while tokens.count < limit {
            let mask = try constraint.mask()
            if mask.contains(endToken), haste || mask.count == 1 || random.integer(in: 0...3) == 0 {
                return try tokenizer.get().decode(tokens)
            }
            // Tokens of low numbers are short and end a document sooner: start the search low.
            var token = random.integer(in: 0...mask.words.count * 8)
            if !(token..<mask.words.count * 64).contains(where: mask.contains) { token = 0 }
            while !mask.contains(token) || token == endToken { token += 1 }
            try constraint.advance(by: token)
            tokens.append(token)
        }
        return nil
    }
}
