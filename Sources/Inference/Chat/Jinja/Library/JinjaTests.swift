//  What stands behind `is`.

/// The tests of templates by name.
enum JinjaTests {
    typealias Test = @Sendable (JinjaRun, JinjaValue, JinjaArguments) throws -> Bool

    static let all: [String: Test] = kinds.merging(comparisons) { first, _ in first }

    private static let kinds: [String: Test] = [
        "defined": { _, value, _ in !value.isUndefined },
        "undefined": { _, value, _ in value.isUndefined },
        "none": { _, value, _ in if case .none = value { true } else { false } },
        "boolean": { _, value, _ in if case .bool = value { true } else { false } },
        "true": { _, value, _ in if case .bool(true) = value { true } else { false } },
        "false": { _, value, _ in if case .bool(false) = value { true } else { false } },
        "integer": { _, value, _ in
            switch value {
            case .int, .wideInteger: true
            default: false
            }
        },
        "float": { _, value, _ in if case .float = value { true } else { false } },
        "number": { _, value, _ in
            if case .wideInteger = value { return true }
            return value.number != nil
        },
        "string": { _, value, _ in if case .text = value { true } else { false } },
        "mapping": { _, value, _ in if case .dictionary = value { true } else { false } },
        "iterable": { _, value, _ in
            switch value {
            case .sequence, .dictionary, .text, .undefined, .loop: true
            default: false
            }
        },
        "sequence": { _, value, _ in
            switch value {
            case .sequence(let sequence): sequence.isIndexed
            case .dictionary, .text, .undefined: true
            default: false
            }
        },
        "callable": { _, value, _ in
            switch value {
            case .callable, .loop, .undefined: true
            default: false
            }
        },
        "escaped": { _, value, _ in if case .text(let text) = value { text.isMarkup } else { false } },
        "lower": { run, value, _ in JinjaStringMethods.isCased(try run.string(value), lower: true) },
        "upper": { run, value, _ in JinjaStringMethods.isCased(try run.string(value), lower: false) },
        "filter": { run, value, _ in
            guard case .text(let name) = value else { return false }
            return JinjaFilters.all[name.string] != nil
        },
        "test": { run, value, _ in
            guard case .text(let name) = value else { return false }
            return all[name.string] != nil
        },
        "odd": { run, value, _ in try run.isEqual(run.arithmetic(.remainder, value, .int(2)), .int(1)) },
        "even": { run, value, _ in try run.isEqual(run.arithmetic(.remainder, value, .int(2)), .int(0)) },
        "divisibleby": { run, value, arguments in
            guard let divisor = arguments.positional.first ?? arguments.named.first?.value else {
                throw run.fail("divisibleby takes a number")
            }
            return try run.isEqual(run.arithmetic(.remainder, value, divisor), .int(0))
        },
        "sameas": { run, value, arguments in
            guard let other = arguments.positional.first else { throw run.fail("sameas takes a value") }
            switch (value, other) {
            case (.none, .none): return true
            case (.bool(let a), .bool(let b)): return a == b
            case (.sequence(let a), .sequence(let b)): return a === b
            case (.dictionary(let a), .dictionary(let b)): return a === b
            case (.int, .int), (.text, .text): return try run.isEqual(value, other)
            default: return false
            }
        },
    ]

    private static let comparisons: [String: Test] = {
        let names: [(JinjaComparison, [String])] = [
            (.equal, ["==", "eq", "equalto"]), (.notEqual, ["!=", "ne"]), (.less, ["<", "lt", "lessthan"]),
            (.lessOrEqual, ["<=", "le"]), (.greater, [">", "gt", "greaterthan"]), (.greaterOrEqual, [">=", "ge"]),
            (.isIn, ["in"]),
        ]
        var tests: [String: Test] = [:]
        for (comparison, names) in names {
            for name in names {
                tests[name] = { run, value, arguments in
                    guard let other = arguments.positional.first else { throw run.fail("\(name) takes a value") }
                    return try run.compare(comparison, value, other)
                }
            }
        }
        return tests
    }()
}

extension JinjaRun {
    func test(_ name: String, _ value: JinjaValue, _ arguments: JinjaArguments) throws -> Bool {
        guard let test = JinjaTests.all[name] else { throw fail("No test named '\(name)'") }
        return try test(self, value, arguments)
    }
}
