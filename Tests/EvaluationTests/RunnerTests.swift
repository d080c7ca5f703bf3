//  A run gives the same answers whatever is read together, in whichever order, and however often it
//  was killed.

import Duality
import DualityCore
import DualityEvaluation
import DualityInference
import DualityQuant
import Foundation
import Synchronization
import TestSupport
import Testing

struct RunnerTests {
    private static let model = Result { try ModelLoader(Fixtures.embeddedModel).loadFast() }
    private static let tokenizer = Result { try Tokenizer(directory: Fixtures.embeddedModel) }

    /// Needles of two lengths and questions with choices, after examples that all share.
    private static func plan() throws -> EvaluationPlan {
        let tokenizer = try tokenizer.get()
        let settings = GeneratorSettings(
            length: 512, count: 3, seed: 1, tokenizer: tokenizer,
            prose: try Filler(file: "\(Fixtures.embeddedModel)/data/heldout.txt"))
        let needles = try GeneratedTasks.rows("niah_single_1", settings).enumerated().map { i, row in
            EvaluationRow(id: "\(i)", doc: try JSONFields(row, place: "row"), length: 512)
        }
        func question(_ i: Int) throws -> JSONFields {
            try JSONFields(
                [
                    "question": .string("What colour is thing \(i)?"), "subject": "colours", "answer": JSON(i % 4),
                    "choices": ["red", "green", "blue", "white"],
                ], place: "row \(i)")
        }
        let examples = try (100..<108).map(question)
        let choices = try (0..<12).map { EvaluationRow(id: "\($0)", doc: try question($0), examples: examples) }
        let tasks = [
            PlannedTask(
                name: "niah_single_1", task: try TaskCatalogue.entry("niah_single_1").make(nil), isChat: false,
                rows: needles, shots: 0, dataHash: ""),
            PlannedTask(name: "mmlu", task: MMLU(), isChat: true, rows: choices, shots: 8, dataHash: ""),
        ]
        let encoder = RequestEncoder(
            tokenizer, template: try ChatTemplate(directory: Fixtures.embeddedModel), first: 4095)
        return try EvaluationPlan(tasks, encoder: encoder, context: 8192, maxTokens: 12)
    }

    private static func settings(batch: Int, reuses: Bool) -> RunnerSettings {
        var settings = RunnerSettings()
        (settings.batch, settings.reuses, settings.ends, settings.turnEnds) = (batch, reuses, [4093, 4095], [4095])
        return settings
    }

    /// What a sample says but for token counts.
    private static func facts(_ run: EvaluationRun) -> [Int: String] {
        run.samples.mapValues { sample in
            var sample = sample
            (sample.reusedTokens, sample.promptTokens) = (0, 0)
            return sample.json.serialized()
        }
    }

    @Test func reuseAndBatchDoNotChangeAnswers() throws {
        let (model, tokenizer, plan) = (try Self.model.get(), try Self.tokenizer.get(), try Self.plan())
        var together = try EvaluationRun(plan, nil)
        try together.run(model, tokenizer, Self.settings(batch: 4, reuses: true), nil)
        var alone = try EvaluationRun(plan, nil)
        try alone.run(model, tokenizer, Self.settings(batch: 1, reuses: false), nil)
        #expect(together.samples.count == plan.requests.count)
        #expect(Self.facts(together) == Self.facts(alone))
        func read(_ run: EvaluationRun) -> Int {
            run.results.filter { $0.task.name == "mmlu" }.reduce(0) { $0 + $1.promptTokens - $1.reusedTokens }
        }
        #expect(read(together) * 5 <= read(alone), "\(read(together)) of \(read(alone))")
    }

