//  duality compose: a context read in chunks, their memories composed into one, and a question
//  after it.

import ArgumentParser
import DualityCore
import DualityInference
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
    @Option(name: .long, help: "Chunks read at once.")
    var threads: Int = ProcessInfo.processInfo.activeProcessorCount
    @Option(name: .long, help: "Number format of the computation.")
    var precision: Precision = .f32
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
        guard maxTokens >= 0, threads >= 1 else {
            throw ValidationError("--max-tokens must be at least 0 and --threads at least 1.")
        }
        guard GapVisibility(rawValue: gap) != nil else {
            throw ValidationError("--gap is one of \(GapVisibility.allCases.map(\.rawValue).joined(separator: ", ")).")
        }
    }

    private var model: ModelOptions {
        ModelOptions(model: modelDirectory, normGroups: false, allowNonFinite: allowNonFinite)
    }

    func run() async throws {
        switch precision {
        case .f32: try await run(as: Float.self)
        case .f64: try await run(as: Double.self)
        }
    }

    private func run<Scalar: RealNumber>(as scalar: Scalar.Type) async throws {
        let type = try ComposeType(named: type)
        let directory = try ModelLocation.find(model.model)
        let tokenizer = try tokenizer(directory)
        let context = try tokens(contextIds, "--context-ids", tokenizer, try context.map(TextFile.read))
        let question = try tokens(questionIds, "--question-ids", tokenizer, question)
        let prefix = try tokens(prefixIds, "--prefix-ids", tokenizer, prefix)
        let plan = try ChunkPlan(
            context: context, chunks: chunks, prefix: prefix, filler: try filler(tokenizer, directory),
            keyValues: type.keyValues, sequentialPositions: sequentialPositions)
        let defaults = try model.generationDefaults()
        let (sampling, seed) = try sampling.resolved(defaults)

        let model = try self.model.load(as: Scalar.self)
        let start = ContinuousClock.now
        let read = try await rows(of: plan, type, model, directory)
        let composed = try model.compose(
            read, plan: plan, type: type, gap: GapVisibility(rawValue: gap) ?? .hidden, context: context,
            question: question, forgetsPrefix: officialPositions && sequentialPositions)
        let seconds = (ContinuousClock.now - start).seconds

        var decoder = tokenizer.map { StreamingDecoder($0) }
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
        guard json else {
            Terminal.stream("\(rest)\n")
            Terminal.note(
                "[\(type.rawValue): \(context.count) tokens in \(plan.rows.count) chunks, composed in "
                    + String(
                        format: "%.2f s; %d tokens kept, next position %d]", seconds, plan.keptCount, plan.nextPosition)
            )
            return
        }
        let report: JSON = [
            "text": tokenizer == nil ? .null : .string(text), "tokens": .array(generated.map { JSON($0) }),
            "compose_type": .string(type.rawValue), "chunks": JSON(plan.rows.count),
            "context_tokens": JSON(context.count), "prefix_tokens": JSON(plan.lead.count),
            "question_tokens": JSON(question.count), "kept_tokens": JSON(plan.keptCount),
            "next_position": JSON(plan.nextPosition), "loaded": .bool(loadState != nil),
            "compose_seconds": JSON(seconds), "seed": seed.map { .number(String($0)) } ?? .null,
        ]
        print(report.serialized(indented: true))
    }

    /// The chunks' memories, read or from a file.
    private func rows<Scalar: RealNumber>(
        of plan: ChunkPlan, _ type: ComposeType, _ model: HybridModel<Scalar>, _ directory: String
    ) async throws -> ReadRows<Scalar> {
        let hash = saveState == nil && loadState == nil ? "" : try Checkpoint(directory: directory).contentHash()
        let read: ReadRows<Scalar>
        if let loadState {
            read = try ReadRows(path: loadState, plan: plan, modelHash: hash, configuration: model.configuration)
        } else {
            // What is saved should serve any type of these keys and values.
            let readsRows = plan.whole == nil || type.states != .zero || saveState != nil
            read = try await model.read(plan, readsRows: readsRows, threads: threads) { done, all in
                Terminal.progress("read \(done) of \(all) pieces")
            }
            Terminal.clearProgress()
        }
        if let saveState {
            try read.write(to: saveState, plan: plan, modelHash: hash)
            Terminal.note("wrote the states of \(read.rows.count) chunks to \(saveState)")
        }
        return read
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
