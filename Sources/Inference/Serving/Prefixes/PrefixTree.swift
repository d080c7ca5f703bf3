//  What prompts have in common: a radix tree of tokens, one root for each salt.
//
//  Tokens are compared and not hashed: four bytes per token are nothing beside the keys and values,
//  and no collision can give one prompt another's context. A snapshot is found only by a prompt
//  that goes on behind all of its tokens.
//
//  Paths without snapshots stay for a while: they are how it is noticed where prompts part.

import DualityQuant

/// A tree of prompts with snapshots.
final class PrefixTree {
    /// What the tree knows of a prompt.
    struct Match {
        /// The deepest node with a snapshot that the prompt goes on from.
        fileprivate(set) var node: PrefixNode?
        /// Tokens that an earlier prompt has too.
        fileprivate(set) var pathTokens = 0
        /// Tokens before the deepest snapshot that was evicted on the way.
        fileprivate(set) var evictedTokens = 0

        /// Tokens that need not be read.
        var tokenCount: Int { node?.depth ?? 0 }
    }

    /// For the values of snapshots.
    struct Costs {
        /// Reading a token, without keys, and what each token before it adds, in seconds.
        var secondsPerToken = 1e-3
        var secondsPerKey = 0.0
        /// The bytes of the keys and values of a page of tokens, in all layers.
        var pageSetBytes = 0
    }

    var costs = Costs()
    private(set) var roots: [String?: PrefixNode] = [:]
    /// Nodes with snapshots.
    private var holders: [ObjectIdentifier: PrefixNode] = [:]
    private var clock = 0.0
    private var uses = 0
    /// Roughly what the paths take.
    private(set) var pathBytes = 0
    private let pathBytesLimit: Int

    private static let nodeBytes = 256

    /// - Parameter pathBytes: what paths may take before those unused for longest are forgotten.
    init(pathBytes: Int) {
        pathBytesLimit = pathBytes
    }

    var snapshotCount: Int { holders.count }
    var nodesWithSnapshots: some Collection<PrefixNode> { holders.values }

    /// Follows a prompt.
    ///
    /// - Parameter limit: only snapshots of at most as many tokens.
    /// - Complexity: O(tokens followed).
    func match(_ prompt: [Int], salt: String?, atMost limit: Int) -> Match {
        var match = Match()
        guard var node = roots[salt] else { return match }
        while node.depth < prompt.count, let next = node.children[Int32(truncatingIfNeeded: prompt[node.depth])] {
            let count = next.matched(prompt, from: node.depth)
            match.pathTokens = node.depth + count
            guard count == next.tokens.count else { break }
            node = next
            if node.depth <= limit {
                if node.snapshot != nil { match.node = node }
                if node.wasEvicted { match.evictedTokens = node.depth }
            }
        }
        return match
    }

    /// Says that a sequence goes on from a snapshot, and returns its copy.
    func use(_ node: PrefixNode) -> QuantCache? {
        node.snapshot?.uses += 1
        node.snapshot?.clock = clock
        touch(node)
        return node.snapshot?.cache
    }

    /// Remembers that a prompt has these tokens.
    func learn(_ tokens: some Collection<Int>, salt: String?) {
        touch(node(at: Array(tokens), salt: salt))
        if pathBytes > pathBytesLimit { forgetPaths() }
    }

    /// Whether there is a snapshot behind exactly these tokens.
    func hasSnapshot(of tokens: [Int], salt: String?) -> Bool {
        match(tokens, salt: salt, atMost: tokens.count).tokenCount == tokens.count
    }

    /// Keeps a snapshot behind `tokens`.
    ///
    /// - Returns: false when there is one already.
    @discardableResult
    func place(_ cache: QuantCache, behind tokens: some Collection<Int>, salt: String?, kind: SnapshotKind) -> Bool {
        let node = node(at: Array(tokens), salt: salt)
        guard node.snapshot == nil else { return false }
        node.snapshot = PrefixSnapshot(cache: cache, kind: kind, clock: clock)
        node.wasEvicted = false
        holders[ObjectIdentifier(node)] = node
        count(1, from: node)
        touch(node)
        return true
    }

