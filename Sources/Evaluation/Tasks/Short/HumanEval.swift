//  HumanEval and HumanEval+: functions written from their description, judged by their tests.
//
//      pass@k = 1 - C(n - c, k) / C(n, k) = 1 - Π_{i = n-c+1}^{n} (1 - k / i)      1 where n - c <
//      k
//
//  of n samples, c of which pass; the unbiased estimator of Chen et al. 2021 ("Evaluating Large
//  Language Models Trained on Code").

import DualityCore

package struct HumanEval: EvaluationTask {
    package let name: String
    package let accepts = ["outputs", "passed"]
    package let primary = "pass_at_10"
    /// Nil where code may not run.
    private let runner: CodeRunner?

    /// - Parameter runner: what runs the samples; nil refuses them.
    package init(name: String = "humaneval", runner: CodeRunner? = nil) {
        (self.name, self.runner) = (name, runner)
    }

    package func score(_ doc: JSONFields, _ response: Response) throws(InputError) -> ItemScore {
        let passed: [Bool]
        switch response {
        case .passed(let flags): passed = flags
        case .outputs(let samples): passed = try run(samples, doc)
        case .logLikelihoods:
            throw InputError(.missing, in: "\(doc.place): outputs", expected: "samples of code", found: "likelihoods")
        }
        let (n, c) = (passed.count, passed.filter { $0 }.count)
        var scores: [(name: String, value: MetricValue)] = [("pass_at_1", .number(Self.passRate(n, c, k: 1)))]
        if n >= 10 { scores.append(("pass_at_10", .number(Self.passRate(n, c, k: 10)))) }
        scores.append(("passed", .list(passed.map { $0 ? 1 : 0 })))
        return ItemScore(scores)
    }

    static func passRate(_ n: Int, _ c: Int, k: Int) -> Double {
        if n - c < k { return 1 }
        var product = 1.0
        for i in stride(from: n - c + 1, through: n, by: 1) { product *= 1 - Double(k) / Double(i) }
        return 1 - product
    }

    private func run(_ samples: [String], _ doc: JSONFields) throws(InputError) -> [Bool] {
        guard let runner else {
            throw InputError(
                .unsupported, in: "\(doc.place): outputs", expected: "leave to run the samples' code",
                found: "none", remedy: "Give --execute-code to run it, in a sandbox that protects from accidents.")
        }
        let prompt = try doc.requiredString("prompt")
        let (test, entry) = (try doc.requiredString("test"), try doc.requiredString("entry_point"))
        var passed: [Bool] = []
        for sample in samples {
            let program = "\(prompt)\(sample)\n\(test)\ncheck(\(entry))\n"
            passed.append(try runner.passes(program, seconds: name == "humaneval_plus" ? 20 : 3))
        }
        return passed
    }

    /// pass@k only where every row has k samples.
    package func summary(_ items: [ItemScore]) -> TaskSummary {
        var summary = meanSummary(items)
        summary.metrics.removeAll { $0.name == "passed" }
        let hasTen = items.allSatisfy { $0.value("pass_at_10") != nil }
        if !hasTen { summary.metrics.removeAll { $0.name == "pass_at_10" } }
        summary.primary = hasTen && !items.isEmpty ? "pass_at_10" : "pass_at_1"
        return summary
    }

    package func request(_ doc: JSONFields, examples: [JSONFields], isChat: Bool) throws(InputError) -> TaskRequest {
        let prefix = "Here is the completed function:\n\n```python\n"
        let prompt = try doc.requiredString("prompt")
        let stops = ["\nclass", "\nif", "\nprint", "\n#", "\n```", "\n```\n\n", "<|eot_id|>"]
        let turns = QuestionTurns(query: prompt + prefix, prefix: prefix)
        return turns.request(
            .generate(.init(maxTokens: 999_999, stop: stops, temperature: 0.8, topP: 0.95, repeats: 20)),
            isChat: isChat)
    }
}
