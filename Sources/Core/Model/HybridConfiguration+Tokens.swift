//  What a model can read next.

extension HybridConfiguration {
    /// That `tokens` are tokens of this model's vocabulary and fit behind those that it has read.
    ///
    /// - Parameters:
    ///   - count: tokens that were read before.
    ///   - limit: of the context, in tokens; nil for none.
    /// - Throws: `InputError` (`.value`) for no token, an id outside the vocabulary, or too many.
    public func requireReadable(_ tokens: [Int], behind count: Int, limit: Int?) throws(InputError) {
        guard !tokens.isEmpty else {
            throw InputError(
                .value, in: "tokens", expected: "at least one token", found: "none",
                remedy: "An empty prompt has no next token; give some text.")
        }
        if let position = tokens.firstIndex(where: { $0 < 0 || $0 >= vocabularySize }) {
            throw InputError(
                .value, in: "token id at position \(position)", expected: "0 to \(vocabularySize - 1)",
                found: "\(tokens[position])", remedy: "Was it made with another model's tokenizer?")
        }
        if let limit, tokens.count > limit || count > limit - tokens.count {
            throw InputError(
                .value, in: "context", expected: "at most \(limit) tokens", found: "\(tokens.count) behind \(count)",
                remedy: "Shorten the prompt.")
        }
    }
}
