//  Scratch memory of the tokenizer.

/// What one call of `encode` works with, and the words it remembers for the next.
struct TokenizerWorkspace: Sendable {
    var tokens: [UInt32] = []
    var encoding = BytePairEncoding()
    var cache = WordCache()
}
