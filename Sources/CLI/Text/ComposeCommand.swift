//  duality compose: a context read in chunks, their memories composed into one, and a question
//  after it.

import ArgumentParser
import Duality
import DualityCore
import DualityInference
import DualityQuant
import DualityReference
import Foundation

struct ComposeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compose",
        abstract: "Read a context in chunks, compose their states, and answer a question about it.",
        discussion: """
            The context is cut into N chunks, each with the prefix before it, that the model reads apart and at once. Their \
            memories become one: keys and values side by side (or of the whole context, or of the last chunk), states \
            averaged (soup), averaged over all orders (fuse), dropped (kv_only) or composed in order (exact). The \
            question follows.

            Types: \(ComposeType.allCases.map(\.rawValue).joined(separator: ", ")).

            The chunks' memories can be saved and used again with another question or another type; a file that belongs to \
            other weights, tokens or chunks is refused.

            Examples:
              duality compose --context notes.txt --chunks 4 --question "The special magic number for Sam is"
              duality compose --context notes.txt --save-state notes.states --question "Who is Sam?"
              duality compose --context notes.txt --load-state notes.states --question "Where is Leo?"
            """)

    @Option(
        name: .customLong("model"),
        help: ArgumentHelp(
            "The model's directory (config.json, *.safetensors, tokenizer.json), or OWNER/NAME of one in the hub's cache.",
            discussion: "Default: $DUALITY_MODEL, else the embedded model.", valueName: "dir"))
    var modelDirectory: String?
    @Flag(name: .long, help: "Load a model even if a weight is NaN or infinite.")
    var allowNonFinite = false
    @Option(name: .long, help: ArgumentHelp("The text to read; - is stdin.", valueName: "file"))
    var context: String?
    @Option(name: .long, help: ArgumentHelp("Its token ids instead: 1,2,3 or @FILE.", valueName: "ids"))
    var contextIds: String?
    @Option(name: .long, help: ArgumentHelp("What follows the context.", valueName: "text"))
    var question: String?
    @Option(name: .long, help: ArgumentHelp("Its token ids instead: 1,2,3 or @FILE.", valueName: "ids"))
    var questionIds: String?
    @Option(name: .long, help: ArgumentHelp("What stands before every chunk.", valueName: "text"))
    var prefix: String?
    @Option(name: .long, help: ArgumentHelp("Its token ids instead: 1,2,3 or @FILE.", valueName: "ids"))
    var prefixIds: String?
    @Option(
        name: [.long, .customLong("num-chunks")], help: ArgumentHelp("Chunks to cut the context into.", valueName: "n"))
    var chunks = 2
    @Option(
        name: [.long, .customLong("compose-type")],
        help: ArgumentHelp("What to make of the memories.", valueName: "type"))
    var type = ComposeType.concatenatedSoup.rawValue
    @Flag(name: .long, help: "Give the chunks the positions they have in the context, not the same ones each.")
    var sequentialPositions = false
    @Flag(
        name: .long,
        help:
            "With --sequential-positions, number what is generated as the official tool does, which forgets the prefix."
    )
    var officialPositions = false
    @Option(
        name: .long,
        help: ArgumentHelp(
            "With sw types, from whom the middle of the context is hidden: hidden (all), generation, visible (nobody).",
            valueName: "gap"))
    var gap = GapVisibility.hidden.rawValue
    @Option(
        name: .long,
        help: ArgumentHelp("The token that fills short chunks (default: the model's line feed).", valueName: "id"))
    var fillerId: Int?
    @Option(name: .long, help: ArgumentHelp("Write the chunks' memories to a file.", valueName: "file"))
    var saveState: String?
    @Option(name: .long, help: ArgumentHelp("Take the chunks' memories from a file.", valueName: "file"))
    var loadState: String?
    @OptionGroup var sampling: SamplingOptions
    @Option(name: .long, help: "The most tokens to generate.")
    var maxTokens: Int = 64
    @Flag(name: .long, help: "Do not stop at the model's end tokens.")
    var ignoreEnd = false
    @OptionGroup var engine: EngineOptions
    @Flag(name: .long, help: "Print one JSON object at the end instead of streaming.")
    var json = false

    func validate() throws {
        guard (context == nil) != (contextIds == nil) else {
            throw ValidationError("Give the context by exactly one of --context and --context-ids.")
        }
        guard (question == nil) != (questionIds == nil) else {
            throw ValidationError("Give the question by exactly one of --question and --question-ids.")
        }
        guard prefix == nil || prefixIds == nil else { throw ValidationError("Give the prefix once.") }
        guard maxTokens >= 0 else { throw ValidationError("--max-tokens must be at least 0.") }
        guard (1...65536).contains(chunks) else { throw ValidationError("--chunks must be from 1 to 65536.") }
        guard GapVisibility(rawValue: gap) != nil else {
            throw ValidationError("--gap is one of \(GapVisibility.allCases.map(\.rawValue).joined(separator: ", ")).")
        }
    }

    /// The options of the model that this command has: its `--context` is another one's.
    var model: ModelOptions {
        get throws {
            try ModelOptions.parse(
                (modelDirectory.map { ["--model", $0] } ?? []) + (allowNonFinite ? ["--allow-non-finite"] : []))
        }
    }

    func run() async throws {
        var options = engine
        if engine.engine != .reference, engine.precision != .f64 { options.keyValues = options.keyValues ?? .f32 }
        let loader = try options.loader(model, default: .f32)
        let task = try ComposeTask(self)
        let start = ContinuousClock.now
        switch loader.choice {
        case .fast, .packed:
            let fast = try loader.loadFastShown(tokens: task.plan.keptCount.adding(maxTokens))
            let read = try await rows(of: task) { readsRows in
                try fast.read(task.plan, readsRows: readsRows) { Terminal.progress("read \($0) of \($1) tokens") }
            }
            try answer(
                fast,
                try fast.compose(
                    read, plan: task.plan, type: task.type, gap: task.gap, context: task.context,
                    question: task.question, forgetsPrefix: officialPositions && sequentialPositions), task, start)
        case .reference(.f64): try await runReference(task, as: Double.self, start)
        case .reference(.f32): try await runReference(task, as: Float.self, start)
        }
    }

    private func runReference<Scalar: RealNumber>(
        _ task: ComposeTask, as scalar: Scalar.Type, _ start: ContinuousClock.Instant
    ) async throws {
        let model = try self.model.load(as: Scalar.self)
        let read = try await rows(of: task) { readsRows in
            try await model.read(task.plan, readsRows: readsRows, threads: engine.threadCount) { done, all in
                Terminal.progress("read \(done) of \(all) pieces")
            }
        }
        try answer(
            model,
            try model.compose(
                read, plan: task.plan, type: task.type, gap: task.gap, context: task.context,
                question: task.question, forgetsPrefix: officialPositions && sequentialPositions), task, start)
    }

    /// What is to be read, composed and answered.
    private struct ComposeTask {
        let type: ComposeType
        let gap: GapVisibility
        let directory: String
        let configuration: HybridConfiguration
        let tokenizer: Tokenizer?
        let context, question: [Int]
        let plan: ChunkPlan

        init(_ command: ComposeCommand) throws {
            type = try ComposeType(named: command.type)
            gap = GapVisibility(rawValue: command.gap) ?? .hidden
            directory = try ModelLocation.find(command.model.model)
            configuration = try HybridConfiguration(directory: directory)
            tokenizer = try command.tokenizer(directory)
            context = try command.tokens(
                command.contextIds, "--context-ids", tokenizer, try command.context.map(TextFile.read))
            question = try command.tokens(command.questionIds, "--question-ids", tokenizer, command.question)
            plan = try ChunkPlan(
                context: context, chunks: command.chunks,
                prefix: try command.tokens(command.prefixIds, "--prefix-ids", tokenizer, command.prefix),
                filler: try command.filler(tokenizer, directory), keyValues: type.keyValues,
                sequentialPositions: command.sequentialPositions)
        }
    }

    /// Generates behind a composed context, and reports.
    private func answer<Model: LanguageModel>(
        _ model: Model, _ composed: ComposedContext<Model.Cache>, _ task: ComposeTask, _ start: ContinuousClock.Instant
    ) throws where Model.Cache: PositionedMemory {
        let seconds = (ContinuousClock.now - start).seconds
        let defaults = try self.model.generationDefaults()
        let (sampling, seed) = try sampling.resolved(defaults)
        var decoder = task.tokenizer.map { StreamingDecoder($0) }
        var text = ""
        let generated = try model.generate(
            after: composed, sampling: sampling, maxTokens: maxTokens,
            endTokens: ignoreEnd ? [] : Set(defaults.endTokens)
        ) { token in
            let piece = decoder?.push(token) ?? "\(text.isEmpty ? "" : ",")\(token)"
            text += piece
            if !json { Terminal.stream(piece) }
        }
        let rest = decoder?.finish() ?? ""
        text += rest
        let plan = task.plan
        guard json else {
            Terminal.stream("\(rest)\n")
            Terminal.note(
                "[\(task.type.rawValue): \(task.context.count) tokens in \(plan.rows.count) chunks, composed in "
                    + String(
                        format: "%.2f s; %d tokens kept, next position %d]", seconds, plan.keptCount, plan.nextPosition)
            )
            return
        }
        let report: JSON = [
            "text": task.tokenizer == nil ? .null : .string(text), "tokens": .array(generated.map { JSON($0) }),
            "compose_type": .string(task.type.rawValue), "chunks": JSON(plan.rows.count),
            "context_tokens": JSON(task.context.count), "prefix_tokens": JSON(plan.lead.count),
            "question_tokens": JSON(task.question.count), "kept_tokens": JSON(plan.keptCount),
            "next_position": JSON(plan.nextPosition), "loaded": .bool(loadState != nil),
            "compose_seconds": JSON(seconds), "seed": seed.map { .number(String($0)) } ?? .null,
        ]
        print(report.serialized(indented: true))
    }

    /// The chunks' memories, read or from a file.
    ///
    /// - Parameter read: is told whether the rows are wanted, beside the whole context.
    private func rows<Scalar: RealNumber>(
        of task: ComposeTask, read: (Bool) async throws -> ReadRows<Scalar>
    ) async throws -> ReadRows<Scalar> {
        let hash = saveState == nil && loadState == nil ? "" : try Checkpoint(directory: task.directory).contentHash()
        let rows: ReadRows<Scalar>
        if let loadState {
            rows = try ReadRows(path: loadState, plan: task.plan, modelHash: hash, configuration: task.configuration)
        } else {
            // What is saved should serve any type of these keys and values.
            rows = try await read(task.plan.whole == nil || task.type.states != .zero || saveState != nil)
            Terminal.clearProgress()
        }
        if let saveState {
            try rows.write(to: saveState, plan: task.plan, modelHash: hash)
            Terminal.note("wrote the states of \(rows.rows.count) chunks to \(saveState)")
        }
        return rows
    }

    /// Nil where the model has none and everything is given as ids.
    private func tokenizer(_ directory: String) throws -> Tokenizer? {
        let needsText = context != nil || question != nil || prefix != nil
        guard needsText || FileManager.default.fileExists(atPath: "\(directory)/tokenizer.json") else { return nil }
        return try model.tokenizer()
    }

    private func tokens(_ ids: String?, _ flag: String, _ tokenizer: Tokenizer?, _ text: String?) throws -> [Int] {
        if let ids { return try TokenIDs.parse(ids, flag: flag) }
        return text.flatMap { tokenizer?.encode($0) } ?? []
    }

    /// As the official tool has it: the first token of a line feed; where that is none or 0, the
    /// padding token or 0.
    private func filler(_ tokenizer: Tokenizer?, _ directory: String) throws -> Int {
        let configuration = try HybridConfiguration(directory: directory)
        if let fillerId {
            guard (0..<configuration.vocabularySize).contains(fillerId) else {
                throw InputError(
                    .value, in: "--filler-id", expected: "a token, 0 to \(configuration.vocabularySize - 1)",
                    found: "\(fillerId)")
            }
            return fillerId
        }
        if let first = tokenizer?.encode("\n").first, first != 0 { return first }
        return configuration.padToken ?? 0
    }
}
