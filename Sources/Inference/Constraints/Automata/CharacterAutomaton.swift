//  A finite automaton that reads characters (Unicode scalars): what patterns, lengths and ranges of
//  numbers become before they are spelled in bytes.
//
//  One way to make one: `exploring`. It takes a start and a rule that gives the next states of a
//  state as sorted ranges of scalars, visits what can be reached, and drops what leads nowhere.

import DualityCore

/// A set of texts that a finite automaton over characters recognises. State 0 is the start.
struct CharacterAutomaton: Sendable {
    struct Edge: Hashable, Sendable {
        let scalars: ClosedRange<UInt32>
        let target: Int
    }

    /// Edges in the order of their scalars; none overlap.
    let edges: [[Edge]]
    let accepts: [Bool]

    /// The largest number of states and edges of one automaton. A pattern that needs more is
    /// refused.
    static let limit = 60_000

    /// Visits all states that can be reached from `start`.
    ///
    /// - Parameter weight: what a state counts for the limit, besides its edges.
    /// - Returns: nil when no text is accepted.
    /// - Throws: `InputError` (`.unsupported`) when there are too many states.
    static func exploring<State: Hashable>(
        from start: State, place: String, limit: Int = limit, weight: (State) -> Int = { _ in 1 },
        edges following: (State) -> [(scalars: ClosedRange<UInt32>, target: State)],
        accepts isAccepting: (State) -> Bool
    ) throws(InputError) -> CharacterAutomaton? {
        var numbers: [State: Int] = [start: 0]
        var states = [start]
        var edges: [[Edge]] = []
        var size = 0
        while edges.count < states.count {
            var own: [Edge] = []
            for (scalars, target) in following(states[edges.count]) {
                if numbers[target] == nil {
                    numbers[target] = states.count
                    states.append(target)
                }
                own.append(Edge(scalars: scalars, target: numbers[target]!))
            }
            edges.append(own)
            size += own.count + weight(states[edges.count - 1])
            guard size <= limit else {
                throw InputError(
                    .unsupported, in: place, expected: "something for an automaton of \(limit) states and edges",
                    found: "a need for more", remedy: "Use smaller repetitions and lengths.")
            }
        }
        return CharacterAutomaton(edges: edges, accepts: states.map(isAccepting)).trimmed()
    }

    /// Without the states from which no text is accepted; nil when the start is one.
    private func trimmed() -> CharacterAutomaton? {
        var sources = [[Int]](repeating: [], count: edges.count)
        for (state, own) in edges.enumerated() {
            for edge in own { sources[edge.target].append(state) }
        }
        var isAlive = accepts
        var pending = accepts.indices.filter { accepts[$0] }
        while let state = pending.popLast() {
            for source in sources[state] where !isAlive[source] {
                isAlive[source] = true
                pending.append(source)
            }
        }
        guard isAlive[0] else { return nil }
        var numbers: [Int: Int] = [:]
        for state in edges.indices where isAlive[state] { numbers[state] = numbers.count }
        var kept: [[Edge]] = []
        for state in edges.indices where isAlive[state] {
            kept.append(
                edges[state].compactMap { edge in
                    numbers[edge.target].map { Edge(scalars: edge.scalars, target: $0) }
                })
        }
        return CharacterAutomaton(edges: kept, accepts: edges.indices.filter { isAlive[$0] }.map { accepts[$0] })
    }

    private init(edges: [[Edge]], accepts: [Bool]) {
        self.edges = edges
        self.accepts = accepts
    }

    /// One character, any that is not a surrogate.
    static let anyCharacter = CharacterAutomaton(
        edges: [allScalars.map { Edge(scalars: $0, target: 1) }, []], accepts: [false, true])

    /// All Unicode scalars.
    static let allScalars: [ClosedRange<UInt32>] = [0...0xd7ff, 0xe000...0x10ffff]

    func next(_ state: Int, _ scalar: Unicode.Scalar) -> Int? {
        edges[state].first { $0.scalars.contains(scalar.value) }?.target
    }

    /// Whether the automaton recognises exactly this text.
    func matches(_ text: String) -> Bool {
        var state = 0
        for scalar in text.unicodeScalars {
            guard let next = next(state, scalar) else { return false }
            state = next
        }
        return accepts[state]
    }
}
