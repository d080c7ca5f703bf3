//  A finite automaton that reads bytes.
//
//  Deterministic and trimmed: from every state some text is accepted, so that a text that has come
//  this far can always be completed. State 0 is the start. Edges lie in one array, those of a state
//  side by side and in the order of their bytes.

/// A set of texts that a finite automaton recognises.
struct ByteAutomaton: Hashable, Sendable {
    /// The bytes `low ... high` lead to `target`.
    struct Edge: Hashable, Sendable {
        let low: UInt8
        let high: UInt8
        let target: Int32

        init(_ low: UInt8, _ high: UInt8, to target: Int32) {
            self.low = low
            self.high = high
            self.target = target
        }
    }

    private(set) var edges: [Edge] = []
    /// The edges of state s are `edges[starts[s]..<starts[s + 1]]`.
    private(set) var starts: [Int32] = [0]
    /// Whether the text may end in this state.
    private(set) var accepts: [Bool] = []

    var stateCount: Int { accepts.count }

    /// Adds the state whose number is the count of states so far.
    mutating func append(_ stateEdges: [Edge], accepts: Bool) {
        edges += stateEdges
        starts.append(Int32(edges.count))
        self.accepts.append(accepts)
    }

    /// The state behind a byte; nil when no accepted text goes on so.
    func next(_ state: Int, _ byte: UInt8) -> Int? {
        for edge in edges[Int(starts[state])..<Int(starts[state + 1])] where byte <= edge.high {
            return byte >= edge.low ? Int(edge.target) : nil
        }
        return nil
    }

    /// Whether the automaton recognises exactly this text.
    func matches(_ text: some Sequence<UInt8>) -> Bool {
        var state = 0
        for byte in text {
            guard let next = next(state, byte) else { return false }
            state = next
        }
        return accepts[state]
    }
}

extension ByteAutomaton {
    /// Texts that are one of `strings`, as a tree of their beginnings.
    ///
    /// - Parameter strings: at least one.
    init(strings: [[UInt8]]) {
        var children: [[UInt8: Int]] = [[:]]
        var accepts = [false]
        for string in strings {
            var node = 0
            for byte in string {
                if let next = children[node][byte] {
                    node = next
                } else {
                    children[node][byte] = children.count
                    node = children.count
                    children.append([:])
                    accepts.append(false)
                }
            }
            accepts[node] = true
        }
        for (node, branches) in children.enumerated() {
            let sorted = branches.sorted { $0.key < $1.key }
            append(sorted.map { Edge($0.key, $0.key, to: Int32($0.value)) }, accepts: accepts[node])
        }
    }

    /// Any bytes, up to and with the first occurrence of `tag`.
    ///
    /// - Parameter tag: not empty.
    init(until tag: [UInt8]) {
        self.init(tag: tag) { state, byte in
            state == tag.count ? nil : byte
        } accepting: {
            $0 == tag.count
        }
    }

    /// Any bytes in which `tag` does not occur.
    init(without tag: [UInt8]) {
        self.init(tag: tag) { state, byte in
            state == tag.count - 1 && byte == tag[state] ? nil : byte
        } accepting: {
            $0 < tag.count
        }
    }

    /// State s of the automaton of Knuth, Morris and Pratt: the text ends with the first s bytes of
    /// the tag.
    private init(tag: [UInt8], following: (Int, UInt8) -> UInt8?, accepting: (Int) -> Bool) {
        func target(_ state: Int, _ byte: UInt8) -> Int {
            let text = tag[..<state] + [byte]
            return (0...min(text.count, tag.count)).last { text.suffix($0).elementsEqual(tag[..<$0]) }!
        }
        let count = accepting(tag.count) ? tag.count + 1 : tag.count
        for state in 0..<count {
            var edges: [Edge] = []
            for byte in UInt8.min...UInt8.max where following(state, byte) != nil {
                let next = Int32(target(state, byte))
                if let last = edges.last, last.target == next, last.high == byte &- 1 {
                    edges[edges.count - 1] = Edge(last.low, byte, to: next)
                } else {
                    edges.append(Edge(byte, byte, to: next))
                }
            }
            append(edges, accepts: accepting(state))
        }
    }
}
