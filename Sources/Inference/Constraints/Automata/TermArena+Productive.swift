//  Whether a grammar leads anywhere: a rule whose every text contains another of its own has none.

extension TermArena {
    /// Whether every rule that a term reaches has a text.
    ///
    /// The texts of rules are found bottom up: a term is made after its parts, so that one pass in
    /// the order of their numbers finds all that do not depend on rules not yet known.
    func isProductive(_ start: Term) -> Bool {
        let reached = rules(reachedFrom: start)
        var known = Set<Int32>()
        while true {
            var hasText = [Bool](repeating: false, count: count)
            for index in 0..<count {
                hasText[index] = self.hasText(Term(index: Int32(index)), known) { hasText[Int($0.index)] }
            }
            let found = reached.filter { !known.contains($0) && hasText[Int(body(of: $0).index)] }
            known.formUnion(found)
            if found.isEmpty { return known.count == reached.count && hasText[Int(start.index)] }
        }
    }

    private func hasText(_ term: Term, _ known: Set<Int32>, _ part: (Term) -> Bool) -> Bool {
        switch node(term) {
        case .never: false
        case .empty, .literal, .automaton: true
        case .sequence(let first, let second): part(first) && part(second)
        case .choice(let options): options.contains(where: part)
        case .repetition(let body, let least, _): least == 0 || part(body)
        case .rule(let number): known.contains(number)
        }
    }

    private func rules(reachedFrom start: Term) -> Set<Int32> {
        var seen: Set<Term> = [start]
        var pending = [start]
        var rules = Set<Int32>()
        while let term = pending.popLast() {
            var parts: [Term] = []
            switch node(term) {
            case .never, .empty, .literal, .automaton: break
            case .sequence(let first, let second): parts = [first, second]
            case .choice(let options): parts = options
            case .repetition(let body, _, _): parts = [body]
            case .rule(let number):
                rules.insert(number)
                parts = [body(of: number)]
            }
            for part in parts where seen.insert(part).inserted { pending.append(part) }
        }
        return rules
    }
}
