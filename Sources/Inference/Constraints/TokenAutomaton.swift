//  From bytes to tokens: the mask of a state is found by one walk over the tree of the vocabulary.
//
//      mask(s) = { t : s has a derivative by the bytes of t }
//
//  Transitions are found when they are first asked for and then kept in a row of 256 for each
//  state; a mask is computed once for each state and shared by all sequences. A walk over a
//  vocabulary of 150 thousand tokens takes a few milliseconds, and a constraint that forbids much
//  takes less.

import DualityCore
import Synchronization

/// The states, transitions and masks of one grammar over one vocabulary. Safe to use from several
/// threads at once.
final class TokenAutomaton: Sendable {
    let trie: TokenTrie
    let start: Term
    private let store: Mutex<Store>

    init(_ arena: TermArena, start: Term, trie: TokenTrie) {
        self.trie = trie
        self.start = start
        store = Mutex(Store(arena: arena))
    }

    func isComplete(_ state: Term) -> Bool {
        store.withLock { $0.arena.isNullable(state) }
    }

    func mask(_ state: Term) throws(InputError) -> TokenMask {
        let result = store.withLock { store in
            Result { () throws(InputError) in try store.mask(state, trie) }
        }
        return try result.get()
    }

    /// The state behind some bytes; nil when no text goes on so.
    func advance(_ state: Term, by bytes: some Sequence<UInt8>) throws(InputError) -> Term? {
        let result = store.withLock { store in
            Result { () throws(InputError) in try store.advance(state, by: bytes) }
        }
        return try result.get()
    }

    /// A measure of memory in bytes, roughly.
    var memory: Int { store.withLock { $0.memory } }
}

/// What is kept of the states seen so far.
private struct Store {
    var arena: TermArena
    /// The row of a state.
    private var rowNumbers: [Term: Int32] = [:]
    private var states: [Term] = []
    /// 256 entries a row: 0 not known yet, 1 no such text, else 2 + the row of the next state.
    private var rows: [Int32] = []
    private var masks: [Term: TokenMask] = [:]

    /// More new states than this in one walk: the grammar reads one text in too many ways.
    private static let rowLimit = 40_000
    private static let maskBytesLimit = 24 << 20

    init(arena: TermArena) {
        self.arena = arena
    }

    var memory: Int { rows.count * 4 + maskBytes + arena.size * 64 }

    private var maskBytes: Int { masks.count * (masks.first?.value.words.count ?? 0) * 8 }

    private mutating func row(of state: Term) -> Int32 {
        if let row = rowNumbers[state] { return row }
        let row = Int32(states.count)
        rowNumbers[state] = row
        states.append(state)
        rows.append(contentsOf: repeatElement(0, count: 256))
        return row
    }

    /// Finds the entry of a row that is not known yet.
    private mutating func fill(_ row: Int32, _ byte: UInt8) throws(InputError) -> Int32 {
        let next = arena.derivative(states[Int(row)], byte)
        var entry: Int32 = 1
        if next != .never {
            entry = self.row(of: next) + 2
            guard states.count <= Self.rowLimit else {
                throw InputError(
                    .unsupported, in: "constraint", expected: "a grammar that reads a text in few ways",
                    found: "one with more than \(Self.rowLimit) states within a token",
                    remedy: "Simplify alternatives that differ only far behind their beginning.")
            }
        }
        rows[Int(row) << 8 | Int(byte)] = entry
        return entry
    }

    /// Forgets what can be found again when it takes too much room.
    private mutating func makeRoom() {
        if states.count > Self.rowLimit / 2 {
            rowNumbers = [:]
            states = []
            rows = []
        }
        if maskBytes > Self.maskBytesLimit { masks = [:] }
    }

    mutating func advance(_ state: Term, by bytes: some Sequence<UInt8>) throws(InputError) -> Term? {
        makeRoom()
        var row = row(of: state)
        for byte in bytes {
            var entry = rows[Int(row) << 8 | Int(byte)]
            if entry == 0 { entry = try fill(row, byte) }
            if entry == 1 { return nil }
            row = entry - 2
        }
        return states[Int(row)]
    }

    mutating func mask(_ state: Term, _ trie: TokenTrie) throws(InputError) -> TokenMask {
        if let mask = masks[state] { return mask }
        makeRoom()
        var mask = TokenMask(size: trie.size)
        let first = row(of: state)
        let result = trie.nodes.withUnsafeBufferPointer { nodes in
            trie.tokens.withUnsafeBufferPointer { tokens in
                Result { () throws(InputError) in try walk(from: first, nodes, tokens, trie.depthLimit, &mask) }
            }
        }
        try result.get()
        if arena.isNullable(state) {
            for token in trie.endTokens { mask.insert(token) }
        }
        masks[state] = mask
        return mask
    }
    /// Puts the tokens into a mask that can be read from a row on.
    private mutating func walk(
        from first: Int32, _ nodes: UnsafeBufferPointer<TokenTrie.Node>, _ tokens: UnsafeBufferPointer<Int32>,
        _ depthLimit: Int, _ mask: inout TokenMask
    ) throws(InputError) {
        var path = [Int32](repeating: first, count: depthLimit + 1)
        var index = 0
        while index < nodes.count - 1 {
            let node = nodes[index]
            let row = path[Int(node.depth) - 1]
            var entry = rows[Int(row) << 8 | Int(node.byte)]
            if entry == 0 { entry = try fill(row, node.byte) }
            if entry == 1 {
                index = Int(node.end)
                continue
            }
            path[Int(node.depth)] = entry - 2
            index += 1
            for place in node.tokenStart..<nodes[index].tokenStart { mask.insert(Int(tokens[Int(place)])) }
        }
    }
}
