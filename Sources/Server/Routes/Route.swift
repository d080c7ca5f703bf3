//  Which paths there are, and with which methods.

import Foundation

/// A place of the interface.
package enum Route: Equatable, Sendable {
    case chat, completions, models
    case model(String)
    case tokenize, detokenize, tokenizerInfo, health, metrics, version, page

    /// The route of a request.
    ///
    /// - Parameter path: without the query.
    /// - Throws: `RequestError`: `.unknownURL`, or `.methodNotAllowed` with `Allow`.
    package static func find(_ method: String, _ path: String) throws(RequestError) -> Route {
        guard let route = named(path) else {
            switch path {
            case "/v1/responses", "/v1/embeddings":
                throw RequestError(.unknownURL, "\(path) is not there; use /v1/chat/completions")
            default: throw RequestError(.unknownURL, "There is nothing at this address.")
            }
        }
        guard route.methods.contains(method) || method == "OPTIONS" else {
            var error = RequestError(
                .methodNotAllowed,
                "\(route.handler): expected \(route.methods.joined(separator: " or ")), found "
                    + String(method.prefix(20)))
            error.headers["Allow"] = route.allowed
            throw error
        }
        return route
    }

    /// The route of a path, whatever the method.
    package static func named(_ path: String) -> Route? {
        switch path {
        case "/v1/chat/completions": return .chat
        case "/v1/completions": return .completions
        case "/v1/models", "/v1/models/": return .models
        case "/tokenize": return .tokenize
        case "/detokenize": return .detokenize
        case "/tokenizer_info": return .tokenizerInfo
        case "/health": return .health
        case "/metrics": return .metrics
        case "/version": return .version
        case "/": return .page
        default:
            guard path.hasPrefix("/v1/models/") else { return nil }
            // Names contain slashes, written as they are or escaped.
            let name = path.dropFirst("/v1/models/".count)
            return name.removingPercentEncoding.map { .model($0) }
        }
    }

    var isPost: Bool {
        switch self {
        case .chat, .completions, .tokenize, .detokenize: true
        default: false
        }
    }

    package var methods: [String] { isPost ? ["POST"] : ["GET", "HEAD"] }
    /// What `Allow` says.
    package var allowed: String { (methods + ["OPTIONS"]).joined(separator: ", ") }

    package var needsKey: Bool {
        switch self {
        case .health, .metrics, .version, .page: false
        default: true
        }
    }

    /// The path in metrics and in the log: never what a client made up.
    package var handler: String {
        switch self {
        case .chat: "/v1/chat/completions"
        case .completions: "/v1/completions"
        case .models: "/v1/models"
        case .model: "/v1/models/{id}"
        case .tokenize: "/tokenize"
        case .detokenize: "/detokenize"
        case .tokenizerInfo: "/tokenizer_info"
        case .health: "/health"
        case .metrics: "/metrics"
        case .version: "/version"
        case .page: "/"
        }
    }
}
