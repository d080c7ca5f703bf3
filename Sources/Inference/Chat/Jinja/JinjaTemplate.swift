//  A template program and its global functions.

import Foundation

/// A template that has been read, ready to run any number of times.
///
/// The tree is never changed after it is read, and its literals are plain values, so threads can
/// share it.
struct JinjaTemplate: @unchecked Sendable {
    let body: [JinjaStatement]
    /// What the template can look at.
    let words: JinjaWords

    /// - Throws: `JinjaFailure` for what is no template, or uses a part of Jinja that is not run
    ///   here.
    init(_ source: String) throws {
        (body, words) = try JinjaParser.parse(source)
    }

    /// Runs the template.
    ///
    /// - Parameters:
    ///   - variables: what the template can see, by name.
    /// - Returns: the run, with its output and what it noted.
    /// - Throws: `JinjaFailure` when the template fails, refuses, or wants too much.
    func run(
        _ variables: [(name: String, value: JinjaValue)], limits: JinjaLimits = JinjaLimits(), now: Date = Date()
    ) throws -> JinjaRun {
        let run = JinjaRun(limits: limits, now: now)
        let globals = JinjaScope()
        for (name, function) in Self.functions {
            globals.set(name, .callable(JinjaCallable(name, function)))
        }
        let context = JinjaScope(in: globals)
        for (name, value) in variables { context.set(name, value) }
        defer { run.release() }
        do {
            _ = try run.execute(body, in: JinjaScope(in: context))
        } catch let failure as JinjaFailure where failure.line == 0 {
            throw JinjaFailure(failure.kind, failure.message, line: run.line)
        }
        return run
    }

    // MARK: Functions

    private static let functions: [String: @Sendable (JinjaRun, JinjaArguments) throws -> JinjaValue] = [
        "namespace": { run, arguments in
            let namespace = try run.namespace()
            for value in arguments.positional {
                guard case .dictionary(let members) = value else { throw run.fail("namespace takes names and values") }
                for (key, value) in zip(members.keys, members.values) {
                    namespace.attributes[try run.string(key).string] = value
                }
            }
            try run.willMake(items: arguments.named.count)
            for (name, value) in arguments.named { namespace.attributes[name] = value }
            return .namespace(namespace)
        },
        "dict": { run, arguments in
            let dictionary = JinjaDictionary()
            for value in arguments.positional {
                if case .dictionary(let members) = value {
                    try run.willMake(items: members.count)
                    for (key, value) in zip(members.keys, members.values) { dictionary.set(key, value) }
                    continue
                }
                for pair in try run.iterate(value) {
                    let pair = try run.iterate(pair)
                    guard pair.count == 2, dictionary.set(pair[0], pair[1]) else {
                        throw run.fail("dict takes pairs of keys and values")
                    }
                    try run.willMake(items: 1)
                }
            }
            for (name, value) in arguments.named { dictionary.set(name, value) }
            try run.check(nesting: dictionary.depth)
            return .dictionary(dictionary)
        },
        "range": { run, arguments in
            let values = try arguments.positional.map { try run.integerArgument($0) }
            guard (1...3).contains(values.count), arguments.named.isEmpty else {
                throw run.fail("range expected 1 to 3 arguments, got \(values.count)")
            }
            let (start, stop) = values.count == 1 ? (0, values[0]) : (values[0], values[1])
            let step = values.count == 3 ? values[2] : 1
            guard step != 0 else { throw run.fail("range() arg 3 must not be zero") }
            let span = step > 0 ? stop.subtractingReportingOverflow(start) : start.subtractingReportingOverflow(stop)
            guard !span.overflow,
                span.partialValue <= 0 || (span.partialValue - 1) / Int(clamping: step.magnitude) < 100_000
            else { throw run.fail("Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000).") }
            return try run.sequence(stride(from: start, to: stop, by: step).map { .int($0) }, .range)
        },
        "raise_exception": { run, arguments in
            let message = try arguments.positional.first.map { try run.string($0).string } ?? ""
            throw JinjaFailure(.raised, "its own complaint: \(message)", line: run.line)
        },
        "strftime_now": { run, arguments in
            try run.text(JinjaText(strftime(run.onlyText(arguments, "strftime_now").string, run.now)))
        },
        "cycler": { run, arguments in
            guard !arguments.positional.isEmpty else { throw run.fail("at least one item has to be provided") }
            let items = arguments.positional
            let namespace = try run.namespace()
            func place(_ position: Int) {
                namespace.attributes["position"] = .int(position)
                namespace.attributes["current"] = items[position]
            }
            place(0)
            namespace.attributes["next"] = .callable(
                JinjaCallable("next") { [unowned namespace] _, _ in
                    let position = namespace.attributes["position"]?.integer ?? 0
                    namespace.attributes["position"] = .int((position + 1) % items.count)
                    namespace.attributes["current"] = items[(position + 1) % items.count]
                    return items[position]
                })
            namespace.attributes["reset"] = .callable(
                JinjaCallable("reset") { [unowned namespace] _, _ in
                    namespace.attributes["position"] = .int(0)
                    namespace.attributes["current"] = items[0]
                    return .none
                })
            return .namespace(namespace)
        },
        "joiner": { run, arguments in
            let separator = try arguments.bound(to: "sep", by: "joiner")[0] ?? .string(", ")
            var isUsed = false
            return .callable(
                JinjaCallable("joiner") { _, _ in
                    defer { isUsed = true }
                    return isUsed ? separator : .string("")
                })
        },
    ]

    /// C's `strftime` of a time in the local zone.
    private static func strftime(_ format: String, _ date: Date) -> String {
        var seconds = time_t(date.timeIntervalSince1970.rounded(.down))
        var parts = tm()
        localtime_r(&seconds, &parts)
        var buffer = [CChar](repeating: 0, count: 4 * format.utf8.count + 256)
        let count = Foundation.strftime(&buffer, buffer.count, format, &parts)
        return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
