//  Which tokens may come next: one bit a token.

/// A set of tokens.
public struct TokenMask: Sendable, Equatable {
    /// Bit `t % 64` of word `t / 64` is set when token t may come.
    public internal(set) var words: [UInt64]

    /// - Parameter size: the number of logits; identifiers are below it.
    init(size: Int) {
        words = [UInt64](repeating: 0, count: (size + 63) / 64)
    }

    /// Whether a token may come.
    public func contains(_ token: Int) -> Bool {
        token >= 0 && token >> 6 < words.count && words[token >> 6] >> UInt64(token & 63) & 1 == 1
    }

    /// How many tokens may come.
    public var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

    /// Whether no token may come.
    public var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

    /// The one token of the set; nil when there are none or several.
    var single: Int? {
        var token: Int?
        for (index, word) in words.enumerated() where word != 0 {
            if token != nil || word & (word - 1) != 0 { return nil }
            token = 64 * index + word.trailingZeroBitCount
        }
        return token
    }

    mutating func insert(_ token: Int) { words[token >> 6] |= 1 << UInt64(token & 63) }

    /// Sets the logits of tokens that may not come to minus infinity.
    ///
    /// - Parameter logits: `[V]`; those beyond the mask may not come.
    /// - Complexity: O(V), less where whole words are set.
    public func apply(to logits: UnsafeMutableBufferPointer<Float>) {
        for index in stride(from: 0, to: logits.count, by: 64) {
            let word = index >> 6 < words.count ? words[index >> 6] : 0
            if word == .max { continue }
            for bit in 0..<min(64, logits.count - index) where word >> UInt64(bit) & 1 == 0 {
                logits[index + bit] = -.infinity
            }
        }
    }
}