    @Test func aKilledRunGoesOnToTheSameEnd() throws {
        let (model, tokenizer, plan) = (try Self.model.get(), try Self.tokenizer.get(), try Self.plan())
        let folder = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appendingPathComponent("samples.jsonl").path
        var whole = try EvaluationRun(plan, nil)
        try whole.run(model, tokenizer, Self.settings(batch: 4, reuses: true), nil)

        var asked = 0
        var first = try EvaluationRun(plan, nil)
        try first.run(model, tokenizer, Self.settings(batch: 4, reuses: true), SampleLog(path)) { _ in
            asked += 1
        } stop: {
            asked == 5
        }
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
        try file.seekToEnd()
        try file.write(contentsOf: Data(#"{"task": "mmlu", "id": "torn"#.utf8))
        try file.close()

        let log = try SampleLog(path)
        var second = try EvaluationRun(plan, log)
        #expect(second.resumed == 5)
        try second.run(model, tokenizer, Self.settings(batch: 3, reuses: true), log)
        #expect(Self.facts(second) == Self.facts(whole))
        #expect(second.results.map(\.summary.score) == whole.results.map(\.summary.score))
        #expect(try SampleLog(path).found.count == plan.requests.count)
    }

    /// Ranks with a whole model each: the results are those of one, tokens and all, and all answers
    /// are in the log of the first; a run that was cut short goes on.
    @Test func ranksThatShareARunOutHaveTheResultsOfOne() throws {
        let (model, tokenizer, plan) = (try Self.model.get(), try Self.tokenizer.get(), try Self.plan())
        let folder = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: folder) }
        let settings = Self.settings(batch: 4, reuses: true)
        var whole = try EvaluationRun(plan, nil)
        try whole.run(model, tokenizer, settings, nil)
        func results(_ run: EvaluationRun) -> [String] { run.results.map { $0.json(seconds: 0).serialized() } }
        for count in [2, 3] {
            let path = folder.appendingPathComponent("samples-\(count).jsonl").path
            if count == 3 {
                var before = try EvaluationRun(plan, nil)
                var asked = 0
                try before.run(model, tokenizer, settings, SampleLog(path)) { _ in
                    asked += 1
                } stop: {
                    asked == 2
                }
            }
            let asked = Mutex([Int](repeating: 0, count: count))
            let run = try ThreadRanks.run(count) { exchange in
                let log = try SampleLog(path)
                var run = try EvaluationRun(plan, log)
                try run.run(model, tokenizer, settings, log, share: CaseShare(exchange)) { _ in
                    asked.withLock { $0[0] += 1 }
                }
                return run
            } other: { exchange in
                do {
                    var run = try EvaluationRun(plan, nil)
                    try run.run(model, tokenizer, settings, nil, share: CaseShare(exchange)) { _ in
                        asked.withLock { $0[exchange.rank] += 1 }
                    }
                } catch {
                    Issue.record(error)
                }
            }
            #expect(run.samples.count == plan.requests.count && Self.facts(run) == Self.facts(whole))
            if count == 2 { #expect(results(run) == results(whole)) }
            #expect(try SampleLog(path).found.count == plan.requests.count)
            let counts = asked.withLock { $0 }
            #expect(
                counts.allSatisfy { $0 > 0 } && counts.reduce(0, +) == plan.requests.count - run.resumed, "\(counts)")
        }
    }

