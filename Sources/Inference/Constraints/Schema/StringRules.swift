//  What the keywords of several schemas say about one string, as one automaton.

import DualityCore

/// Lengths, patterns and formats that a string keeps at once.
struct StringRules {
    private var minLength = 0
    private var maxLength = Int.max
    /// Regular expressions and where they come from; a pattern may match anywhere, a format
    /// matches the whole.
    private var patterns: [(text: String, matchesWhole: Bool, place: String)] = []

    init(_ schemas: SchemaKeywords...) { self.init(schemas) }

    init(_ schemas: [SchemaKeywords]) {
        for schema in schemas {
            minLength = max(minLength, schema.minLength)
            maxLength = min(maxLength, schema.maxLength)
            if let pattern = schema.pattern { patterns.append((pattern, false, "\(schema.path).pattern")) }
            if let format = schema.format { patterns.append((format.pattern, true, "\(schema.path).format")) }
        }
    }

    /// The automata of the patterns; nil stands for one that matches nothing.
    func automata() throws(InputError) -> [CharacterAutomaton?] {
        var result: [CharacterAutomaton?] = []
        for pattern in patterns {
            result.append(
                try RegexProgram.automaton(pattern.text, matchesWhole: pattern.matchesWhole, place: pattern.place))
        }
        return result
    }

    /// The quoted strings; `never` when there are none.
    func term(_ json: inout JSONGrammar) throws(InputError) -> Term {
        guard minLength <= maxLength else { return .never }
        if patterns.isEmpty { return json.string(least: minLength, most: maxLength) }
        let automata = try automata()
        guard !automata.contains(where: { $0 == nil }),
            let both = try intersection(automata.compactMap { $0 })
        else { return .never }
        return json.quoted(json.arena.automaton(ByteAutomaton(both, spelling: .json)))
    }

    private struct Places: Hashable {
        var states: [Int]
        var length = 0
    }

    /// The texts of all automata whose length is within bounds; nil when there are none.
    private func intersection(_ automata: [CharacterAutomaton]) throws(InputError) -> CharacterAutomaton? {
        if automata.count == 1, minLength == 0, maxLength == .max { return automata[0] }
        // A length counts up to the last one that makes a difference.
        let lengthLimit = maxLength == .max ? minLength : maxLength
        return try CharacterAutomaton.exploring(
            from: Places(states: automata.map { _ in 0 }), place: patterns[0].place
        ) { places in
            if maxLength != .max, places.length == maxLength { return [] }
            var edges = automata[0].edges[places.states[0]].map { (scalars: $0.scalars, states: [$0.target]) }
            for (automaton, state) in zip(automata, places.states).dropFirst() {
                edges = edges.flatMap { edge in
                    automaton.edges[state].filter { $0.scalars.overlaps(edge.scalars) }.map {
                        (edge.scalars.clamped(to: $0.scalars), edge.states + [$0.target])
                    }
                }
            }
            let length = min(places.length + 1, lengthLimit)
            return edges.map { ($0.scalars, Places(states: $0.states, length: length)) }
        } accepts: { places in
            places.length >= minLength && zip(automata, places.states).allSatisfy { $0.accepts[$1] }
        }
    }
}
