//  Why a request gets no answer: a status, and a body of one shape.
//
//      {"error": {"message": "temperature: expected a number, at least 0, found -1",
//                 "type": "invalid_request_error", "param": "temperature", "code": "invalid_value"}}
//
//  All four members are always there, and `code` is a string: clients read it as one.

import DualityCore

/// A request that is refused, or an answer that broke off.
package struct RequestError: Error, Sendable, Equatable {
    /// The class of the mistake; status and type follow from it.
    package enum Code: String, Sendable, CaseIterable {
        case invalidJSON = "invalid_json"
        case missing
        case invalidValue = "invalid_value"
        case unsupported
        case contextLengthExceeded = "context_length_exceeded"
        case invalidKey = "invalid_api_key"
        case modelNotFound = "model_not_found"
        case unknownURL = "unknown_url"
        case methodNotAllowed = "method_not_allowed"
        case unsupportedMediaType = "unsupported_media_type"
        case timeout
        case requestTooLarge = "request_too_large"
        case queueFull = "queue_full"
        case internalError = "internal_error"
        case loading
        case shuttingDown = "shutting_down"
    }

    package let code: Code
    package let message: String
    /// The path of the member: `messages[2].content`.
    package let param: String?
    /// What the response says beyond the body, such as `Retry-After`.
    package var headers: [String: String] = [:]

    package init(_ code: Code, _ message: String, param: String? = nil) {
        self.code = code
        self.message = message
        self.param = param
    }

    /// A member that is there and wrong.
    package init(_ param: String, expected: String, found: String, _ code: Code = .invalidValue) {
        self.init(code, "\(param): expected \(expected), found \(found)", param: param)
    }

    /// What another part of the package says about the request.
    package init(_ error: InputError) {
        let code: Code =
            switch error.kind {
            case .missing: .missing
            case .unsupported: .unsupported
            case .missingFile, .inaccessibleFile, .notFinite: .internalError
            default: .invalidValue
            }
        self.init(code, error.description, param: error.place)
    }

    package static func unsupported(_ param: String, _ message: String) -> RequestError {
        RequestError(.unsupported, "\(param): \(message)", param: param)
    }

    /// The response's status.
    package var status: Int {
        switch code {
        case .invalidJSON, .missing, .invalidValue, .unsupported, .contextLengthExceeded: 400
        case .invalidKey: 401
        case .modelNotFound, .unknownURL: 404
        case .methodNotAllowed: 405
        case .timeout: 408
        case .requestTooLarge: 413
        case .unsupportedMediaType: 415
        case .queueFull: 429
        case .internalError: 500
        case .loading, .shuttingDown: 503
        }
    }

    /// The class of the class, as OpenAI has it.
    package var type: String {
        switch code {
        case .invalidKey: "authentication_error"
        case .queueFull: "rate_limit_error"
        case .internalError: "server_error"
        case .loading, .shuttingDown: "unavailable_error"
        default: "invalid_request_error"
        }
    }

    /// The body of the response, and what a stream carries.
    package var json: JSON {
        [
            "error": [
                "message": .string(message), "type": .string(type), "param": param.map { .string($0) } ?? .null,
                "code": .string(code.rawValue),
            ]
        ]
    }
}
