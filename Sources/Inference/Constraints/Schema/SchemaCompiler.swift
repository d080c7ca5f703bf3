//  A JSON Schema as terms: the documents that fit it.
//
//      schema      = one of its alternatives                     (SchemaAlternatives)
//      alternative = what all its schemas allow, type by type    (null | true | 3 | "a" | [...] | {...})
//
//  A schema that leads back to itself becomes a rule. What no value can fit is an error, unless it
//  is one alternative of several: then it is none. Time and memory are bounded by counting terms.

import DualityCore

/// Compiles one document.
struct SchemaCompiler {
    let document: SchemaDocument
    var json: JSONGrammar

    private enum Outcome {
        /// Being compiled; the rule is made when something inside refers to it.
        case pending(Term?)
        case done(Term)
    }

    private var outcomes: [[SchemaNode]: Outcome] = [:]
    /// More than 0 while an alternative is tried that may turn out to be none.
    private var trials = 0
    private var depth = 0

    /// Schemas inside each other on the way from the top, through references too.
    private static let depthLimit = 100
    /// About 64 MiB of terms.
    private static let sizeLimit = 1_000_000

    private init(_ document: SchemaDocument, _ json: JSONGrammar) {
        self.document = document
        self.json = json
    }

    /// The documents that fit a schema.
    ///
    /// - Parameter onlyObjects: whether other values are left out, as for the arguments of a tool.
    /// - Throws: `InputError` that names the keyword that is wrong, not kept, contradictory or too
    ///   large.
    static func compile(
        _ schema: JSON, place: String, onlyObjects: Bool = false, into json: inout JSONGrammar
    ) throws(InputError) -> Term {
        var compiler = SchemaCompiler(try SchemaDocument(schema, place: place), json)
        let term = try compiler.documents(onlyObjects)
        json = compiler.json
        return term
    }

    private mutating func documents(_ onlyObjects: Bool) throws(InputError) -> Term {
        var term: Term
        if onlyObjects {
            var objects = SchemaKeywords(path: document.path(document.top))
            objects.types = [.object]
            term = try union(of: [document.top], beside: [objects])
        } else {
            term = try value([document.top])
        }
        if term == .never { term = try contradiction([document.top]) }
        guard json.arena.isProductive(term) else {
            throw InputError(
                .value, in: document.path(document.top), expected: "a schema that some finite value fits",
                found: "one whose values would have to contain themselves")
        }
        return term
    }

    // MARK: Values

    /// The values that fit all of some schemas; `never` when one of them is false, or inside a
    /// trial.
    mutating func value(_ nodes: [SchemaNode]) throws(InputError) -> Term {
        if nodes.isEmpty { return json.value }
        for node in nodes where try document.keywords(node).isFalse { return .never }
        switch outcomes[nodes] {
        case .done(.never): return try contradiction(nodes)
        case .done(let term), .pending(let term?): return term
        case .pending(nil):
            let rule = json.arena.makeRule()
            outcomes[nodes] = .pending(rule)
            return rule
        case nil: break
        }
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthLimit else {
            throw InputError(
                .unsupported, in: document.path(nodes[0]),
                expected: "at most \(Self.depthLimit) schemas inside each other, references included",
                found: "one more")
        }
        outcomes[nodes] = .pending(nil)
        var term = try union(of: nodes, beside: [])
        if case .pending(let rule?) = outcomes[nodes], term != .never {
            json.arena.define(rule, as: term)
            term = rule
        }
        outcomes[nodes] = .done(term)
        return term == .never ? try contradiction(nodes) : term
    }

    /// Bounds memory, and time with it.
    func checkSize(_ schemas: [SchemaKeywords]) throws(InputError) {
        guard json.arena.size <= Self.sizeLimit else {
            throw InputError(
                .unsupported, in: schemas[0].path, expected: "a schema of at most \(Self.sizeLimit) parts, expanded",
                found: "more", remedy: "Use fewer optional properties and options.")
        }
    }

