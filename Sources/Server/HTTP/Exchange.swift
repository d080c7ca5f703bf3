//  One request and its response: what every response says, and what is remembered of it.

#if Server
    import Foundation
    import HTTPTypes
    import HummingbirdCore
    import NIOCore

    /// A request that is being answered.
    struct Exchange {
        private let request: Request
        private let access: Access
        private let start = ContinuousClock.now
        private var handler = "unknown"
        private var fields = HTTPFields()
        private(set) var id: String
        private var status = 0
        private var promptTokens: Int?
        private var answerTokens = 0
        private var cachedTokens = 0

        init(_ request: Request, _ access: Access) {
            self.request = request
            self.access = access
            let given = request.headers[Self.requestID] ?? ""
            let isUsable = 1...128 ~= given.utf8.count && given.utf8.allSatisfy { 0x21...0x7e ~= $0 }
            id = isUsable ? given : Identifiers.new("req-")
            fields[Self.requestID] = id
            fields[.date] = Self.date()
            if let origin = request.headers[.origin], let allowed = access.allowedOrigin(origin) {
                fields[.accessControlAllowOrigin] = allowed
                fields[.accessControlExposeHeaders] = "x-request-id, x-duality-ignored"
                fields[.vary] = "Origin"
            }
        }

        static let requestID = HTTPField.Name("x-request-id")!

        mutating func set(_ name: String, _ value: String) {
            if let name = HTTPField.Name(name) { fields[name] = value }
        }

        // MARK: The request

        /// - Throws: `RequestError` for an address or a method that is not there.
        mutating func findRoute() throws(RequestError) -> Route {
            let path = String((request.head.path ?? "").prefix { $0 != "?" && $0 != "#" })
            handler = Route.named(path)?.handler ?? "unknown"
            return try Route.find(request.method.rawValue, path)
        }

        func checkMediaType() throws(RequestError) {
            guard let type = request.headers[.contentType] else { return }
            let essence = type.prefix { $0 != ";" }.trimmingCharacters(in: .whitespaces).lowercased()
            guard essence == "application/json" else {
                throw RequestError(.unsupportedMediaType, "Content-Type: expected application/json, found another type")
            }
        }

        /// - Throws: `ConnectionEnd` when the client wants no other request on this connection.
        func endIfAsked() throws {
            let wishes = request.headers[.connection]?.lowercased() ?? ""
            if wishes.contains("close") { throw ConnectionEnd() }
        }

        // MARK: The response

        mutating func head(_ status: Int) -> HTTPResponse {
            self.status = status
            return HTTPResponse(status: .init(code: status), headerFields: fields)
        }

        mutating func write(_ reply: Reply, _ writer: consuming ResponseWriter) async throws {
            for (name, value) in reply.headers { set(name, value) }
            fields[.contentType] = reply.contentType
            fields[.contentLength] = "\(reply.body.utf8.count)"
            let closes = request.headers[.connection]?.lowercased().contains("close") == true
            if closes || [401, 408, 413].contains(reply.status) { fields[.connection] = "close" }
            let head = head(reply.status)
            if request.method == .head {
                try await writer.writeResponse(head)
            } else {
                try await writer.write(response: head, body: ResponseBody(byteBuffer: ByteBuffer(string: reply.body)))
            }
        }

        /// The answer to a page that asks whether it may ask.
        mutating func writePreflight(_ writer: consuming ResponseWriter, _ route: Route) async throws {
            set("Access-Control-Allow-Methods", route.allowed)
            set("Allow", route.allowed)
            if let wanted = request.headers[HTTPField.Name("Access-Control-Request-Headers")!] {
                set("Access-Control-Allow-Headers", wanted)
            }
            if request.headers[HTTPField.Name("Access-Control-Request-Private-Network")!] == "true",
                fields[.accessControlAllowOrigin] != nil
            {
                set("Access-Control-Allow-Private-Network", "true")
            }
            set("Access-Control-Max-Age", "600")
            try await writer.writeResponse(head(204))
        }

        // MARK: What is remembered

        mutating func note(_ run: AnswerRun) {
            promptTokens = run.job.promptTokenCount
            answerTokens = run.completionTokens
            cachedTokens = run.cachedTokens
        }

        func record(_ metrics: ServerMetrics, _ log: RequestLog) {
            // 499, as proxies have it: the client left before there was a status.
            let status = status == 0 ? 499 : status
            metrics.count(handler: handler, method: request.method.rawValue, status: status)
            var tokens = ""
            if let promptTokens {
                tokens = " prompt=\(promptTokens) cached=\(cachedTokens) answer=\(answerTokens)"
            }
            let (seconds, attoseconds) = (ContinuousClock.now - start).components
            let time = Double(seconds) + Double(attoseconds) * 1e-18
            log.write(
                "\(request.method.rawValue.prefix(16)) \(handler) \(status)\(tokens) "
                    + String(format: "seconds=%.3f", time) + " id=\(id)")
        }

        /// The time as HTTP writes it.
        private static func date() -> String {
            var now = time(nil)
            var parts = tm()
            gmtime_r(&now, &parts)
            let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
            let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
            let clock = String(format: "%02d:%02d:%02d", parts.tm_hour, parts.tm_min, parts.tm_sec)
            let day = String(format: "%02d", parts.tm_mday)
            return
                "\(days[Int(parts.tm_wday)]), \(day) \(months[Int(parts.tm_mon)]) \(1900 + parts.tm_year) \(clock) GMT"
        }
    }
#endif
