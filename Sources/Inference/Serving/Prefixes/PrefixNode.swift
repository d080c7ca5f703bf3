//  A node of the prefix tree: a run of tokens behind its parent's, and perhaps a snapshot of the
//  model's memory of all tokens from the root to its end.

import DualityQuant

/// A node of a prefix tree.
final class PrefixNode {
    /// From the parent's end to this node's.
    fileprivate(set) var tokens: [Int32]
    fileprivate(set) weak var parent: PrefixNode?
    fileprivate(set) var children: [Int32: PrefixNode] = [:]
    /// Tokens from the root.
    let depth: Int
    var snapshot: PrefixSnapshot?
    /// Whether a snapshot was here and had to go.
    var wasEvicted = false
    /// Snapshots of this node and below.
    var snapshotsFromHere = 0
    /// Rises with every use of the tree.
    var lastUse = 0

    init(tokens: [Int32], parent: PrefixNode?) {
        self.tokens = tokens
        self.parent = parent
        depth = (parent?.depth ?? 0) + tokens.count
    }

    /// Tokens of this node's run that `prompt` has too, from `position` on.
    func matched(_ prompt: [Int], from position: Int) -> Int {
        let count = min(tokens.count, prompt.count - position)
        var i = 0
        while i < count, Int(tokens[i]) == prompt[position + i] { i += 1 }
        return i
    }

    /// The tokens from the root.
    var path: [Int] {
        var (runs, next) = ([[Int32]](), self as PrefixNode?)
        while let node = next {
            runs.append(node.tokens)
            next = node.parent
        }
        return runs.reversed().flatMap { $0.map { Int($0) } }
    }

    /// The nearest node above that has a snapshot.
    var above: PrefixNode? {
        var node = parent
        while let candidate = node, candidate.snapshot == nil { node = candidate.parent }
        return node
    }

    /// Adds a child that has `tokens`, at least one.
    func append(_ tokens: [Int32]) -> PrefixNode {
        let child = PrefixNode(tokens: tokens, parent: self)
        children[tokens[0]] = child
        return child
    }

    /// Cuts the run of `child` after `count` tokens, and returns the node that now ends there.
    func split(_ child: PrefixNode, after count: Int) -> PrefixNode {
        let middle = PrefixNode(tokens: Array(child.tokens[..<count]), parent: self)
        child.tokens.removeFirst(count)
        child.parent = middle
        middle.children[child.tokens[0]] = child
        middle.snapshotsFromHere = child.snapshotsFromHere
        middle.lastUse = child.lastUse
        children[middle.tokens[0]] = middle
        return middle
    }

    func remove(_ child: PrefixNode) { children[child.tokens[0]] = nil }
}

/// What a node remembers of the model.
struct PrefixSnapshot {
    /// Has exactly the tokens of the node.
    let cache: QuantCache
    let kind: SnapshotKind
    /// 1, and one more for each request that went on from it.
    var uses = 1
    /// The tree's clock when it was placed or used.
    var clock: Double
}
