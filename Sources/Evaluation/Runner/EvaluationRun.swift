//  A plan carried out: what the log holds already is taken from there, the rest is asked, and every
//  answer is scored and written before the next one.

import DualityCore
import DualityInference
import DualityQuant
import Foundation

/// What a run says while it runs.
package struct RunProgress: Sendable {
    package let task: String
    package let done: Int
    package let all: Int
    /// The mean of the task's primary metric so far.
    package let score: Double
    package let tokensPerSecond: Double
    package let secondsLeft: Double
}

/// A run that was asked to end.
private struct Stopped: Error {}

package struct EvaluationRun {
    package let plan: EvaluationPlan
    /// The samples, by request of the plan.
    package private(set) var samples: [Int: Sample] = [:]
    package private(set) var resumed = 0
    /// Seconds of this run, by task of the plan; shared by tokens where tasks run together.
    package private(set) var seconds = 0.0

    /// Takes what a log holds.
    ///
    /// - Throws: `InputError` for a line that is no sample of its row.
    package init(_ plan: EvaluationPlan, _ log: SampleLog?) throws(InputError) {
        self.plan = plan
        guard let log else { return }
        for (i, request) in plan.requests.enumerated() {
            let (task, row) = (plan.tasks[request.task], plan.tasks[request.task].rows[request.row])
            guard let found = log.found[Sample.key(task.name, row.length, row.id)] else { continue }
            guard try found.string("prompt_sha256") == request.tokens.promptHash else {
                throw InputError(
                    .value, in: found.place(of: "prompt_sha256"), expected: request.tokens.promptHash,
                    found: try found.string("prompt_sha256") ?? "nothing",
                    remedy: "The log is of other prompts: give another --out.")
            }
            samples[i] = try Self.sample(found, task, row, request)
            resumed += 1
        }
    }

    private static func sample(
        _ found: JSONFields, _ task: PlannedTask, _ row: EvaluationRow, _ request: PlannedRequest
    ) throws(InputError) -> Sample {
        let response: Response
        // Code that ran is not run again: its verdicts stand in the scores.
        if let passed = found["scores"]?["passed"]?.array, found["outputs"] != nil {
            response = .passed(passed.map { ($0.double ?? 0) == 1 })
        } else if found["outputs"] != nil {
            response = .outputs(try found.requiredStrings("outputs"))
        } else {
            response = .logLikelihoods((try found.array("loglikelihoods") ?? []).compactMap(\.double))
        }
        let tokens = try found.requiredFields("tokens")
        return Sample(
            task: task.name, length: row.length, id: row.id, promptHash: request.tokens.promptHash, response: response,
            score: try scored(task, row, response), finish: try found.strings("finish") ?? [],
            promptTokens: try tokens.requiredInt("prompt"), reusedTokens: try tokens.requiredInt("reused"),
            generatedTokens: try tokens.requiredInt("generated"))
    }

    private static func scored(_ task: PlannedTask, _ row: EvaluationRow, _ response: Response) throws(InputError)
        -> ItemScore
    {
        var score = try task.task.score(row.doc, response)
        score.cluster = row.doc["context"]?.plainText
        return score
    }

    /// Asks what is left.
    ///
    /// - Parameters:
    ///   - share: of several ranks with a whole model each. What rank 0 has left to ask is shared
    ///     out, and rank 0 gets all answers; tokens are counted as if it had read all prompts.
    ///   - stop: is asked after every answer; true ends the run, what is done stays.
    package mutating func run<Model: BatchedModel>(
        _ model: Model, _ tokenizer: Tokenizer, _ settings: RunnerSettings, _ log: SampleLog?,
        share: CaseShare? = nil, progress: (RunProgress) -> Void = { _ in }, stop: () -> Bool = { false }
    ) throws {
        var left = plan.requests.indices.filter { samples[$0] == nil && plan.requests[$0].fits }
        var reused: [Int: Int] = [:]
        if let share {
            left = share.fromFirst(left)
            let prompts = left.map { plan.requests[$0].tokens.prompt }
            let walk = PrefixWalk<Model>.order(prompts, reuses: settings.reuses)
            for (request, count) in zip(left, walk.reused) { reused[request] = count }
            left = share.part(walk.order.map { prompts[$0].count }).map { left[walk.order[$0]] }.sorted()
        }
        let started = ContinuousClock.now
        var (done, tokens) = (0, 0)
        var scores = Array(repeating: (sum: 0.0, count: 0), count: plan.tasks.count)
        var runner = RequestRunner(model, tokenizer, settings, left.map { plan.requests[$0].tokens })
        do {
            try runner.run { place, outcome in
                let request = plan.requests[left[place]]
                let (task, row) = (plan.tasks[request.task], plan.tasks[request.task].rows[request.row])
                let sample = Sample(
                    task: task.name, length: row.length, id: row.id, promptHash: request.tokens.promptHash,
                    response: outcome.response, score: try Self.scored(task, row, outcome.response),
                    finish: outcome.finish, promptTokens: outcome.promptTokens,
                    reusedTokens: reused[left[place]] ?? outcome.reusedTokens, generatedTokens: outcome.generatedTokens)
                try log?.append(sample)
                samples[left[place]] = sample
                done += 1
                tokens += outcome.promptTokens - outcome.reusedTokens + outcome.generatedTokens
                scores[request.task].sum += Self.number(sample.score, task.task.primary)
                scores[request.task].count += 1
                let seconds = (ContinuousClock.now - started).seconds
                progress(
                    RunProgress(
                        task: task.name, done: done, all: left.count,
                        score: scores[request.task].sum / Double(scores[request.task].count),
                        tokensPerSecond: Double(tokens) / max(seconds, 1e-9),
                        secondsLeft: seconds / Double(done) * Double(left.count - done)))
                if stop() { throw Stopped() }
            }
        } catch is Stopped {}
        if let share { try takeAnswers(of: share, left, log) }
        seconds = (ContinuousClock.now - started).seconds
    }

    /// Gives rank 0 the answers of the other ranks.
    private mutating func takeAnswers(of share: CaseShare, _ own: [Int], _ log: SampleLog?) throws {
        let lines = share.isFirst ? [] : own.compactMap { i in samples[i].map { "\(i) \($0.json.serialized())" } }
        let all = share.gathered(lines)
        guard share.isFirst else { return }
        for (rank, lines) in all.enumerated() {
            for line in lines {
                let place = "answer of rank \(rank)"
                let parts = line.split(separator: " ", maxSplits: 1)
                guard parts.count == 2, let i = Int(parts[0]), plan.requests.indices.contains(i) else {
                    throw InputError(.malformed, in: place, expected: "a request and a sample", found: "\"\(line)\"")
                }
                let request = plan.requests[i]
                let task = plan.tasks[request.task]
                let found = try JSONFields(JSON(parsing: String(parts[1])), place: place)
                let sample = try Self.sample(found, task, task.rows[request.row], request)
                try log?.append(sample)
                samples[i] = sample
            }
        }
    }

    /// A row's number for a primary metric, or for what a mean of means is made of.
    static func number(_ score: ItemScore, _ primary: String) -> Double {
        let value = score.value(primary) ?? score.value(Scalars(primary).without(suffix: "_macro").text)
        return (value ?? score.scores.first?.value)?.number ?? 0
    }

    // MARK: Results

    /// The results by task and length, as `results.json` has them.
    package var results: [TaskOutcome] {
        var outcomes: [TaskOutcome] = []
        for (place, task) in plan.tasks.enumerated() {
            var lengths: [Int?] = []
            for row in task.rows where !lengths.contains(row.length) { lengths.append(row.length) }
            for length in lengths.sorted(by: { ($0 ?? 0) < ($1 ?? 0) }) {
                let indices = plan.requests.indices.filter {
                    plan.requests[$0].task == place && task.rows[plan.requests[$0].row].length == length
                }
                outcomes.append(
                    TaskOutcome(
                        task, length: length, samples: indices.compactMap { samples[$0] },
                        skipped: indices.filter { !plan.requests[$0].fits }.count,
                        cut: indices.filter { plan.requests[$0].cut > 0 }.count,
                        missing: indices.filter { plan.requests[$0].fits && samples[$0] == nil }.count))
            }
        }
        return outcomes
    }
}

