//  One run of a template: its variables, its output, and an account of its work.

import Foundation

/// The state of a template while it runs.
final class JinjaRun {
    let limits: JinjaLimits
    /// What `strftime_now` calls now.
    let now: Date
    /// What has been written so far by the innermost block that collects text.
    var output = JinjaText()
    /// Blocks that collect text for later, such as macros, and are open.
    var captures = 0
    /// The line of the statement or expression that runs, for messages.
    var line = 0
    /// For each message, where in the prompt the last loop over messages came to it.
    var turns: [Int: Int] = [:]
    /// Where the last loop over messages ended.
    var loopEnd: Int?

    private var steps = 0
    private var bytes = 0
    private var depth = 0
    // What may hold on to itself through a closure or an attribute; emptied at the end.
    private var scopes: [JinjaScope] = []
    private var namespaces: [JinjaNamespace] = []

    init(limits: JinjaLimits, now: Date) {
        self.limits = limits
        self.now = now
    }

    deinit { release() }

    /// Breaks the cycles that macros and namespaces made.
    func release() {
        for scope in scopes { scope.removeAll() }
        for namespace in namespaces { namespace.attributes = [:] }
        scopes = []
        namespaces = []
    }

    // MARK: Account

    /// Counts work: `count` steps.
    @inline(__always)
    func work(_ count: Int = 1) throws {
        steps += count
        if steps > limits.steps { throw JinjaFailure(.limit, "more than \(limits.steps) steps", line: line) }
    }

    /// Counts bytes that were looked at.
    func looked(at bytes: Int) throws { try work(1 + bytes / 64) }

    /// Counts memory before it is used.
    func willMake(bytes count: Int) throws {
        let (sum, overflow) = bytes.addingReportingOverflow(count)
        bytes = sum
        if overflow || bytes > limits.bytes {
            throw JinjaFailure(.limit, "more than \(limits.bytes) bytes of text and lists", line: line)
        }
        try work(count / 64)
    }

    /// Counts the items of a new list or dictionary.
    func willMake(items count: Int) throws {
        let (bytes, overflow) = count.multipliedReportingOverflow(by: 64)
        try willMake(bytes: overflow ? .max : bytes)
    }

    /// Runs something one level further down.
    @inline(__always)
    func nested<Result>(_ body: () throws -> Result) throws -> Result {
        depth += 1
        defer { depth -= 1 }
        if depth > limits.depth {
            throw JinjaFailure(
                .limit, "more than \(limits.depth) statements, expressions and calls inside each other", line: line)
        }
        return try body()
    }

    // MARK: Making values

    func text(_ text: JinjaText) throws -> JinjaValue {
        try willMake(bytes: text.bytes.count)
        return .text(text)
    }

    func sequence(_ items: [JinjaValue], _ kind: JinjaSequence.Kind = .list) throws -> JinjaValue {
        try willMake(items: items.count)
        let sequence = JinjaSequence(items, kind)
        try check(nesting: sequence.depth)
        return .sequence(sequence)
    }

    func check(nesting: Int) throws {
        if nesting > limits.nesting {
            throw JinjaFailure(.limit, "more than \(limits.nesting) lists inside each other", line: line)
        }
    }

    func namespace() throws -> JinjaNamespace {
        try willMake(items: 4)
        let namespace = JinjaNamespace()
        namespaces.append(namespace)
        return namespace
    }

    /// Notes a scope that a macro keeps.
    func keep(_ scope: JinjaScope) throws {
        try willMake(items: 2)
        scopes.append(scope)
    }

    // MARK: Output

    func write(_ text: JinjaText) throws {
        try willMake(bytes: text.bytes.count)
        output.append(text)
    }

    /// What `body` writes, instead of writing it.
    func captured(_ body: () throws -> Void) throws -> JinjaText {
        let outer = output
        output = JinjaText()
        captures += 1
        defer {
            output = outer
            captures -= 1
        }
        try body()
        return output
    }

    func fail(_ message: String) -> JinjaFailure { JinjaFailure(.runtime, message, line: line) }
}

/// The variables of a template, a macro or a loop, and those around them.
final class JinjaScope {
    let parent: JinjaScope?
    private var variables: [String: JinjaValue] = [:]

    init(in parent: JinjaScope? = nil) {
        self.parent = parent
    }

    func set(_ name: String, _ value: JinjaValue) { variables[name] = value }

    func value(of name: String) -> JinjaValue? {
        var scope: JinjaScope? = self
        while let current = scope {
            if let value = current.variables[name] { return value }
            scope = current.parent
        }
        return nil
    }

    func removeAll() { variables = [:] }
}

/// The object `loop` inside of a loop.
final class JinjaLoop {
    let items: [JinjaValue]
    let depth: Int
    var position = 0
    /// What `changed` was last called with.
    var lastSeen: [JinjaValue]?

    init(_ items: [JinjaValue], depth: Int) {
        self.items = items
        self.depth = depth
    }

    var count: Int { items.count }

    /// Reads `loop.name`; nil for a name that it does not have.
    func attribute(_ name: String) -> JinjaValue? {
        switch name {
        case "index": return .int(position + 1)
        case "index0": return .int(position)
        case "revindex": return .int(count - position)
        case "revindex0": return .int(count - position - 1)
        case "first": return .bool(position == 0)
        case "last": return .bool(position == count - 1)
        case "length": return .int(count)
        case "depth": return .int(depth)
        case "depth0": return .int(depth - 1)
        case "previtem": return position > 0 ? items[position - 1] : .undefined("there is no previous item")
        case "nextitem": return position + 1 < count ? items[position + 1] : .undefined("there is no next item")
        case "cycle":
            return .callable(
                JinjaCallable("cycle") { [position] run, arguments in
                    let values = arguments.positional
                    guard !values.isEmpty else { throw run.fail("no items for cycling given") }
                    return values[position % values.count]
                })
        case "changed":
            return .callable(
                JinjaCallable("changed") { [unowned self] run, arguments in
                    let last = lastSeen
                    lastSeen = arguments.positional
                    guard let last, last.count == arguments.positional.count else { return .bool(true) }
                    return .bool(try !zip(last, arguments.positional).allSatisfy { try run.isEqual($0, $1) })
                })
        default: return nil
        }
    }
}
