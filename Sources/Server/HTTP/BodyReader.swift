//  The body of a request, within its size and its time.

#if Server
    import HTTPTypes
    import HummingbirdCore
    import NIOCore

    /// Reads one body. Whatever drips in, it is whole in time or refused.
    struct BodyReader {
        private let headers: HTTPFields
        private let connection: Connection
        private let settings: ServerSettings
        private var iterator: HummingbirdCore.RequestBody.AsyncIterator
        /// Whether the body was read to its end, so that another request may follow.
        private(set) var isComplete: Bool

        init(_ request: Request, _ connection: Connection, _ settings: ServerSettings) {
            headers = request.headers
            self.connection = connection
            self.settings = settings
            iterator = request.body.makeAsyncIterator()
            let length = request.headers[.contentLength].flatMap { Int($0) }
            isComplete = (length ?? 0) == 0 && request.headers[.transferEncoding] == nil
        }

        /// Whether the client waits for a word before it sends the body.
        var isExpected: Bool { headers[.expect]?.lowercased() == "100-continue" }

        private var tooLarge: RequestError {
            RequestError(.requestTooLarge, "body: expected at most \(settings.maxBodyBytes) bytes, found more")
        }

        /// - Throws: `RequestError` (`.requestTooLarge`) for a length that is announced.
        func checkLength() throws(RequestError) {
            guard let text = headers[.contentLength] else { return }
            guard let length = Int(text), length <= settings.maxBodyBytes else { throw tooLarge }
        }

        /// All bytes.
        ///
        /// - Throws: `RequestError`: `.requestTooLarge`, or `.timeout`.
        mutating func collect() async throws -> [UInt8] {
            let connection = connection
            let timer = connection.channel.eventLoop.scheduleTask(in: Self.amount(settings.requestTimeout)) {
                connection.stopReading()
            }
            defer { timer.cancel() }
            var bytes: [UInt8] = []
            do {
                while let buffer = try await iterator.next() {
                    guard bytes.count + buffer.readableBytes <= settings.maxBodyBytes else { throw tooLarge }
                    bytes.append(contentsOf: buffer.readableBytesView)
                }
            } catch  where connection.isReadingOver {
                throw timeout
            }
            if connection.isReadingOver { throw timeout }
            isComplete = true
            return bytes
        }

        private var timeout: RequestError {
            RequestError(.timeout, "The request did not arrive within \(settings.requestTimeout) s.")
        }

        /// Reads what still comes for a moment, so that the client gets to see the response before
        /// the connection closes.
        mutating func discard() async {
            let connection = connection
            guard !connection.isReadingOver else { return }
            connection.channel.close(mode: .output, promise: nil)
            let timer = connection.channel.eventLoop.scheduleTask(in: .seconds(2)) { connection.close() }
            defer { timer.cancel() }
            var left = 64 << 20
            while left > 0, let buffer = try? await iterator.next() { left -= buffer.readableBytes }
        }

        static func amount(_ seconds: Double) -> TimeAmount { .milliseconds(Int64(seconds * 1000)) }
    }
#endif