/// The result of a task at a length.
package struct TaskOutcome: Sendable {
    package let task: PlannedTask
    package let length: Int?
    package let n: Int
    /// Prompts that do not fit the model.
    package let skipped: Int
    /// Prompts that lost tokens at their beginning.
    package let cut: Int
    /// Prompts that were not asked yet.
    package let missing: Int
    package let summary: TaskSummary
    package let interval: Interval
    package let standardError: Double
    /// Instructions of IFEval whose rule is an approximation.
    package let approximate: Int
    package let promptTokens: Int
    package let reusedTokens: Int
    package let generatedTokens: Int

    init(_ task: PlannedTask, length: Int?, samples: [Sample], skipped: Int, cut: Int, missing: Int) {
        (self.task, self.length, n) = (task, length, samples.count)
        (self.skipped, self.cut, self.missing) = (skipped, cut, missing)
        let scores = samples.map(\.score)
        summary = task.task.summary(scores)
        let values = scores.map { EvaluationRun.number($0, task.task.primary) }
        let clusters = scores.compactMap(\.cluster)
        let isClustered = clusters.count == values.count && Set(clusters).count < clusters.count
        let groups = Set(scores.compactMap(\.group))
        let plain = values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count)
        if groups.count > 1, abs(plain - summary.score) > 1e-12, groups.count <= values.count {
            // A mean over groups' means: √(Σ (1/G)² se²).
            var variance = 0.0
            for group in groups.sorted() {
                let some = zip(scores, values).filter { $0.0.group == group }.map(\.1)
                let error = Interval.standardError(some) / Double(groups.count)
                variance += error * error
            }
            standardError = variance.squareRoot()
            interval = Interval.around(summary.score, standardError: standardError, clipped: true)
        } else {
            standardError =
                isClustered
                ? Interval.standardError(values, clusters: clusters) : Interval.standardError(values)
            interval = Interval.of(values, clusters: isClustered ? clusters : nil)
        }
        approximate = scores.reduce(0) { $0 + $1.approximate }
        promptTokens = samples.reduce(0) { $0 + $1.promptTokens }
        reusedTokens = samples.reduce(0) { $0 + $1.reusedTokens }
        generatedTokens = samples.reduce(0) { $0 + $1.generatedTokens }
    }

    /// - Parameter seconds: the task's share of the run's time.
    package func json(seconds: Double) -> JSON {
        var object: JSON.Object = ["task": .string(task.name)]
        if let length { object.append("length", JSON(length)) }
        object.append("n", JSON(n))
        object.append("skipped", JSON(skipped))
        if cut > 0 { object.append("truncated", JSON(cut)) }
        if missing > 0 { object.append("missing", JSON(missing)) }
        object.append("primary", .string(summary.primary))
        object.append("score", n > 0 ? JSON(summary.score) : .null)
        object.append("ci95", n > 0 ? interval.json : .null)
        object.append("stderr", JSON(standardError))
        let counts: [(name: String, value: Double)] = approximate > 0 ? [("approximate", Double(approximate))] : []
        object.append("metrics", ScoreReport.object(summary.metrics + counts))
        if !summary.groups.isEmpty { object.append("groups", ScoreReport.object(summary.groups)) }
        object.append("shots", JSON(task.shots))
        object.append("fewshot_sha256", task.fewshotHash.map { .string($0) } ?? .null)
        object.append("data_sha256", .string(task.dataHash))
        object.append("template", .string(task.template))
        object.append("chat", .bool(task.isChat))
        object.append("prompt_tokens", JSON(promptTokens))
        object.append("reused_tokens", JSON(reusedTokens))
        object.append("generated_tokens", JSON(generatedTokens))
        object.append("seconds", JSON(seconds))
        return .object(object)
    }

    /// Tokens that were read or generated.
    package var work: Int { promptTokens - reusedTokens + generatedTokens }
}
