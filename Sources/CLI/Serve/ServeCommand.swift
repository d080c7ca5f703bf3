//  duality serve: the model behind the HTTP interface of OpenAI and vLLM.
//
//  Every flag is checked before the model is loaded, and all that can be wrong with the model
//  before anything listens.

import ArgumentParser
import Duality
import DualityCore
import DualityInference
import DualityQuant
import DualityServer
import Foundation

struct ServeCommand: AsyncParsableCommand, RankedCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Serve the model over HTTP, with the interface of OpenAI and the flags of vLLM.",
        discussion: """
            Answers POST /v1/chat/completions and /v1/completions, streamed or whole, with tools, thoughts, structured output and log \
            probabilities; GET / is a page to chat with. Requests are computed together, and what was read once is not read again. \
            Needs a build with the package trait Server: swift build -c release --traits Server --product duality

            Examples:
              duality serve
              duality serve path/to/model --served-model-name mine --max-model-len 32k --port 8080
              duality serve path/to/model --host 0.0.0.0 --api-key "$KEY"
            """)

    @Argument(
        help: ArgumentHelp(
            "The model's directory; else --model, $DUALITY_MODEL or the embedded model.", valueName: "model"))
    var positional: String?
    @OptionGroup var model: ModelOptions
    @OptionGroup var engine: EngineOptions
    @OptionGroup var ranks: RankOptions
    @OptionGroup(title: "Interface") var interface: ServeInterfaceOptions
    @OptionGroup(title: "Scheduling and memory") var scheduling: ServeSchedulingOptions
    @OptionGroup(title: "Conversations") var conversations: ServeConversationOptions

    func validate() throws {
        if engine.engine == .reference || engine.precision == .f64 {
            throw ValidationError("serve needs the fast engine.")
        }
        if positional != nil, model.model != nil {
            throw ValidationError("Give the model once, as an argument or with --model.")
        }
        if let kv = scheduling.keyValueFormat, let other = engine.keyValues, kv != other {
            throw ValidationError("--kv and --kv-cache-dtype say different things.")
        }
    }

    private var modelOptions: ModelOptions {
        var options = model
        options.model = positional ?? model.model
        return options
    }

    func modelLoader() throws -> ModelLoader {
        var engine = engine
        engine.keyValues = scheduling.keyValueFormat ?? engine.keyValues
        return try engine.loader(modelOptions)
    }

    func run() async throws {
        #if Server
            try await serve()
        #else
            throw InputError(
                .unsupported, in: "serve", expected: "a build with the package trait Server", found: "one without it",
                remedy: "Build it with: swift build -c release --traits Server --product duality (or make serve).")
        #endif
    }

    #if Server
        private func serve() async throws {
            let server = try prepare()
            let settings = try interface.settings()
            if settings.host != "127.0.0.1", settings.host != "localhost", settings.host != "::1", settings.keys.isEmpty
            {
                Terminal.note("warning: anyone who reaches \(settings.host) may use this server: give it an --api-key.")
            }
            let name = server.model.name
            let host = settings.host.contains(":") ? "[\(settings.host)]" : settings.host
            let process = ServerProcess(server, settings, log: RequestLog(isOn: !interface.disableLogRequests))
            do {
                try await process.run { port in Terminal.note("Serving \(name) at http://\(host):\(port)") }
            } catch {
                RankLaunch.fail("error: \(host):\(settings.port) cannot be listened at: \(error)", status: 1)
            }
        }

        /// Loads the model, which takes the time.
        private func prepare() throws -> ServerAPI {
            let (options, loader) = (modelOptions, try modelLoader())
            if RankLaunch.exchange != nil, scheduling.stateDir != nil {
                throw InputError(
                    .unsupported, in: "--state-dir", expected: "one rank, whose snapshots are whole",
                    found: "several", remedy: "Leave it out; snapshots are kept in memory.")
            }
            guard loader.choice.engineName == "fast" else {
                throw InputError(
                    .unsupported, in: loader.directory, expected: "a model that the fast engine runs", found: "another")
            }
            let configuration = try HybridConfiguration(directory: loader.directory)
            let length = try scheduling.length(configuration.contextLength)
            let tokenizer = try options.tokenizer()
            let defaults = try options.generationDefaults()
            let template = try conversations.template(loader.directory)
            var limits = try scheduling.limits(length)
            let identity = try WeightIdentity(directory: loader.directory)
            limits.notice = { Terminal.note($0) }
            if case .packed = loader.choice { limits.weightsAreMapped = !engine.resident }

            let loaded = try loader.loadFastShown(tokens: length)
            let precision = try loader.computation().precision
            let formats = "\(precision)-kv-\(loaded.keyValueFormat.rawValue)"
            limits.modelIdentity = "\(identity.text)-\(formats)"
            let engine = try ServingEngine(model: loaded, limits: limits)
            if !engine.summary.isEmpty { Terminal.note(engine.summary) }
            let served = ServedModel(
                engine: engine, tokenizer: tokenizer, template: template, defaults: defaults,
                names: interface.names(positional ?? model.model, directory: loader.directory),
                vocabularySize: configuration.vocabularySize, parsers: conversations.parsers(template),
                fingerprint: "duality-\(ServerVersion.text)-\(identity.text)-\(formats)",
                tokenizerClass: ServeConversationOptions.tokenizerClass(loader.directory))
            return ServerAPI(model: served, version: ServerVersion.text)
        }
    #endif
}
