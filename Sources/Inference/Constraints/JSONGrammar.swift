//  JSON as terms (RFC 8259), with bounds where a model could otherwise go on for ever.
//
//      ws      = "" | " " | lf lf? (space | tab){0,20}
//      value   = object | array | string | number | "true" | "false" | "null"
//      object  = "{" ws ( "}" | member ( "," ws member )* "}" )       member  = string ws ":" ws value ws
//      array   = "[" ws ( "]" | item ( "," ws item )* "]" )           item    = value ws
//      number  = "-"? (0 | [1-9] digit{0,15}) ("." digit{1,24})? ([eE] [+-]? digit{1,2})?
//
//  At most one stretch of white space stands between two tokens, and none around the document:
//  white space without bound is what models fall into that have nothing else to say.

import DualityCore

/// The terms that all JSON is made of.
struct JSONGrammar: Sendable {
    var arena = TermArena()
    /// White space between two tokens.
    let space: Term
    /// One character inside a string.
    let character: Term
    /// The number of any value.
    let number: Term
    /// Any value.
    let value: Term
    /// Any object.
    let object: Term

    static let integerDigits = 16
    static let fractionDigits = 24
    static let exponentDigits = 2

    init() {
        space = arena.automaton(Self.spaceAutomaton)
        character = arena.automaton(ByteAutomaton(.anyCharacter, spelling: .json))
        number = arena.automaton(Self.numberAutomaton)
        value = arena.makeRule()
        object = arena.makeRule()
        let array = arena.makeRule()
        let name = string()
        arena.define(object, as: members(of: member(name, value)))
        arena.define(array, as: items(of: value))
        let words = ["true", "false", "null"].map { arena.literal($0) }
        arena.define(value, as: arena.choice([object, array, name, number] + words))
    }

    /// A string of so many characters.
    mutating func string(least: Int = 0, most: Int = .max) -> Term {
        quoted(arena.repetition(character, least, most))
    }

    mutating func quoted(_ body: Term) -> Term {
        arena.sequence([arena.literal("\""), body, arena.literal("\"")])
    }

    /// A member of an object, with the white space behind it.
    mutating func member(_ name: Term, _ value: Term) -> Term {
        arena.sequence([name, space, arena.literal(":"), space, value, space])
    }

    /// An object of any number of members.
    private mutating func members(of member: Term) -> Term {
        list("{", "}", first: member, next: member)
    }

    /// An array of any number of values.
    private mutating func items(of value: Term) -> Term {
        let item = arena.sequence(value, space)
        return list("[", "]", first: item, next: item)
    }

    private mutating func list(_ open: String, _ close: String, first: Term, next: Term) -> Term {
        let comma = arena.sequence([arena.literal(","), space, next])
        let some = arena.sequence([first, arena.repetition(comma), arena.literal(close)])
        return arena.sequence([arena.literal(open), space, arena.choice([arena.literal(close), some])])
    }

    /// One value as it is written, but for white space.
    mutating func exactly(_ value: JSON) -> Term {
        switch value {
        case .null, .bool, .number: return arena.literal(value.serialized())
        case .string(let text): return arena.literal(quotedText(text))
        case .array(let items):
            let terms = items.map { arena.sequence(exactly($0), space) }
            return listed("[", "]", terms)
        case .object(let object):
            let terms = object.members.map { member(arena.literal(quotedText($0.name)), exactly($0.value)) }
            return listed("{", "}", terms)
        }
    }

    private mutating func listed(_ open: String, _ close: String, _ items: [Term]) -> Term {
        var parts = [arena.literal(open), space]
        for (index, item) in items.enumerated() {
            parts += index == 0 ? [item] : [arena.literal(","), space, item]
        }
        return arena.sequence(parts + [arena.literal(close)])
    }

    private func quotedText(_ text: String) -> String {
        var quoted = ""
        JSON.writeQuoted(text, to: &quoted)
        return quoted
    }

    // MARK: Automata

    private typealias Edge = ByteAutomaton.Edge

    private static let spaceAutomaton: ByteAutomaton = {
        var automaton = ByteAutomaton()
        automaton.append([Edge(10, 10, to: 1), Edge(32, 32, to: 23)], accepts: true)
        // State 1 is behind the first line feed, 2 behind the second, 3 ... 22 behind indentation.
        let indented = { (count: Int) in [Edge(9, 9, to: Int32(3 + count)), Edge(32, 32, to: Int32(3 + count))] }
        automaton.append([indented(0)[0], Edge(10, 10, to: 2), indented(0)[1]], accepts: true)
        automaton.append(indented(0), accepts: true)
        for count in 1...20 { automaton.append(count < 20 ? indented(count) : [], accepts: true) }
        automaton.append([], accepts: true)
        return automaton
    }()

    /// Numbers that every reader takes for finite ones.
    private static let numberAutomaton: ByteAutomaton = {
        var automaton = ByteAutomaton()
        let digits = { (low: Character, target: Int) in Edge(low.asciiValue!, 57, to: Int32(target)) }
        // 0 start, 1 behind "-", 2 behind 0, 3 ... 18 behind digits, 19 ... 43 fraction, 44 ... 47.
        let (fraction, exponent) = (2 + integerDigits + 1, 2 + integerDigits + 1 + fractionDigits + 1)
        let tail = [Edge(46, 46, to: Int32(fraction)), Edge(69, 69, to: Int32(exponent))]
        let lower = Edge(101, 101, to: Int32(exponent))
        automaton.append([Edge(45, 45, to: 1), Edge(48, 48, to: 2), digits("1", 3)], accepts: false)
        automaton.append([Edge(48, 48, to: 2), digits("1", 3)], accepts: false)
        automaton.append(tail + [lower], accepts: true)
        for count in 1...integerDigits {
            let more = count < integerDigits ? [digits("0", 3 + count)] : []
            automaton.append([tail[0]] + more + [tail[1], lower], accepts: true)
        }
        for count in 0...fractionDigits {
            let more = count < fractionDigits ? [digits("0", fraction + count + 1)] : []
            automaton.append(more + (count > 0 ? [tail[1], lower] : []), accepts: count > 0)
        }
        let signs = [Edge(43, 43, to: Int32(exponent + 1)), Edge(45, 45, to: Int32(exponent + 1))]
        automaton.append(signs + [digits("0", exponent + 2)], accepts: false)
        for count in 0...exponentDigits {
            automaton.append(
                count < exponentDigits ? [digits("0", exponent + 2 + count)] : [], accepts: count > 0)
        }
        return automaton
    }()
}
