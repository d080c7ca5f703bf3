import DualityCore
import Testing

@testable import DualityInference

/// Schemas and documents that the Python package jsonschema has judged (Fixtures/schemas/make.py).
@Suite struct SchemaTests {
    private func rules(_ schema: JSON) -> AnswerRules {
        var rules = AnswerRules()
        rules.form = .schema(schema, place: "schema")
        return rules
    }

    private func rules(_ schema: String) throws -> AnswerRules { rules(try JSON(parsing: schema)) }

    @Test func documentsThatFitAreAcceptedAndOthersAreNot() throws {
        let cases = try cases("schemas/schemas.json")
        #expect(cases.count == 200)
        for one in cases {
            let schema = try #require(one["schema"])
            for text in one["valid"]?.array ?? [] {
                #expect(
                    try ConstraintFixtures.accepts(text.string!, rules(schema)),
                    "\(text.string!), \(schema.serialized())")
            }
            for text in one["invalid"]?.array ?? [] {
                #expect(
                    try !ConstraintFixtures.accepts(text.string!, rules(schema)),
                    "\(text.string!), \(schema.serialized())")
            }
        }
    }

    /// Any model under the constraint, here one that draws from the mask: what comes out fits.
    @Test func walksThroughTheMasksFit() throws {
        var random = RandomSource(seed: 5)
        var ended = 0
        for one in try cases("schemas/schemas.json") {
            let schema = try #require(one["schema"])
            for haste in [true, false] {
                guard let text = try ConstraintFixtures.walk(rules(schema), &random, limit: 250, haste: haste) else {
                    continue
                }
                ended += 1
                let value = try JSON(parsing: text)
                #expect(SchemaChecker(root: schema).fits(value), "\(text), \(schema.serialized())")
            }
        }
        #expect(ended > 200, "of 400 walks")
    }

    static let kept: [(schema: String, fits: [String], fails: [String])] = [
        // Members in order; optional ones may be missing; no others unless the schema says so.
        (
            #"{"properties": {"a": {"type": "integer"}, "b": {}}, "required": ["b"]}"#,
            [#"{"a": 1, "b": []}"#, #"{"b": {"c": 1}}"#], [#"{"b": 1, "a": 1}"#, #"{"a": 1}"#, #"{"b": 1, "c": 1}"#]
        ),
        (#"{"type": "object", "required": ["z"]}"#, [#"{"z": 1}"#, #"{"z": 1, "b": 2}"#], ["{}", #"{"b": 1}"#]),
        (
            #"{"properties": {"name": {"type": "string"}}, "additionalProperties": {"type": "integer"}}"#,
            [#"{"name": "x", "y": 1, "namex": 2, "nam": 3}"#, "{}", #"{"y": 1}"#],
            [#"{"y": "a"}"#, #"{"y": 1, "name": 2}"#, "{\"n\\u0061me\": 2}"]
        ),
        // Names and lengths are counted in characters, however they are written.
        (
            #"{"type": "string", "minLength": 2, "maxLength": 2}"#,
            [#""😀é""#, "\"\\ud83d\\ude00\\n\""], [#""😀""#, #""aaa""#, "\"\\ud83d\\ude00\""]
        ),
        (#"{"type": "string", "pattern": "b+"}"#, [#""abba""#, "\"\\u0062\""], [#""aaa""#, #""""#]),
        (#"{"type": "string", "pattern": "^a.*z$", "maxLength": 3}"#, [#""az""#, #""a😀z""#], [#""abcz""#, #""a""#]),
        // allOf joins, anyOf distributes, contradictory options vanish.
        (
            #"{"allOf": [{"required": ["a"]}, {"properties": {"a": {"minimum": 3}}}, {"properties": {"a": {"type": "integer"}, "b": {}}}]}"#,
            [#"{"a": 3}"#, #"{"a": 4, "b": 1}"#], ["{}", #"{"a": 2}"#, #"{"a": 3.5}"#]
        ),
        (
            #"{"properties": {"kind": {"enum": ["x", "y"]}}, "required": ["kind"], "anyOf": [{"properties": {"kind": {"const": "x"}, "p": {"type": "integer"}}, "required": ["p"]}, {"properties": {"kind": {"const": "y"}}}]}"#,
            [#"{"kind": "x", "p": 1}"#, #"{"kind": "y"}"#], [#"{"kind": "x"}"#, #"{"kind": "y", "p": 1}"#]
        ),
        (#"{"type": ["string", "null"], "enum": ["a", null, 3]}"#, [#""a""#, "null"], ["3", #""b""#]),
        (
            #"{"enum": [1, {"b": [2, {}]}], "type": ["object", "integer"]}"#, ["1", "{ \"b\": [\n  2,{}]}"],
            ["{}", "2"]
        ),
        // Recursion, references into the document, false.
        (
            ##"{"$defs": {"a/b c": {"type": "array", "items": {"$ref": "#/$defs/a~1b%20c"}}}, "$ref": "#/$defs/a~1b%20c"}"##,
            ["[]", "[[], [[]]]"], ["[1]", "["]
        ),
        (
            #"{"prefixItems": [{"type": "integer"}, {}], "items": false, "minItems": 1}"#, ["[1]", #"[1, "a"]"#],
            ["[]", "[1, 2, 3]"]
        ),
        ("{}", ["1", "[]", #""a""#, "true"], [""]),
        // White space: one blank, or one or two line feeds and up to twenty of indentation.
        (
            #"{"type": "array", "items": {"type": "null"}}"#, ["[ ]", "[\n\n\t null ]"],
            ["[  ]", "[\n\n\n]", "[ \n]", "[]\n", " []"]
        ),
        (#"{"type": "integer"}"#, ["0", "-1", "1234567890123456"], ["12345678901234567", "1.0", "01", "-0", "1e3"]),
        (#"{"type": "integer", "minimum": 1e18}"#, ["1000000000000000001"], ["999999999999999999"]),
        (#"{"type": "integer", "multipleOf": 2.5}"#, ["5", "-10"], ["2", "3"]),
    ]

    @Test(arguments: kept) func keywordsAreKept(_ schema: String, _ fits: [String], _ fails: [String]) throws {
        let rules = try rules(schema)
        for text in fits { #expect(try ConstraintFixtures.accepts(text, rules), "\(text)") }
        for text in fails { #expect(try !ConstraintFixtures.accepts(text, rules), "\(text)") }
    }

    static let refused: [(schema: String, place: String)] = [
        (#"{"type": "object", "properties": {"a": {"not": {}}}}"#, "schema.properties.a.not"),
        (#"{"items": {"uniqueItems": true}}"#, "schema.items.uniqueItems"),
        (#"{"anyOf": [{}, {"if": {}}]}"#, "schema.anyOf[1].if"),
        (#"{"minProperties": 1}"#, "schema.minProperties"),
        (##"{"$ref": "#/$defs/b", "$defs": {"b": {"$dynamicRef": "#b"}}}"##, "schema.$defs.b.$dynamicRef"),
        (##"{"$ref": "#/$defs/b"}"##, "schema.$ref"),
        (#"{"$ref": "http://example.com/s"}"#, "schema.$ref"),
        (#"{"format": "uri"}"#, "schema.format"),
        (#"{"type": "text"}"#, "schema.type"), (#"{"type": []}"#, "schema.type"), ("7", "schema"),
        (#"{"minLength": -1}"#, "schema.minLength"), (#"{"minItems": 1.5}"#, "schema.minItems"),
        (#"{"enum": []}"#, "schema.enum"), (#"{"items": [{}]}"#, "schema.items"),
        (#"{"properties": []}"#, "schema.properties"), (#"{"required": [1]}"#, "schema.required"),
        (#"{"pattern": "(?=a)"}"#, "schema.pattern"), (#"{"pattern": "("}"#, "schema.pattern"),
        (#"{"multipleOf": 0}"#, "schema.multipleOf"), (#"{"type": "number", "multipleOf": 0.5}"#, "schema.multipleOf"),
        (#"{"maximum": "3"}"#, "schema.maximum"), (#"{"maximum": 1e9999}"#, "schema.maximum"),
        // Nothing fits.
        ("false", "schema"), (#"{"allOf": [{"type": "string"}, {"type": "integer"}]}"#, "schema"),
        (#"{"properties": {"a": {"allOf": [{"const": 1}, {"const": 2}]}}}"#, "schema.properties.a"),
        (#"{"type": "integer", "minimum": 3, "exclusiveMaximum": 3}"#, "schema"),
        (#"{"type": "string", "pattern": "^[a-z]$", "format": "date"}"#, "schema"),
        (#"{"type": "object", "required": ["a"], "additionalProperties": false}"#, "schema"),
        (#"{"minItems": 3, "maxItems": 2}"#, "schema"), (#"{"type": "string", "enum": [1]}"#, "schema"),
        (##"{"properties": {"a": {"$ref": "#"}}, "required": ["a"]}"##, "schema"),
        (##"{"anyOf": [{"$ref": "#"}, {"type": "string"}]}"##, "schema"), (##"{"$ref": "#"}"##, "schema"),
    ]

    @Test(arguments: refused) func whatIsNotKeptIsRefusedWithItsPath(_ schema: String, _ place: String) throws {
        let rules = try rules(schema)
        let error = #expect(throws: InputError.self) { try ConstraintFixtures.compiler.get().constraint(rules) }
        #expect(error?.place == place, "\(error.map(String.init) ?? "")")
    }

    /// Schemas that would take for ever, or all memory, if nothing were counted.
    static let hostile: [(name: String, schema: String)] = [
        (
            "options of options",
            #"{"allOf": ["#
                + Array(repeating: #"{"anyOf": [{}, {"type": "null"}, {"type": "object"}]}"#, count: 40).joined(
                    separator: ",") + "]}"
        ),
        ("exponential pattern", #"{"pattern": "^(a|b)*a(a|b){500}$"}"#),
        ("nested repetitions", #"{"pattern": "((a{99}){99}){99}"}"#),
        (
            "many optional members",
            #"{"properties": {"# + (0..<3000).map { "\"p\($0)\": {}" }.joined(separator: ",") + "}}"
        ),
        ("levels", String(repeating: #"{"items": "#, count: 70) + "{}" + String(repeating: "}", count: 70)),
        (
            "a chain of references",
            ##"{"$ref": "#/$defs/d0", "$defs": {"##
                + (0..<900).map { "\"d\($0)\": {\"items\": {\"$ref\": \"#/$defs/d\($0 + 1)\"}}" }.joined(separator: ",")
                + #", "d900": {}}}"#
        ),
        ("a long document", #"{"description": ""# + String(repeating: "a", count: 70_000) + #""}"#),
        ("a long pattern", #"{"pattern": ""# + String(repeating: "a", count: 1025) + #""}"#),
        ("huge multiples", #"{"type": "integer", "multipleOf": 1000003}"#),
    ]

    @Test(arguments: hostile) func hostileSchemasAreRefused(_ name: String, _ schema: String) throws {
        let rules = try rules(schema)
        let error = #expect(throws: InputError.self) { try ConstraintFixtures.compiler.get().constraint(rules) }
        #expect(error?.kind == .unsupported, "\(error.map(String.init) ?? "")")
    }

    @Test func largeNumbersCostNothing() throws {
        let big = try rules(
            #"{"type": "array", "items": {"type": "string", "maxLength": 1000000000}, "minItems": 1000000000}"#)
        var constraint = try #require(try ConstraintFixtures.compiler.get().constraint(big))
        for token in try ConstraintFixtures.tokenizer.get().encode(#"["ab", "c"#) { try constraint.advance(by: token) }
        #expect(try constraint.mask().count > 1000 && !constraint.isComplete)
    }

    /// Two readings of one text, at every level: the state grows with the depth and not with its
    /// power.
    @Test func twoReadingsOfOneTextAreReadOnce() throws {
        let twice = try rules(
            ##"{"$defs": {"a": {"anyOf": [{"items": {"$ref": "#/$defs/a"}}, {"items": {"$ref": "#/$defs/a"}, "maxItems": 9}]}}, "$ref": "#/$defs/a"}"##
        )
        let text = String(repeating: "[", count: 150) + String(repeating: "]", count: 150)
        #expect(try ConstraintFixtures.accepts(text, twice))
    }
}
