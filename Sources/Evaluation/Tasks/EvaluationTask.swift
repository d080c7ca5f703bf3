//  What a task is: a row of data made into a request, and a model's response made into scores.
//
//  A task knows no model and no file: predictions that somebody else made are scored by the same
//  function as those of a run.

import DualityCore

/// What a model gave back for one row.
package enum Response: Sendable, Equatable {
    /// Texts: one, or n samples.
    case outputs([String])
    /// Natural logarithms of the probability of each choice, summed over its tokens.
    case logLikelihoods([Double])
    /// Whether samples of code passed their test, as somebody found out already.
    case passed([Bool])

    /// The field of a predictions file.
    package var field: String {
        switch self {
        case .outputs: "outputs"
        case .logLikelihoods: "loglikelihoods"
        case .passed: "passed"
        }
    }
}

/// A metric of one row.
package enum MetricValue: Sendable, Equatable {
    case number(Double)
    case list([Double])

    package static func flag(_ value: Bool) -> MetricValue { .number(value ? 1 : 0) }

    package var json: JSON {
        switch self {
        case .number(let value): JSON(value)
        case .list(let values): .array(values.map { JSON($0) })
        }
    }

    /// The number; the mean of a list.
    package var number: Double {
        switch self {
        case .number(let value): value
        case .list(let values): values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count)
        }
    }
}

/// The scores of one row.
package struct ItemScore: Sendable {
    /// By name, in the order in which they are printed; fractions of 1.
    package var scores: [(name: String, value: MetricValue)]
    /// The answer that was cut out of the text.
    package var extracted: JSON?
    /// What the row is averaged with, beside all rows: a subject, a subtask.
    package var group: String?
    /// What rows of a group are averaged by first: a set of a category.
    package var set: String?
    /// What a metric of the row counts by, where rows do not count alike.
    package var weights: [String: Double] = [:]
    /// Rules of the row that stand in for trained data.
    package var approximate = 0
    /// Rows that ask about one context, and are not independent.
    package var cluster: String?

    package init(
        _ scores: [(name: String, value: MetricValue)], extracted: JSON? = nil, group: String? = nil
    ) {
        (self.scores, self.extracted, self.group) = (scores, extracted, group)
    }

    package func value(_ name: String) -> MetricValue? { scores.first { $0.name == name }?.value }

    package var scoresJSON: JSON {
        var object = JSON.Object()
        for (name, value) in scores { object.append(name, value.json) }
        return .object(object)
    }
}

/// The scores of all rows together.
package struct TaskSummary: Sendable {
    package var primary: String
    package var metrics: [(name: String, value: Double)]
    package var groups: [(name: String, value: Double)] = []

    package var score: Double { metrics.first { $0.name == primary }?.value ?? 0 }
}

/// A benchmark.
package protocol EvaluationTask: Sendable {
    var name: String { get }
    /// The metric that stands for the task.
    var primary: String { get }
    /// What a prediction must hold: fields of which one is enough.
    var accepts: [String] { get }

    /// Scores a response to a row.
    ///
    /// - Throws: `InputError` that names the row's field that is missing or out of range.
    func score(_ doc: JSONFields, _ response: Response) throws(InputError) -> ItemScore

    /// The scores of all rows together; by default the mean of every metric, and of the primary one
    /// by group.
    func summary(_ items: [ItemScore]) -> TaskSummary

    /// What a model is asked.
    ///
    /// - Parameter examples: rows that are shown with their answers.
    func request(_ doc: JSONFields, examples: [JSONFields], isChat: Bool) throws(InputError) -> TaskRequest
}

extension EvaluationTask {
    package var accepts: [String] { ["outputs"] }

    package func summary(_ items: [ItemScore]) -> TaskSummary { meanSummary(items) }

    func meanSummary(_ items: [ItemScore]) -> TaskSummary {
        var names: [String] = []
        for item in items { for (name, _) in item.scores where !names.contains(name) { names.append(name) } }
        let metrics = names.map { name in (name: name, value: mean(items.compactMap { $0.value(name)?.number })) }
        let metric = primary
        return TaskSummary(
            primary: metric, metrics: metrics, groups: groupMeans(items) { $0.value(metric)?.number })
    }

    /// Means by group, in the order in which groups appear.
    func groupMeans(
        _ items: [ItemScore], by key: (ItemScore) -> String? = { $0.group }, _ value: (ItemScore) -> Double?
    ) -> [(name: String, value: Double)] {
        var order: [String] = []
        var values: [String: [Double]] = [:]
        for item in items {
            guard let group = key(item), let value = value(item) else { continue }
            if values[group] == nil { order.append(group) }
            values[group, default: []].append(value)
        }
        return order.map { ($0, mean(values[$0] ?? [])) }
    }
}

/// Σ x / n; 0 of nothing.
func mean(_ values: [Double]) -> Double {
    values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count)
}

// MARK: - Reading rows

extension JSONFields {
    /// - Throws: `InputError` (`.missing`) when there is no such field.
    package func requiredString(_ key: String) throws(InputError) -> String {
        guard let value = try string(key) else { throw missing(key, "a string") }
        return value
    }

    package func requiredInt(_ key: String, in range: ClosedRange<Int> = .min ... .max) throws(InputError) -> Int {
        guard let value = try int(key, in: range) else { throw missing(key, "a whole number") }
        return value
    }

    package func requiredStrings(_ key: String) throws(InputError) -> [String] {
        guard let value = try strings(key) else { throw missing(key, "a list of strings") }
        return value
    }

    package func requiredFields(_ key: String) throws(InputError) -> JSONFields {
        guard let value = try fields(key) else { throw missing(key, "an object") }
        return value
    }

    /// A string, or a list of them.
    package func stringOrStrings(_ key: String) throws(InputError) -> [String] {
        guard let value = self[key] else { throw missing(key, "a string or a list of strings") }
        if let text = value.string { return [text] }
        return try requiredStrings(key)
    }

    package func missing(_ key: String, _ what: String) -> InputError {
        InputError(.missing, in: place(of: key), expected: what, found: "nothing")
    }
}

extension Response {
    /// The only text.
    func text(_ doc: JSONFields) throws(InputError) -> String {
        guard case .outputs(let texts) = self, let text = texts.first else {
            throw InputError(.missing, in: "\(doc.place): outputs", expected: "a text", found: "none")
        }
        return text
    }

    /// As many numbers as there are choices.
    func likelihoods(_ doc: JSONFields, count: Int) throws(InputError) -> [Double] {
        guard case .logLikelihoods(let values) = self else {
            throw InputError(.missing, in: "\(doc.place): loglikelihoods", expected: "\(count) numbers", found: "none")
        }
        guard values.count == count else {
            throw InputError(
                .value, in: "\(doc.place): loglikelihoods", expected: "\(count) numbers, one a choice",
                found: "\(values.count)")
        }
        return values
    }
}
