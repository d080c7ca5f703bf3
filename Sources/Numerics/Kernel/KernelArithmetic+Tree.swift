//  What a tree of segments adds to the bound and the sigma of chunks.
//
//  The associative form is taken as chunks of its leaves, one after another. It differs from that
//  in three ways:
//
//      leaves      run the recurrence: a decay over k tokens is a product of k exponentials, each sum has two roundings a token
//      ln α        of a span is a sum over its leaves, in the order of the tree: with m leaves it errs by γ_m |seg|
//      underflow   exp(ln α) of a long span may be below the normal range where the product of its parts with a large state
//                  is not: each composition may then lose tiny |S|
//
//  Leaves are counted from the beginning of the sequence, chunks from that of the row.

import DualityCore
import DualityReference

extension KernelArithmetic {
    var isTree: Bool { if case .associative = form { true } else { false } }

    /// How many leaves a sequence has; 0 where there is no tree.
    func leaves(of length: Int) -> Int {
        guard case .associative(_, let leaf) = form else { return 0 }
        return (length + max(leaf, 1) - 1) / max(leaf, 1)
    }

    /// Where the chunks of a sequence are counted from, as a position of its first token.
    func firstPosition(ofSequenceAt start: Int) -> Int { isTree ? 0 : start }

    /// The tokens of the chunk that begins at token `first` of a sequence.
    func chunk(at first: Int, ofSequenceAt start: Int, length: Int) -> Range<Int> {
        guard let size = chunkSize else { return first..<length }
        let position = firstPosition(ofSequenceAt: start) + first
        return first..<first + min(size - position % size, length - first)
    }

    /// How many roundings of its sums an entry of the state meets in a chunk of `count` tokens.
    func additions(inChunkOf count: Int) -> Int { isTree ? 2 * count : count }

    /// What evaluating a decay over `tokens` tokens as a product of exponentials may add to its
    /// exponent's error.
    func productError(of tokens: Int) -> Double { isTree ? 6 * Double(tokens) * accumulate.unitRoundoff : 0 }

    /// The variance of ln α over the whole of a sequence, relative to its square: of ν in every
    /// addition of the tree. 0 where the tree is followed.
    func treeVariance(of length: Int) -> Double {
        guard case .associative(let tree, _) = form, followedTree == nil else { return 0 }
        let count = Double(leaves(of: length))
        let nu = operationVariance.relative
        switch tree {
        case .balanced, .right: return 2 * nu
        case .left, .random: return nu * (1 + count / 3)
        }
    }
}
