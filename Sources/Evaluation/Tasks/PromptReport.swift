//  The requests that a model would get, as `--show-prompts` prints them.

import DualityCore

package enum PromptReport {
    /// The requests for the rows of a file, an object each.
    ///
    /// - Parameters:
    ///   - shots: how many of the examples are shown.
    /// - Throws: `InputError` for a row that lacks a field, or fewer examples than shots.
    package static func requests(
        _ task: any EvaluationTask, rows: [JSONFields], examples: [JSONFields], shots: Int, limit: Int?, isChat: Bool
    ) throws(InputError) -> [JSON] {
        guard shots <= examples.count else {
            throw InputError(
                .value, in: "--shots", expected: "at most \(examples.count), the rows of --fewshot", found: "\(shots)")
        }
        var requests: [JSON] = []
        for row in rows.prefix(limit ?? .max) {
            let request = try task.request(row, examples: Array(examples.prefix(shots)), isChat: isChat)
            requests.append(request.json)
        }
        return requests
    }

    /// The requests for the rows of a file, with the examples that stand in the task's file.
    package static func requests(
        _ task: YamlTask, rows: [JSONFields], shots: Int?, limit: Int?
    ) throws(InputError) -> [JSON] {
        let shots = shots ?? task.exampleCount
        guard shots <= task.samples.count else {
            throw InputError(
                .value, in: "--shots", expected: "at most \(task.samples.count), the samples of the file",
                found: "\(shots)", remedy: "Give examples with --fewshot.")
        }
        let asked = rows.prefix(limit ?? .max)
        var requests: [JSON] = []
        for (row, examples) in zip(asked, task.examples(rows: asked.count, shots: shots)) {
            requests.append(try task.request(row, examples: examples, isChat: false).json)
        }
        return requests
    }

    /// The rows of a JSON Lines file, each with its place.
    package static func rows(_ path: String, mayBeEmpty: Bool = false) throws(InputError) -> [JSONFields] {
        var rows: [JSONFields] = []
        for (line, value) in try JSONLines.read(path) {
            rows.append(try JSONFields(value, place: "\(path):\(line)"))
        }
        guard mayBeEmpty || !rows.isEmpty else {
            throw InputError(.value, in: path, expected: "at least one row, a JSON object a line", found: "none")
        }
        return rows
    }
}