    @Test func theFolderOfAnotherRunIsRefused() throws {
        let folder = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: folder) }
        try RunFolder.open(folder.path, settings: ["seed": 1, "tasks": "a"])
        try RunFolder.open(folder.path, settings: ["seed": 1, "tasks": "a"])
        let error = #expect(throws: InputError.self) {
            try RunFolder.open(folder.path, settings: ["seed": 2, "tasks": "a"])
        }
        #expect(error?.place.hasSuffix("seed") == true)
        let other = folder.appendingPathComponent("other")
        try FileManager.default.createDirectory(at: other, withIntermediateDirectories: true)
        try Data("x".utf8).write(to: other.appendingPathComponent("notes.txt"))
        #expect(throws: InputError.self) { try RunFolder.open(other.path, settings: ["seed": 1]) }
    }

    @Test func whatDoesNotFitIsSkippedOrCutAtTheLeft() throws {
        let encoder = RequestEncoder(
            try Self.tokenizer.get(), template: try ChatTemplate(directory: Fixtures.embeddedModel), first: 4095)
        let tasks = try Self.plan().tasks
        let skipping = try EvaluationPlan(tasks, encoder: encoder, context: 300, maxTokens: 12)
        let cutting = try EvaluationPlan(tasks, encoder: encoder, context: 300, maxTokens: 12, cutsLeft: true)
        #expect(skipping.requests.contains { !$0.fits } && skipping.requests.allSatisfy { $0.cut == 0 })
        for (whole, cut) in zip(skipping.requests, cutting.requests) {
            #expect(cut.fits)
            #expect(whole.fits ? cut.cut == 0 : cut.tokens.prompt.count + 12 >= 300)
            #expect(whole.tokens.prompt.suffix(cut.tokens.prompt.count) == cut.tokens.prompt[...])
            #expect(whole.tokens.prompt.count - cut.tokens.prompt.count == cut.cut)
        }
    }

    /// HumanEval, whose answers may go as far as the context does, and a task of so many tokens.
    private static func answering(_ words: Int, limit: Int? = nil, context: Int?, cutsLeft: Bool = false) throws
        -> EvaluationPlan
    {
        let doc = try JSONFields(["prompt": .string(String(repeating: "word ", count: words))], place: "row")
        let row = EvaluationRow(id: "0", doc: doc)
        let whole = try TaskCatalogue.entry("humaneval").make(nil)
        let task = limit.map { Limited(limit: $0, whole: whole) } ?? whole
        let planned = PlannedTask(name: task.name, task: task, isChat: false, rows: [row], shots: 0, dataHash: "")
        let encoder = RequestEncoder(try tokenizer.get(), template: nil, first: 4095)
        return try EvaluationPlan([planned], encoder: encoder, context: context, maxTokens: nil, cutsLeft: cutsLeft)
    }

    /// HumanEval with answers of so many tokens.
    private struct Limited: EvaluationTask {
        let limit: Int
        let whole: any EvaluationTask

        var name: String { "limited" }
        var primary: String { whole.primary }

        func score(_ doc: JSONFields, _ response: Response) throws(InputError) -> ItemScore {
            try whole.score(doc, response)
        }

        func request(_ doc: JSONFields, examples: [JSONFields], isChat: Bool) throws(InputError) -> TaskRequest {
            var request = try whole.request(doc, examples: examples, isChat: isChat)
            guard case .generate(var generation) = request.kind else { return request }
            generation.maxTokens = limit
            request.kind = .generate(generation)
            return request
        }
    }

    @Test func anAnswerAsFarAsTheContextGoesHasAnAnswersShareOfMemory() throws {
        for context in [nil, 1 << 20] {
            let plan = try Self.answering(40, context: context)
            let prompt = plan.requests[0].tokens.prompt.count
            #expect(plan.longest(context) == prompt + 4096)
        }
        #expect(try Self.answering(40, context: 512).longest(512) == 512)
        let short = try Self.answering(40, limit: 30, context: nil)
        #expect(short.longest(nil) == short.requests[0].tokens.prompt.count + 30)
    }

    @Test func onlyABatchThatIsAskedForIsRefused() throws {
        func batch(_ asked: Int?, _ most: Int?) throws -> Int {
            try RunnerSettings.batch(asked: asked, fitting: most, tokens: 8192)
        }
        #expect(try [0, 1, 5, 16, 90].map { try batch(nil, $0) } == [1, 1, 5, 16, 16])
        #expect(try [batch(nil, nil), batch(200, nil), batch(5, 5), batch(1, 0)] == [16, 200, 5, 1])
        #expect(throws: InputError.self) { try batch(6, 5) }
        #expect(throws: InputError.self) { try batch(2, 0) }
    }

    @Test func aPromptThatIsCutLeavesRoomForItsAnswer() throws {
        for (context, room) in [(600, 300), (4096, 1024)] {
            let cut = try Self.answering(9000, context: context, cutsLeft: true).requests[0]
            #expect(cut.fits && cut.tokens.prompt.count == context - room && cut.tokens.mostGenerated == 20 * room)
        }
        // What fits is left alone, and what is not cut needs no more than a token.
        let whole = try Self.answering(30, context: 600, cutsLeft: true).requests[0]
        #expect(whole.cut == 0 && whole.tokens.mostGenerated == 20 * (600 - whole.tokens.prompt.count))
        let length = whole.tokens.prompt.count
        #expect(try Self.answering(30, context: length + 1).requests[0].fits)
        #expect(try !Self.answering(30, context: length).requests[0].fits)
    }

    @Test func anAnswerOfNoTokensIsNotAsked() throws {
        for cutsLeft in [false, true] {
            for context in [600, 4] {
                let request = try Self.answering(30, limit: 0, context: context, cutsLeft: cutsLeft).requests[0]
                #expect(!request.fits && request.cut == 0)
            }
        }
    }

    @Test func thePlotLabelsLengthsAndTasks() {
        let interval = Interval(lower: 0.4, upper: 0.9)
        let plot = AccuracyPlot(
            title: "a < b",
            lines: [.init(name: "vt", points: [(1024, 0.7, interval), (4096, 0.5, interval)])], context: 2048)
        for part in ["1K", "4K", ">vt<", "a &lt; b", "trained context"] { #expect(plot.svg.contains(part), "\(part)") }
    }
}
