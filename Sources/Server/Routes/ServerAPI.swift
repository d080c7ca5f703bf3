//  What the routes do: a request's body in, a reply or a job for the engine out. Nothing here knows
//  about connections.

import Dispatch
import DualityCore
import DualityInference
import Synchronization

/// The interface of one served model.
package final class ServerAPI: Sendable {
    package let model: ServedModel
    package let metrics: ServerMetrics
    package let version: String
    private let draining = Atomic(false)

    package init(model: ServedModel, version: String) {
        self.model = model
        self.version = version
        metrics = ServerMetrics(modelName: model.name)
    }

    /// Whether no more requests are taken.
    package var isDraining: Bool {
        get { draining.load(ordering: .relaxed) }
        set { draining.store(newValue, ordering: .relaxed) }
    }

    package enum Outcome: Sendable {
        case reply(Reply)
        case job(AnswerJob)
    }

    /// - Throws: `RequestError`, whatever the client sent.
    package func respond(_ route: Route, _ body: [UInt8]) async throws(RequestError) -> Outcome {
        switch route {
        case .chat:
            try refuseWhileDraining()
            let call = try ChatCall(RequestBody.object(body), model.context)
            let isConstrained = call.options.form != .text || !call.tools.callable.isEmpty
            return .job(
                try await Self.prepare(apart: isConstrained) { [model] () throws(RequestError) in try model.job(call) })
        case .completions:
            try refuseWhileDraining()
            let call = try CompletionCall(RequestBody.object(body), model.context)
            return .job(
                try await Self.prepare(apart: call.options.form != .text) { [model] () throws(RequestError) in
                    try model.job(call)
                })
        case .models:
            return .reply(Reply(json: ["object": "list", "data": .array(model.context.names.map(card))]))
        case .model(let name):
            guard model.context.names.contains(name) else {
                throw RequestError(
                    .modelNotFound,
                    "model: expected one of \(model.context.names.joined(separator: ", ")), found another",
                    param: "model")
            }
            return .reply(Reply(json: card(name)))
        case .tokenize: return .reply(try tokenize(TokenizeCall(RequestBody.object(body), model.context)))
        case .detokenize: return .reply(try detokenize(DetokenizeCall(RequestBody.object(body), model.context)))
        case .tokenizerInfo: return .reply(Reply(json: tokenizerInfo))
        case .health:
            try refuseWhileDraining()
            return .reply(Reply(json: ["status": "ok"]))
        case .metrics:
            let text = metrics.text(model.engine.statistics.families, model)
            return .reply(Reply(text: text, contentType: "text/plain; version=0.0.4; charset=utf-8"))
        case .version: return .reply(Reply(json: ["version": .string(version)]))
        case .page: return .reply(Reply(text: ChatPage.html, contentType: "text/html; charset=utf-8"))
        }
    }

    /// A grammar may take a second and more to compile, which is done where nothing else waits for
    /// it.
    private static func prepare(
        apart: Bool, _ job: @escaping @Sendable () throws(RequestError) -> AnswerJob
    ) async throws(RequestError) -> AnswerJob {
        guard apart else { return try job() }
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<AnswerJob, RequestError>, Never>) in
            DispatchQueue.global(qos: .utility).async {
                continuation.resume(returning: Result { () throws(RequestError) in try job() })
            }
        }
        return try result.get()
    }

    private func refuseWhileDraining() throws(RequestError) {
        if isDraining { throw .isShuttingDown }
    }

    private func card(_ name: String) -> JSON {
        [
            "id": .string(name), "object": "model", "created": JSON(model.created), "owned_by": "duality",
            "root": .string(name), "parent": .null, "max_model_len": JSON(model.context.maxLength),
        ]
    }

    // MARK: Tokens

    private func tokenize(_ call: TokenizeCall) throws(RequestError) -> Reply {
        let tokens: [Int]
        switch call.input {
        case .text(let text): tokens = model.tokenizer.encode(text)
        case .conversation(let conversation): tokens = try model.prompt(conversation).tokens
        }
        var object: JSON.Object = [
            "count": JSON(tokens.count), "max_model_len": JSON(model.context.maxLength),
            "tokens": .array(tokens.map { JSON($0) }),
        ]
        if call.returnsStrings { object["token_strs"] = .array(tokens.map { .string(model.text(of: $0)) }) }
        return Self.reply(.object(object), ignored: call.ignored)
    }

    private func detokenize(_ call: DetokenizeCall) throws(RequestError) -> Reply {
        do {
            let text = try model.tokenizer.decode(call.tokens, rows: model.context.vocabularySize)
            return Self.reply(["prompt": .string(text)], ignored: call.ignored)
        } catch {
            throw RequestError(error)
        }
    }

    private static func reply(_ json: JSON, ignored: [String]) -> Reply {
        var reply = Reply(json: json)
        reply.headers = ignoredHeader(ignored)
        return reply
    }

    /// The header that names the members of a request that nobody knows.
    package static func ignoredHeader(_ names: [String]) -> [String: String] {
        let safe = names.prefix(32).compactMap { name -> String? in
            let isPlain = name.utf8.allSatisfy { 0x21...0x7e ~= $0 && $0 != UInt8(ascii: ",") }
            return isPlain && 1...64 ~= name.utf8.count ? name : nil
        }
        return safe.isEmpty ? [:] : ["x-duality-ignored": safe.joined(separator: ", ")]
    }

    private var tokenizerInfo: JSON {
        func special(_ name: String) -> JSON {
            model.template?.specialTokens.first { $0.name == name }.map { .string($0.text) } ?? .null
        }
        let end = model.endTokens.min().map { JSON.string(model.text(of: $0)) } ?? .null
        let own = special("eos_token")
        return [
            "tokenizer_class": .string(model.tokenizerClass), "eos_token": own == .null ? end : own,
            "bos_token": special("bos_token"), "pad_token": special("pad_token"),
            "chat_template": model.template.map { .string($0.source) } ?? .null,
            "model_max_length": JSON(model.context.maxLength),
        ]
    }
}
