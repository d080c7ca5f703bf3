//  Tokens to text while they arrive, never half a character.

/// Decodes a growing sequence of tokens: the texts it returns, one after the other, are the text of
/// the whole sequence.
public struct StreamingDecoder: Sendable {
    private let tokenizer: Tokenizer
    private let skipSpecial: Bool
    private var stream = UTF8Stream()

    /// - Parameter skipSpecial: leaves special tokens out of the text.
    public init(_ tokenizer: Tokenizer, skipSpecial: Bool = false) {
        self.tokenizer = tokenizer
        self.skipSpecial = skipSpecial
    }

    /// The text that becomes certain with this token: empty while a character is incomplete.
    ///
    /// An identifier without a token has no text: the output layer of a model may be wider than its
    /// vocabulary.
    public mutating func push(_ id: Int) -> String {
        guard tokenizer.contains(id), !(skipSpecial && tokenizer.isSpecial(id)) else { return "" }
        var output: [UInt8] = []
        stream.push(tokenizer.bytes(of: id), into: &output)
        return String(decoding: output, as: UTF8.self)
    }

    /// The text that is left when no token follows: U+FFFD for a character that remained
    /// incomplete, else nothing.
    public mutating func finish() -> String {
        var output: [UInt8] = []
        stream.finish(into: &output)
        return String(decoding: output, as: UTF8.self)
    }
}
