//  From the rules of a request to the constraint of its sequences.
//
//      answer  = thought? body
//      body    = text | document | calls                     as form, tools and toolChoice say
//      text    = any bytes without "<tool_call>", or any bytes up to it and then the rest of calls
//      calls   = call (lf* call)*
//      call    = "<tool_call>" ws {"name": NAME, "arguments": ARGUMENTS} ws "</tool_call>"
//
//  Rules that were met before are not compiled again: an agent sends the same tools with every
//  turn.

import DualityCore
import Synchronization

/// Makes constraints, and remembers those of recent requests. Safe to use from several threads at
/// once.
public final class ConstraintCompiler: Sendable {
    private struct Entry {
        let rules: AnswerRules
        let automaton: TokenAutomaton
    }

    private let trie: TokenTrie
    private let recent = Mutex<[Entry]>([])
    private let capacity: Int
    /// Automata that have learned more than this are made anew for the next request.
    private static let memoryLimit = 256 << 20

    /// - Parameter capacity: how many sets of rules are remembered.
    public init(_ trie: TokenTrie, capacity: Int = 16) {
        self.trie = trie
        self.capacity = capacity
    }

    /// The constraint of answers under these rules, at its beginning; nil when nothing is
    /// forbidden.
    ///
    /// - Throws: `InputError` that names the part of a schema, pattern or choice that is wrong
    ///   (`.value`, `.json`), or not done or too large (`.unsupported`).
    public func constraint(_ rules: AnswerRules) throws(InputError) -> TokenConstraint? {
        guard rules.isConstraining else { return nil }
        if let known = known(rules) { return TokenConstraint(known) }
        var grammar = AnswerGrammar(rules)
        let start = try grammar.answer()
        let automaton = TokenAutomaton(grammar.json.arena, start: start, trie: trie)
        recent.withLock { recent in
            recent.insert(Entry(rules: rules, automaton: automaton), at: 0)
            if recent.count > capacity { recent.removeLast() }
        }
        return TokenConstraint(automaton)
    }

    /// The automaton of equal rules, which becomes the most recent.
    private func known(_ rules: AnswerRules) -> TokenAutomaton? {
        recent.withLock { recent in
            guard let index = recent.firstIndex(where: { $0.rules == rules }) else { return nil }
            let entry = recent.remove(at: index)
            guard entry.automaton.memory < Self.memoryLimit else { return nil }
            recent.insert(entry, at: 0)
            return entry.automaton
        }
    }
}
