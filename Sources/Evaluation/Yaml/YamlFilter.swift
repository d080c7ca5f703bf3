//  What a task file does to outputs before they are compared.

import DualityCore

/// One step of a filter.
enum YamlFilter: Sendable {
    case regex(PythonRegex, select: Int, fallback: String)
    case takeFirst
    case takeFirstK(Int)
    case removeWhitespace
    case lowercase
    case majorityVote

    init(_ step: YamlValue) throws(InputError) {
        guard let function = step["function"] else { throw step.mistake("a filter with its function") }
        switch try function.string("function") {
        case "regex":
            guard let pattern = step["regex_pattern"] else { throw step.mistake("a filter with its regex_pattern") }
            self = .regex(
                try PythonRegex(pattern.string("regex_pattern"), place: pattern.place),
                select: try step["group_select"]?.int("group_select") ?? 0,
                fallback: try step["fallback"]?.string("fallback") ?? "[invalid]")
        case "take_first": self = .takeFirst
        case "take_first_k":
            guard let k = try step["k"]?.int("k"), k > 0 else { throw step.mistake("take_first_k with k above 0") }
            self = .takeFirstK(k)
        case "remove_whitespace": self = .removeWhitespace
        case "lowercase": self = .lowercase
        case "majority_vote": self = .majorityVote
        case let name:
            throw InputError(
                .unsupported, in: function.place,
                expected: "regex, take_first, take_first_k, remove_whitespace, lowercase or majority_vote", found: name)
        }
        let known = ["function", "regex_pattern", "group_select", "fallback", "k"]
        for (key, value) in step.map ?? [] where !known.contains(key) {
            throw InputError(
                .unsupported, in: value.place, expected: known.joined(separator: ", "), found: "'\(key)' of a filter")
        }
    }

    /// The outputs of one row after the step.
    func apply(_ outputs: [Scalars]) throws(InputError) -> [Scalars] {
        switch self {
        case .takeFirst: return Array(outputs.prefix(1))
        case .takeFirstK(let k): return Array(outputs.prefix(k))
        case .removeWhitespace: return outputs.map { $0.stripped() }
        case .lowercase: return outputs.map(\.lowered)
        case .majorityVote:
            var counts: [Scalars: Int] = [:]
            for output in outputs { counts[output, default: 0] += 1 }
            let most = counts.values.max() ?? 0
            return Array(outputs.filter { counts[$0] == most }.prefix(1))
        case .regex(let regex, let select, let fallback):
            var results: [Scalars] = []
            for output in outputs { results.append(try Self.extract(output, regex, select, Scalars(fallback))) }
            return results
        }
    }

    /// The selected of all matches: its only group, or the first of several that is not empty.
    private static func extract(
        _ output: Scalars, _ regex: PythonRegex, _ select: Int, _ fallback: Scalars
    ) throws(InputError) -> Scalars {
        let matches = try regex.matches(in: output)
        let place = select < 0 ? select + matches.count : select
        guard matches.indices.contains(place) else { return fallback }
        let match = matches[place]
        func text(_ range: Range<Int>?) -> Scalars { range.map { Scalars(output[$0]) } ?? [] }
        if regex.groupCount < 2 { return text(regex.groupCount == 0 ? match.range : match.groups[1]).stripped() }
        let group = match.groups.dropFirst().map(text).first { !$0.isEmpty }
        return (group ?? fallback).stripped()
    }
}