    /// Lets go of the snapshot that is worth least for its bytes.
    ///
    /// - Returns: its kind; nil when there is none.
    /// - Complexity: O(snapshots).
    func evictLeast() -> SnapshotKind? {
        var least: (node: PrefixNode, priority: Double, lastUse: Int)?
        for node in holders.values {
            guard let snapshot = node.snapshot else { continue }
            let priority = priority(of: node, snapshot)
            if let found = least, (found.priority, found.lastUse) <= (priority, node.lastUse) { continue }
            least = (node, priority, node.lastUse)
        }
        guard let least else { return nil }
        clock = max(clock, least.priority)
        let kind = least.node.snapshot?.kind
        least.node.snapshot = nil
        least.node.wasEvicted = true
        holders[ObjectIdentifier(least.node)] = nil
        count(-1, from: least.node)
        return kind
    }

    /// Greedy-dual: `clock + uses · seconds / bytes`, of what reading it again would take and what
    /// letting go of it would free.
    func priority(of node: PrefixNode, _ snapshot: PrefixSnapshot) -> Double {
        let above = node.above?.depth ?? 0
        let tokens = Double(node.depth - above)
        let seconds = tokens * (costs.secondsPerToken + costs.secondsPerKey * Double(node.depth + above) / 2)
        return snapshot.clock + Double(snapshot.uses) * seconds / Double(max(bytesFreed(by: node, snapshot), 1))
    }

    /// States, and the pages that no other snapshot has.
    func bytesFreed(by node: PrefixNode, _ snapshot: PrefixSnapshot) -> Int {
        let page = QuantCache.pageTokens
        let own =
            node.snapshotsFromHere > 1
            ? (node.depth % page == 0 ? 0 : 1)
            : (node.depth + page - 1) / page - (node.above?.depth ?? 0) / page
        return snapshot.cache.stateBytes + own * costs.pageSetBytes
    }

    /// The salt of the prompts that have a node.
    func salt(of node: PrefixNode) -> String? {
        var root = node
        while let parent = root.parent { root = parent }
        return roots.first { $0.value === root }?.key ?? nil
    }

    // MARK: Paths

    private func count(_ change: Int, from node: PrefixNode) {
        var next: PrefixNode? = node
        while let node = next {
            node.snapshotsFromHere += change
            next = node.parent
        }
    }

    private func touch(_ node: PrefixNode) {
        uses += 1
        var next: PrefixNode? = node
        while let node = next, node.lastUse != uses {
            node.lastUse = uses
            next = node.parent
        }
    }

    /// The node that ends behind `tokens`, made if need be.
    private func node(at tokens: [Int], salt: String?) -> PrefixNode {
        var node = roots[salt] ?? PrefixNode(tokens: [], parent: nil)
        roots[salt] = node
        while node.depth < tokens.count {
            guard let next = node.children[Int32(truncatingIfNeeded: tokens[node.depth])] else {
                pathBytes += 4 * (tokens.count - node.depth) + Self.nodeBytes
                return node.append(tokens[node.depth...].map { Int32(truncatingIfNeeded: $0) })
            }
            let count = next.matched(tokens, from: node.depth)
            if count < next.tokens.count {
                pathBytes += Self.nodeBytes
                node = node.split(next, after: count)
            } else {
                node = next
            }
        }
        return node
    }

    /// Forgets ends of paths without snapshots, those unused for longest first, down to three
    /// quarters of the limit.
    private func forgetPaths() {
        while pathBytes > pathBytesLimit / 4 * 3 {
            let ends = leaves().sorted { $0.lastUse < $1.lastUse }
            if ends.isEmpty { return }
            for end in ends where pathBytes > pathBytesLimit / 4 * 3 { forget(end) }
        }
    }

    private func leaves() -> [PrefixNode] {
        var (open, leaves) = (Array(roots.values), [PrefixNode]())
        while let node = open.popLast() {
            if node.children.isEmpty, node.snapshot == nil { leaves.append(node) }
            open += node.children.values
        }
        return leaves
    }

    private func forget(_ leaf: PrefixNode) {
        pathBytes -= 4 * leaf.tokens.count + Self.nodeBytes
        if let parent = leaf.parent { return parent.remove(leaf) }
        pathBytes += Self.nodeBytes
        roots = roots.filter { $0.value !== leaf }
    }
}
