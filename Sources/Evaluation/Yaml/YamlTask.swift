//  A task written for lm-evaluation-harness, as far as it is data and not code.
//
//  The fields and their defaults are those of lm-eval 0.4.13; what its files may hold beyond the
//  subset below is an error with the line.

import DualityCore

package struct YamlTask: EvaluationTask {
    enum OutputType: String, CaseIterable {
        case generateUntil = "generate_until"
        case multipleChoice = "multiple_choice"
        case logLikelihood = "loglikelihood"
        case rolling = "loglikelihood_rolling"
    }

    /// How choices are given: texts in the file, which are no templates, or a template whose value
    /// is a list.
    enum Choices: Sendable {
        case texts([String])
        case template(TaskTemplate)
    }

    package let name: String
    /// The file with the rows, relative to the task's folder or the working directory.
    package let dataFile: String?
    package let folder: String
    /// Rows that stand in the file as examples.
    package let samples: [JSONFields]
    package let exampleCount: Int
    /// Whether the first samples are shown, in order; else some are drawn for every row.
    let takesFirst: Bool

    let outputType: OutputType
    let question: TaskTemplate
    let target: TaskTemplate
    let choices: Choices?
    let description: TaskTemplate?
    let exampleDelimiter: String
    let targetDelimiter: String
    let generation: TaskRequest.Generation
    let filters: [(name: String, steps: [YamlFilter])]
    let metrics: [YamlMetric]

    package var primary: String { "\(metrics[0].kind.rawValue),\(filters[0].name)" }

    package var accepts: [String] { outputType == .generateUntil ? ["outputs"] : ["loglikelihoods"] }

    // MARK: Scores

    package func score(_ doc: JSONFields, _ response: Response) throws(InputError) -> ItemScore {
        switch outputType {
        case .generateUntil: return try scoreTexts(doc, response)
        case .multipleChoice: return try scoreChoices(doc, response)
        case .logLikelihood, .rolling: return try scoreLikelihood(doc, response)
        }
    }

    private func scoreTexts(_ doc: JSONFields, _ response: Response) throws(InputError) -> ItemScore {
        guard case .outputs(let outputs) = response else {
            throw InputError(.missing, in: "\(doc.place): outputs", expected: "texts", found: "none")
        }
        let golds: [String]
        if case .array(let values) = try target.value(doc) {
            golds = values.map(\.plainText)
        } else {
            golds = [try goldText(doc)]
        }
        var scores: [(name: String, value: MetricValue)] = []
        var extracted = JSON.Object()
        var answers: [Scalars] = []
        for (name, steps) in filters {
            var texts = outputs.map { Scalars($0) }
            for step in steps { texts = try step.apply(texts) }
            let answer = texts.first ?? []
            answers.append(answer)
            extracted.append(name, .string(answer.text))
        }
        for metric in metrics {
            for (answer, (name, _)) in zip(answers, filters) {
                var isEqual = false
                for gold in golds where !isEqual { isEqual = try metric.areEqual(answer, Scalars(gold)) }
                scores.append(("\(metric.kind.rawValue),\(name)", .flag(isEqual)))
            }
        }
        return ItemScore(scores, extracted: .object(extracted))
    }

    /// The target as text; of an index into choices the choice.
    private func goldText(_ doc: JSONFields) throws(InputError) -> String {
        if choices != nil, let index = try targetIndex(doc) { return try choiceTexts(doc)[index] }
        return try target.text(doc)
    }

    private func scoreChoices(_ doc: JSONFields, _ response: Response) throws(InputError) -> ItemScore {
        let texts = try choiceTexts(doc)
        let sums = try response.likelihoods(doc, count: texts.count)
        guard let gold = try targetIndex(doc) else {
            throw InputError(
                .value, in: "\(target.place): doc_to_target", expected: "one of the choices of \(doc.place)",
                found: try target.text(doc))
        }
        var scores: [(name: String, value: MetricValue)] = []
        for metric in metrics {
            let values: [Double]
            switch metric.kind {
            case .accNorm: values = Choice.perCharacter(sums, texts)
            case .accBytes: values = Choice.perByte(sums, texts)
            default: values = sums
            }
            scores.append(("\(metric.kind.rawValue),\(filters[0].name)", .flag(Choice.best(values) == gold)))
        }
        return ItemScore(scores)
    }

    private func scoreLikelihood(_ doc: JSONFields, _ response: Response) throws(InputError) -> ItemScore {
        let sum = try response.likelihoods(doc, count: 1)[0]
        let text = try target.text(doc)
        var item = ItemScore([])
        for metric in metrics {
            let name = "\(metric.kind.rawValue),\(filters[0].name)"
            let (value, weight) = metric.likelihood(sum, text)
            item.scores.append((name, .number(value)))
            item.weights[name] = weight
        }
        return item
    }

    /// The position of the target among the choices; nil where it is none of them.
    private func targetIndex(_ doc: JSONFields) throws(InputError) -> Int? {
        let value = try target.value(doc)
        let texts = try choiceTexts(doc)
        let index: Int?
        if let number = value.int {
            index = number
        } else if let text = value.string, !text.isEmpty, text.allSatisfy({ $0.isASCII && $0.isNumber }) {
            index = Int(text)
        } else if let text = value.string {
            return texts.firstIndex { $0.unicodeScalars.elementsEqual(text.unicodeScalars) }
        } else {
            index = nil
        }
        guard let index, texts.indices.contains(index) else {
            throw InputError(
                .value, in: "\(target.place): doc_to_target",
                expected: "an index from 0 to \(texts.count - 1) for \(doc.place)",
                found: value.serialized())
        }
        return index
    }

    private func choiceTexts(_ doc: JSONFields) throws(InputError) -> [String] {
        var texts: [String] = []
        switch choices {
        case .texts(let list): texts = list
        case .template(let template):
            guard let list = try template.value(doc).array else {
                throw InputError(
                    .value, in: "\(template.place): doc_to_choice", expected: "a list for \(doc.place)",
                    found: "something else")
            }
            texts = list.map(\.plainText)
        case nil: break
        }
        guard !texts.isEmpty else {
            throw InputError(.missing, in: "\(question.place): doc_to_choice", expected: "choices", found: "none")
        }
        return texts
    }

    package func summary(_ items: [ItemScore]) -> TaskSummary {
        var summary = meanSummary(items)
        for i in summary.metrics.indices {
            let name = summary.metrics[i].name
            guard let metric = metrics.first(where: { name.hasPrefix($0.kind.rawValue + ",") }),
                metric.kind.isOverText
            else { continue }
            let parts = items.compactMap { item in
                item.value(name).map { (value: $0.number, weight: item.weights[name] ?? 1) }
            }
            summary.metrics[i].value = metric.combined(parts)
        }
        return summary
    }

    // MARK: Requests

    /// The harness's seed of examples.
    private static let seed: UInt32 = 1234

    /// The examples of so many rows, in their order: the first samples, or drawn as the harness
    /// draws them, one row after another.
    package func examples(rows: Int, shots: Int) -> [[JSONFields]] {
        if takesFirst { return Array(repeating: Array(samples.prefix(shots)), count: rows) }
        var random = PythonRandom(seed: Self.seed)
        return (0..<rows).map { _ in random.sample(samples.count, min(shots, samples.count)).map { samples[$0] } }
    }

    package func request(_ doc: JSONFields, examples: [JSONFields], isChat: Bool) throws(InputError) -> TaskRequest {
        if outputType == .rolling {
            return TaskRequest(messages: [], text: "", kind: .rolling(try target.text(doc)))
        }
        var turns = QuestionTurns(query: try question.text(doc))
        turns.description = try description?.text(doc) ?? ""
        for example in examples {
            turns.examples.append((try question.text(example), try goldText(example)))
        }
        let kind: TaskRequest.Kind
        switch outputType {
        case .generateUntil: kind = .generate(generation)
        case .multipleChoice: kind = .choose(try choiceTexts(doc))
        case .logLikelihood, .rolling: kind = .choose([try goldText(doc)])
        }
        if isChat { return turns.request(kind, isChat: true) }
        var text = turns.description
        for (query, target) in turns.examples { text += query + targetDelimiter + target + exampleDelimiter }
        var request = TaskRequest(messages: [], text: text + turns.query, kind: kind)
        // Choices are continued behind the delimiter; a target of its own brings its space along.
        if case .choose(let texts) = kind, outputType == .multipleChoice {
            request.kind = .choose(texts.map { targetDelimiter + $0 })
        }
        return request
    }
}