    /// `never` while an alternative is tried, else an error.
    private func contradiction(_ nodes: [SchemaNode]) throws(InputError) -> Term {
        if trials > 0 { return .never }
        throw InputError(
            .value, in: document.path(nodes[0]), expected: "keywords that some value fits",
            found: "keywords that contradict each other")
    }

    private mutating func union(
        of nodes: [SchemaNode], beside more: [SchemaKeywords]
    ) throws(InputError) -> Term {
        let alternatives = try document.alternatives(nodes)
        if alternatives.count > 1 { trials += 1 }
        defer { if alternatives.count > 1 { trials -= 1 } }
        var terms: [Term] = []
        for alternative in alternatives {
            var schemas = more
            for node in alternative { schemas.append(try document.keywords(node)) }
            terms.append(try values(schemas))
            try checkSize(schemas)
        }
        return json.arena.choice(terms)
    }

    /// The values that fit all of some schemas, which join no others.
    private mutating func values(_ schemas: [SchemaKeywords]) throws(InputError) -> Term {
        if schemas.contains(where: \.isFalse) { return .never }
        let listed = schemas.compactMap(\.values)
        if let first = listed.first {
            var terms: [Term] = []
            for value in first {
                var fits = true
                for schema in schemas where fits { fits = try document.admits(value, own: schema) }
                if fits { terms.append(json.exactly(value)) }
            }
            return json.arena.choice(terms)
        }
        let types = Self.types(schemas)
        if types == nil { return json.value }
        var terms: [Term] = []
        for type in SchemaType.allCases where types!.contains(type) {
            terms.append(try values(of: type, schemas))
        }
        return json.arena.choice(terms)
    }

    private mutating func values(of type: SchemaType, _ schemas: [SchemaKeywords]) throws(InputError) -> Term {
        switch type {
        case .null: return json.arena.literal("null")
        case .boolean: return json.arena.choice([json.arena.literal("false"), json.arena.literal("true")])
        case .integer: return try numbers(schemas, isInteger: true)
        case .number: return try numbers(schemas, isInteger: false)
        case .string: return try StringRules(schemas).term(&json)
        case .array: return try array(schemas)
        case .object: return try object(schemas)
        }
    }

    /// The types that all schemas allow; where none names any, those that their keywords speak of.
    /// Nil when nothing is said.
    private static func types(_ schemas: [SchemaKeywords]) -> Set<SchemaType>? {
        var result: Set<SchemaType>?
        for named in schemas.compactMap(\.types) {
            let own = named.contains(.number) ? named.union([.integer]) : named
            result = result?.intersection(own) ?? own
        }
        if let named = result { return named.contains(.number) ? named.subtracting([.integer]) : named }
        let implied = schemas.reduce(into: Set()) { $0.formUnion($1.impliedTypes) }
        return implied.isEmpty ? nil : implied
    }

    private mutating func numbers(_ schemas: [SchemaKeywords], isInteger: Bool) throws(InputError) -> Term {
        var range = NumberRange()
        range.isInteger = isInteger
        var place = ""
        for schema in schemas where !schema.range.isUnbounded {
            if place.isEmpty { place = schema.path }
            if let lower = schema.range.lower { range.limit(from: lower) }
            if let upper = schema.range.upper { range.limit(to: upper) }
            range.multiples += schema.range.multiples
            guard isInteger || schema.range.multiplesAreWhole else {
                throw InputError(
                    .unsupported, in: "\(schema.path).multipleOf", expected: "a whole number, or the type integer",
                    found: "a fraction")
            }
        }
        if !range.multiples.isEmpty { range.isInteger = true }
        if range.isUnbounded && !isInteger { return json.number }
        guard let automaton = try range.automaton(place: place) else { return .never }
        return json.arena.automaton(ByteAutomaton(automaton, spelling: .ascii))
    }
}
