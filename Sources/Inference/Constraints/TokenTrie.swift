//  The vocabulary as a tree of beginnings, so that what is wrong with one token is known of all
//  that begin like it.
//
//  Nodes lie in the order of a walk: a node is followed by its descendants. Tokens are sorted by
//  their bytes, which is the same order.

import DualityCore

/// The tokens that text is made of, for constraints; made once for a model.
public final class TokenTrie: Sendable {
    /// The number of logits.
    public let size: Int
    /// The tokens that end an answer.
    public let endTokens: Set<Int>
    /// A beginning of tokens, in the order of a walk. The root is not among the nodes.
    struct Node: Sendable {
        /// The first node behind this one that does not descend from it.
        var end: Int32
        /// The node's tokens are `tokens[tokenStart..<nodes[n + 1].tokenStart]`.
        let tokenStart: Int32
        /// The length of the beginning, 1 and more.
        let depth: UInt16
        /// The last byte of the beginning.
        let byte: UInt8
    }

    /// The nodes, and behind them one that only ends the tokens of the last.
    let nodes: [Node]
    let tokens: [Int32]
    let depthLimit: Int
    private let tokenizer: Tokenizer

    /// - Parameters:
    ///   - endTokens: identifiers that end an answer; they are not text.
    ///   - size: the number of logits, which may exceed the vocabulary.
    /// - Complexity: O(V log V) comparisons.
    public init(_ tokenizer: Tokenizer, endTokens: Set<Int>, size: Int) {
        let ids = (0..<min(size, tokenizer.vocabularySize)).filter {
            tokenizer.contains($0) && !tokenizer.isSpecial($0) && !endTokens.contains($0)
                && 1...Int(UInt16.max) ~= tokenizer.bytes(of: $0).count
        }
        let sorted = ids.map { (id: $0, bytes: tokenizer.bytes(of: $0)) }.sorted {
            $0.bytes.lexicographicallyPrecedes($1.bytes)
        }
        var builder = Builder()
        for token in sorted { builder.append(token.id, token.bytes) }
        builder.finish()
        self.size = size
        self.endTokens = endTokens.filter { $0 >= 0 && $0 < size }
        self.tokenizer = tokenizer
        nodes = builder.nodes
        tokens = builder.tokens
        depthLimit = Int(builder.nodes.map(\.depth).max() ?? 0)
    }

    /// The bytes of a token that is text; nil for an end token, a special one or none at all.
    func text(of token: Int) -> ArraySlice<UInt8>? {
        guard tokenizer.contains(token), !tokenizer.isSpecial(token), !endTokens.contains(token) else { return nil }
        let bytes = tokenizer.bytes(of: token)
        return bytes.isEmpty ? nil : bytes
    }

    private struct Builder {
        var nodes: [Node] = []
        var tokens: [Int32] = []
        /// The nodes from the root to the last one.
        private var path: [Int32] = []
        private var last: ArraySlice<UInt8> = []

        mutating func append(_ id: Int, _ token: ArraySlice<UInt8>) {
            let shared = zip(last, token).prefix { $0 == $1 }.count
            close(to: shared)
            for (depth, byte) in token.enumerated().dropFirst(shared) {
                path.append(Int32(nodes.count))
                nodes.append(Node(end: 0, tokenStart: Int32(tokens.count), depth: UInt16(depth + 1), byte: byte))
            }
            tokens.append(Int32(id))
            last = token
        }

        mutating func finish() {
            close(to: 0)
            nodes.append(Node(end: 0, tokenStart: Int32(tokens.count), depth: 0, byte: 0))
        }

        private mutating func close(to depth: Int) {
            for node in path[depth...] { nodes[Int(node)].end = Int32(nodes.count) }
            path.removeSubrange(depth...)
        }
    }
}
