//  What may still follow, as an expression that bytes take away from.
//
//      t ::= never | empty | literal | automaton state | t t | t or t | t{least, most} | rule
//
//  The derivative of a set of texts by a byte is the set of what may follow that byte (Brzozowski,
//  Derivatives of regular expressions, 1964); with named rules the expressions are a context-free
//  grammar and recursion costs nothing (Might, Darais, Spiewak, Parsing with derivatives, 2011). A
//  text is checked byte by byte: no stack besides the expression, no backtracking. Equal
//  expressions are one number, so that a state of the parse is a number and what was learned of it
//  is kept.

/// The number of an expression in its arena.
struct Term: Hashable, Sendable {
    let index: Int32

    /// No text.
    static let never = Term(index: 0)
    /// The empty text.
    static let empty = Term(index: 1)
}

/// The expressions of a grammar and everything derived from them.
struct TermArena: Sendable {
    enum Node: Hashable, Sendable {
        case never
        case empty
        /// The rest of a literal from `position` on, not empty.
        case literal(Int32, position: Int32)
        case automaton(Int32, state: Int32)
        case sequence(Term, Term)
        /// At least two terms, sorted, none of them a choice.
        case choice([Term])
        /// The body is not nullable.
        case repetition(Term, least: Int, most: Int)
        case rule(Int32)
    }

    private struct Derivation: Hashable {
        let term: Term
        let byte: UInt8
    }

    private var nodes: [Node] = [.never, .empty]
    private var numbers: [Node: Term] = [.never: .never, .empty: .empty]
    private var nullable = [false, true]
    /// How deep `derivative` goes into a term.
    private var depths: [Int32] = [0, 0]
    private var literals: [[UInt8]] = []
    private var literalNumbers: [[UInt8]: Int32] = [:]
    private var automata: [ByteAutomaton] = []
    private var automatonNumbers: [ByteAutomaton: Int32] = [:]
    private var rules: [Term] = []
    private var derivatives: [Derivation: Term] = [:]
    /// A measure of memory: expressions and their parts.
    private(set) var size = 0

    /// An expression that goes deeper than this has no derivative. Only grammars that let two
    /// different recursions run side by side come near it.
    private static let depthLimit = 500

    /// How many terms there are.
    var count: Int { nodes.count }

    func node(_ term: Term) -> Node { nodes[Int(term.index)] }

    /// Whether the empty text is one of the term's.
    func isNullable(_ term: Term) -> Bool { nullable[Int(term.index)] }

    // MARK: Making terms

    private mutating func intern(_ node: Node, nullable isNullable: Bool, depth: Int32) -> Term {
        if let term = numbers[node] { return term }
        let term = Term(index: Int32(nodes.count))
        nodes.append(node)
        numbers[node] = term
        nullable.append(isNullable)
        depths.append(depth)
        size += 1
        if case .choice(let options) = node { size += options.count }
        return term
    }

    private func depth(_ term: Term) -> Int32 { depths[Int(term.index)] }

    /// Exactly this text.
    mutating func literal(_ text: some Sequence<UInt8>) -> Term {
        let text = Array(text)
        if text.isEmpty { return .empty }
        if literalNumbers[text] == nil {
            literalNumbers[text] = Int32(literals.count)
            literals.append(text)
            size += text.count
        }
        return intern(.literal(literalNumbers[text]!, position: 0), nullable: false, depth: 1)
    }

    mutating func literal(_ text: String) -> Term { literal(text.utf8) }

    /// The texts of an automaton.
    mutating func automaton(_ automaton: ByteAutomaton) -> Term {
        if automatonNumbers[automaton] == nil {
            automatonNumbers[automaton] = Int32(automata.count)
            automata.append(automaton)
            size += automaton.edges.count + automaton.stateCount
        }
        return state(0, of: automatonNumbers[automaton]!)
    }

    private mutating func state(_ state: Int, of number: Int32) -> Term {
        let accepts = automata[Int(number)].accepts[state]
        if accepts && automata[Int(number)].starts[state] == automata[Int(number)].starts[state + 1] { return .empty }
        return intern(.automaton(number, state: Int32(state)), nullable: accepts, depth: 1)
    }

    /// A text of `first` and then one of `second`.
    mutating func sequence(_ first: Term, _ second: Term) -> Term {
        if first == .never || second == .never { return .never }
        if second == .empty { return first }
        // Sequences lean to the right: the head is what the next byte meets.
        var heads: [Term] = []
        var last = first
        while case .sequence(let head, let tail) = node(last) {
            heads.append(head)
            last = tail
        }
        if last != .empty { heads.append(last) }
        var result = second
        for head in heads.reversed() {
            let depth = depth(head) + 1
            result = intern(
                .sequence(head, result), nullable: isNullable(head) && isNullable(result),
                depth: isNullable(head) ? max(depth, self.depth(result) + 1) : depth)
        }
        return result
    }

