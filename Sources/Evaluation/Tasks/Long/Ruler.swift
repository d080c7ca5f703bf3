//  RULER: needles, chains of variables and counted words in long texts; the share of references
//  that the output holds, ignoring case, and for questions whether it holds any.

import DualityCore

package struct Ruler: EvaluationTask {
    package let name: String
    package let primary = "string_match"
    /// Of rows that name no task of their own.
    private let subtask: String?

    package init(name: String = "ruler", subtask: String? = nil) {
        (self.name, self.subtask) = (name, subtask)
    }

    /// Subtasks and the tokens that an answer may have.
    static let limits: [(prefix: String, tokens: Int)] = [
        ("niah", 128), ("vt", 30), ("cwe", 120), ("fwe", 50), ("qa", 32),
    ]

    private func subtask(of doc: JSONFields) throws(InputError) -> (name: String, tokens: Int) {
        guard let task = try doc.string("task") ?? subtask else { throw doc.missing("task", "a task of RULER") }
        guard let limit = Self.limits.first(where: { task.hasPrefix($0.prefix) }) else {
            throw InputError(
                .unknown, in: doc.place(of: "task"),
                expected: "a task of RULER: niah_…, vt, cwe, fwe or qa_…", found: task)
        }
        return (task, limit.tokens)
    }

    package func score(_ doc: JSONFields, _ response: Response) throws(InputError) -> ItemScore {
        let task = try subtask(of: doc).name
        let references = try doc.requiredStrings("outputs")
        guard !references.isEmpty else {
            throw InputError(.value, in: doc.place(of: "outputs"), expected: "at least one reference", found: "none")
        }
        let printable = Scalars(try response.text(doc)).stripped().map { $0.value < 0x20 ? "\n" : $0 }
        let output = Scalars(printable).stripped().lowered
        let found = references.filter { output.holds(Scalars($0).lowered) }.count
        let value = task.hasPrefix("qa") ? (found > 0 ? 1 : 0) : Double(found) / Double(references.count)
        return ItemScore([("string_match", .number(value))], group: task)
    }

    package func request(_ doc: JSONFields, examples: [JSONFields], isChat: Bool) throws(InputError) -> TaskRequest {
        let input = try doc.requiredString("input")
        let prefix = try doc.string("answer_prefix") ?? ""
        let kind = TaskRequest.Kind.generate(.init(maxTokens: try subtask(of: doc).tokens))
        return isChat
            ? TaskRequest(
                messages: [.init(role: "user", content: input)], assistantPrefix: prefix.pythonStripped, kind: kind)
            : TaskRequest(messages: [], text: input + prefix, kind: kind)
    }
}
