//  Objects and arrays of a schema.
//
//      object   "{" ws M0                 M_i  = [ "," ws ] name_i ":" value_i ws M_i+1  | M_i+1 if optional
//      array    "[" ws A0                 A_i  = [ "," ws ] item_i ws A_i+1  | "]" from minItems on
//
//  Members come in the order of the schema. A name that no schema declares is allowed where a
//  schema says so, or where none declares any.

import DualityCore

extension SchemaCompiler {
    private struct Member {
        let name: String
        let isRequired: Bool
        let value: Term
    }

    // MARK: Objects

    mutating func object(_ schemas: [SchemaKeywords]) throws(InputError) -> Term {
        let additional = schemas.compactMap(\.additional)
        let isOpen = !additional.isEmpty || schemas.allSatisfy { $0.properties == nil }
        guard let members = try members(schemas, additional) else { return .never }
        let more = isOpen ? try value(additional) : .never
        if members.isEmpty && more == json.value { return json.object }
        let close = json.arena.literal("}")
        let comma = json.arena.sequence(json.arena.literal(","), json.space)
        // Behind the declared members: with others before them, and with none.
        var (behindSome, behindNone) = (close, close)
        if more != .never {
            let member = json.member(try otherName(members.map(\.name)), more)
            let others = json.arena.repetition(json.arena.sequence(comma, member))
            behindSome = json.arena.sequence(others, close)
            behindNone = json.arena.choice([close, json.arena.sequence(member, behindSome)])
        }
        for member in members.reversed() where member.value != .never {
            var quoted = ""
            JSON.writeQuoted(member.name, to: &quoted)
            let first = json.arena.sequence(json.member(json.arena.literal(quoted), member.value), behindSome)
            let later = json.arena.sequence(comma, first)
            behindSome = member.isRequired ? later : json.arena.choice([later, behindSome])
            behindNone = member.isRequired ? first : json.arena.choice([first, behindNone])
            try checkSize(schemas)
        }
        return json.arena.sequence([json.arena.literal("{"), json.space, behindNone])
    }

    /// The declared and the required members; nil when a required one has no value.
    private mutating func members(
        _ schemas: [SchemaKeywords], _ additional: [SchemaNode]
    ) throws(InputError) -> [Member]? {
        var names: [String] = []
        var known = Set<ExactString>()
        for name in schemas.flatMap({ $0.properties?.map(\.name) ?? [] }) + schemas.flatMap(\.required)
        where known.insert(ExactString(name)).inserted { names.append(name) }
        let required = Set(schemas.flatMap(\.required).map(ExactString.init))
        // For each schema, its own schemas by name.
        let declared = schemas.map { schema in
            Dictionary((schema.properties ?? []).map { (ExactString($0.name), $0.schema) }) { first, _ in first }
        }
        var members: [Member] = []
        for name in names {
            var nodes: [SchemaNode] = []
            for (schema, declared) in zip(schemas, declared) {
                if let node = declared[ExactString(name)] ?? schema.additional, !nodes.contains(node) {
                    nodes.append(node)
                }
            }
            let value = try value(nodes)
            let isRequired = required.contains(ExactString(name))
            if isRequired && value == .never { return nil }
            members.append(Member(name: name, isRequired: isRequired, value: value))
        }
        return members
    }

    /// A string that is none of these names.
    private mutating func otherName(_ names: [String]) throws(InputError) -> Term {
        if names.isEmpty { return json.string() }
        // State 0 is the beginning, -1 is different from all of them.
        var children: [[UInt32: Int]] = [[:]]
        var ends = Set<Int>()
        for name in names {
            var node = 0
            for scalar in name.unicodeScalars {
                if children[node][scalar.value] == nil {
                    children[node][scalar.value] = children.count
                    children.append([:])
                }
                node = children[node][scalar.value]!
            }
            ends.insert(node)
        }
        let automaton = try CharacterAutomaton.exploring(from: 0, place: document.path(document.top)) { state in
            if state == -1 { return CharacterAutomaton.allScalars.map { ($0, -1) } }
            let own = children[state].map { (scalars: $0...$0, target: $1) }
            let others = CharacterClasses.complement(own.map(\.scalars)).map { (scalars: $0, target: -1) }
            return (own + others).sorted { $0.scalars.lowerBound < $1.scalars.lowerBound }
        } accepts: {
            !ends.contains($0)
        }
        return json.quoted(json.arena.automaton(ByteAutomaton(automaton!, spelling: .json)))
    }

    // MARK: Arrays

    mutating func array(_ schemas: [SchemaKeywords]) throws(InputError) -> Term {
        let least = schemas.reduce(0) { max($0, $1.minItems) }
        var most = schemas.reduce(Int.max) { min($0, $1.maxItems) }
        let prefixLength = schemas.reduce(0) { max($0, $1.prefixItems.count) }
        var items: [Term] = []
        for index in 0..<prefixLength where items.count == index && index < most {
            let item = try value(schemas.compactMap { self.item(index, of: $0) })
            if item == .never { most = index } else { items.append(item) }
        }
        var rest = Term.never
        if most > prefixLength {
            rest = try value(schemas.compactMap(\.items))
            if rest == .never { most = items.count }
        }
        guard least <= most else { return .never }
        return array(items, rest, least, most)
    }

    private func item(_ index: Int, of schema: SchemaKeywords) -> SchemaNode? {
        index < schema.prefixItems.count ? schema.prefixItems[index] : schema.items
    }

    private mutating func array(_ items: [Term], _ rest: Term, _ least: Int, _ most: Int) -> Term {
        let close = json.arena.literal("]")
        let comma = json.arena.sequence(json.arena.literal(","), json.space)
        let count = items.count
        let next = json.arena.sequence([comma, rest, json.space])
        let more = most == .max ? Int.max : most - max(count, 1)
        // What follows the prefix, or the first item where there is none.
        var behind = json.arena.sequence(
            rest == .never ? .empty : json.arena.repetition(next, max(least - max(count, 1), 0), more), close)
        if items.isEmpty {
            let some = json.arena.sequence([rest, json.space, behind])
            behind = json.arena.choice([least == 0 ? close : .never, some])
        }
        for (index, item) in items.enumerated().reversed() {
            let separator = index == 0 ? Term.empty : comma
            let some = json.arena.sequence([separator, item, json.space, behind])
            behind = json.arena.choice([index >= least ? close : .never, some])
        }
        return json.arena.sequence([json.arena.literal("["), json.space, behind])
    }
}
