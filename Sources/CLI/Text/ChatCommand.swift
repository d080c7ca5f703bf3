//  duality chat: a conversation in the terminal.
//
//  Ctrl-C stops the answer, not the program: the signal cancels the task that generates. What a
//  turn has read stays in the model's memory, so a long conversation is not read again.

import ArgumentParser
import Dispatch
import Duality
import DualityCore
import DualityInference
import DualityReference
import Foundation

struct ChatCommand: AsyncParsableCommand, RankedCommand {
    static let configuration = CommandConfiguration(
        commandName: "chat",
        abstract: "Talk with a model.",
        discussion: """
            Type a message and press return. Ctrl-C stops an answer; /reset forgets the conversation; /exit or Ctrl-D leaves. \
            When stdin is not a terminal, every line of it is a message.
            """)

    @OptionGroup var model: ModelOptions
    @OptionGroup var sampling: SamplingOptions
    @OptionGroup var template: TemplateOptions
    @Option(name: .long, help: "A system message to begin with.")
    var system: String?
    @Option(name: .long, help: "The most tokens of one answer.")
    var maxTokens: Int = 512
    @Flag(name: .long, inversion: .prefixedNo, help: "Let a model that can think do so before it answers.")
    var thinking: Bool?
    @OptionGroup var speculation: SpeculationOptions
    @OptionGroup var engine: EngineOptions
    @OptionGroup var ranks: RankOptions

    func run() async throws {
        let loader = try modelLoader()
        let drafts = try speculation.loader(beside: try model.tokenizer())
        let loaded = try loader.loadShown()
        try await run(loaded, drafters: try speculation.drafters(drafts, for: loaded))
    }

    func modelLoader() throws -> ModelLoader { try engine.loader(model) }

    private func run(_ loaded: some LanguageModel, drafters: [any TokenDrafter]) async throws {
        let directory = try ModelLocation.find(model.model)
        let defaults = try model.generationDefaults()
        let (sampling, _) = try sampling.resolved(defaults)
        let tokenizer = try model.tokenizer()
        let template = try template.chatTemplate(model)
        var conversation = Conversation(
            model: loaded, tokenizer: tokenizer, template: template, sampling: sampling,
            limits: GenerationLimits(maxTokens: maxTokens, endTokens: template.endTokens(defaults, tokenizer)),
            system: system, enableThinking: thinking, drafters: drafters)
        let interrupt = Interrupt()
        if Terminal.stdinIsTerminal {
            Terminal.note("Chatting with \(directory). Ctrl-C stops an answer, /reset starts over, /exit leaves.")
        }
        while let line = readMessage() {
            switch line.trimmingCharacters(in: .whitespaces) {
            case "": continue
            case "/exit", "/quit": return
            case "/reset":
                conversation.reset()
                Terminal.note("The conversation is forgotten.")
            case "/help":
                Terminal.note("/reset starts over, /exit leaves, Ctrl-C stops an answer.")
            default:
                do {
                    conversation = try await interrupt.whileRunning(answer(line, in: conversation))
                } catch let error as InputError where Terminal.stdinIsTerminal {
                    // A conversation that outgrew the context should not end the program that holds
                    // it.
                    Terminal.note("error: \(error)\n/reset starts over.")
                }
            }
        }
        if Terminal.stdinIsTerminal { Terminal.note("") }
    }

    private func readMessage() -> String? {
        Self.prompt()
        return readLine()
    }

    static func prompt() {
        if Terminal.stdinIsTerminal { FileHandle.standardError.write(Data("> ".utf8)) }
    }

    /// The task of one turn: streams the answer and returns the conversation that includes it.
    private func answer<Model>(_ message: String, in conversation: Conversation<Model>) -> Task<
        Conversation<Model>, any Error
    > {
        Task {
            var conversation = conversation
            for try await event in try conversation.ask(message) {
                switch event {
                case .token(_, let piece): Terminal.stream(piece)
                case .finished(let completion):
                    Terminal.stream(completion.remainingText + (completion.reason == .cancelled ? " …\n" : "\n"))
                    conversation.take(completion)
                }
            }
            return conversation
        }
    }
}

/// Turns Ctrl-C into the cancellation of whatever runs.
private final class Interrupt: @unchecked Sendable {
    private let lock = NSLock()
    private let source: any DispatchSourceSignal
    private var cancel: (() -> Void)?

    init() {
        signal(SIGINT, SIG_IGN)
        source = DispatchSource.makeSignalSource(signal: SIGINT, queue: .global(qos: .userInteractive))
        source.setEventHandler { [weak self] in self?.interrupted() }
        source.resume()
    }

    private func interrupted() {
        let running = lock.withLock { cancel }
        if let running {
            running()
        } else {
            Terminal.note("\n/exit or Ctrl-D leaves.")
            ChatCommand.prompt()
        }
    }

    func whileRunning<Value: Sendable>(_ task: Task<Value, any Error>) async throws -> Value {
        lock.withLock { cancel = { task.cancel() } }
        defer { lock.withLock { cancel = nil } }
        return try await task.value
    }
}