    mutating func sequence(_ terms: [Term]) -> Term {
        var result = Term.empty
        for term in terms.reversed() { result = sequence(term, result) }
        return result
    }

    /// A text of any of the terms.
    ///
    /// What begins with the same term is joined behind it, so that two ways to read one text cost
    /// no more than one as long as they agree.
    mutating func choice(_ options: [Term]) -> Term {
        var flat: [Term] = []
        for option in options where option != .never {
            if case .choice(let inner) = node(option) { flat += inner } else { flat.append(option) }
        }
        if flat.count < 2 { return flat.first ?? .never }
        flat = Set(flat).sorted { $0.index < $1.index }
        var tails: [Term: [Term]] = [:]
        var heads: [Term] = []
        for option in flat {
            var (head, tail) = (option, Term.empty)
            if case .sequence(let first, let rest) = node(option) { (head, tail) = (first, rest) }
            if tails[head] == nil { heads.append(head) }
            tails[head, default: []].append(tail)
        }
        if heads.count < flat.count {
            flat = []
            for head in heads { flat.append(sequence(head, choice(tails[head]!))) }
            return choice(flat)
        }
        if flat.count == 1 { return flat[0] }
        let depth = flat.reduce(0) { max($0, self.depth($1)) } + 1
        return intern(.choice(flat), nullable: flat.contains(where: isNullable), depth: depth)
    }

    /// `least ... most` texts of a body, one after another.
    ///
    /// - Parameter body: not nullable.
    mutating func repetition(_ body: Term, _ least: Int = 0, _ most: Int = .max) -> Term {
        precondition(!isNullable(body))
        if least > most { return .never }
        if most == 0 || body == .never { return least == 0 ? .empty : .never }
        if least == 1 && most == 1 { return body }
        return intern(
            .repetition(body, least: least, most: most), nullable: least == 0, depth: depth(body) + 1)
    }

    mutating func optional(_ term: Term) -> Term { choice([.empty, term]) }

    // MARK: Rules

    /// A rule to be defined later; its texts are not empty.
    mutating func makeRule() -> Term {
        rules.append(.never)
        return intern(.rule(Int32(rules.count - 1)), nullable: false, depth: 1)
    }

    /// - Parameter body: not nullable, and beginning with something other than the rule itself.
    mutating func define(_ rule: Term, as body: Term) {
        guard case .rule(let number) = node(rule) else { preconditionFailure("not a rule") }
        precondition(!isNullable(body))
        rules[Int(number)] = body
    }

    func body(of rule: Int32) -> Term { rules[Int(rule)] }

    // MARK: Taking a byte away

    /// What may follow `byte` in a text of `term`.
    mutating func derivative(_ term: Term, _ byte: UInt8) -> Term {
        switch node(term) {
        case .never, .empty:
            return .never
        case .literal(let number, let position):
            let text = literals[Int(number)]
            guard text[Int(position)] == byte else { return .never }
            if Int(position) + 1 == text.count { return .empty }
            return intern(.literal(number, position: position + 1), nullable: false, depth: 1)
        case .automaton(let number, let state):
            guard let next = automata[Int(number)].next(Int(state), byte) else { return .never }
            return self.state(next, of: number)
        case .sequence(let head, let tail):
            let behindHead = sequence(derivative(head, byte), tail)
            return isNullable(head) ? choice([behindHead, derivative(tail, byte)]) : behindHead
        case .repetition(let body, let least, let most):
            let rest = repetition(body, max(least - 1, 0), most == .max ? .max : most - 1)
            return sequence(derivative(body, byte), rest)
        case .choice, .rule:
            return remembered(term, byte)
        }
    }

    private mutating func remembered(_ term: Term, _ byte: UInt8) -> Term {
        let key = Derivation(term: term, byte: byte)
        if let known = derivatives[key] { return known }
        guard depth(term) <= Self.depthLimit else { return .never }
        var result = Term.never
        switch node(term) {
        case .rule(let number): result = derivative(rules[Int(number)], byte)
        case .choice(let options):
            var results: [Term] = []
            for option in options {
                let next = derivative(option, byte)
                if next != .never { results.append(next) }
            }
            result = choice(results)
        default: preconditionFailure("only choices and rules are remembered")
        }
        derivatives[key] = result
        size += 1
        return result
    }
}
