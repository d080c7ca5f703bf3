//  A streamed answer: server-sent events, `data: ` and one line of JSON each, `data: [DONE]` at the
//  end.
//
//  Two tasks: one takes the engine's events and makes text of them, the other writes it. What the
//  client has not read waits between them; beyond a mebibyte the engine pauses, and a client that
//  takes nothing for the time of a request is cut off. A comment goes out after ten seconds without
//  an event, because proxies give up on a silent connection.

#if Server
    import DualityCore
    import DualityInference
    import HTTPTypes
    import HummingbirdCore
    import NIOCore
    import Synchronization

    /// Writes one answer as a stream.
    struct EventStream {
        private let session: AnswerSession
        private let connection: Connection
        private let settings: ServerSettings
        /// Bytes that may wait for the client.
        private static let highWater = 1 << 20
        private static let lowWater = 1 << 18

        init(_ session: AnswerSession, _ connection: Connection, _ settings: ServerSettings) {
            self.session = session
            self.connection = connection
            self.settings = settings
        }

        /// What goes to the writer.
        private enum Item: Sendable {
            /// The request has left the queue: the head can go.
            case begin
            case text(String)
            /// Nothing was sent yet, and the answer broke off.
            case failed(RequestError)
            case end(AnswerRun)
        }

        /// What is on the way from the one task to the other.
        private final class Backlog: Sendable {
            private struct State {
                var bytes = 0
                var isPaused = false
                /// Whether text is being made that will be long.
                var isHeld = false
                var last = ContinuousClock.now
            }

            private let state = Mutex(State())

            /// Whether the engine has to pause now.
            func add(_ bytes: Int) -> Bool {
                state.withLock { state in
                    state.bytes += bytes
                    state.last = .now
                    guard state.bytes > highWater, !state.isPaused else { return false }
                    state.isPaused = true
                    return true
                }
            }

            /// Whether the engine may go on now.
            func remove(_ bytes: Int) -> Bool {
                state.withLock { state in
                    state.bytes -= bytes
                    return resumes(&state)
                }
            }

            private func resumes(_ state: inout State) -> Bool {
                guard state.isPaused, !state.isHeld, state.bytes < lowWater else { return false }
                state.isPaused = false
                return true
            }

            /// Holds the engine until `release`: what waits unmade has no bytes yet. Whether it has
            /// to pause now.
            func hold() -> Bool {
                state.withLock { state in
                    defer { (state.isHeld, state.isPaused) = (true, true) }
                    return !state.isPaused
                }
            }

            /// Whether the engine may go on now.
            func release() -> Bool {
                state.withLock { state in
                    state.isHeld = false
                    return resumes(&state)
                }
            }

            /// Whether nothing was sent for this long; begins to count anew if so.
            func isQuiet(for duration: Duration) -> Bool {
                state.withLock { state in
                    guard ContinuousClock.now - state.last >= duration else { return false }
                    state.last = .now
                    return true
                }
            }
        }

        func run(_ writer: consuming ResponseWriter, _ exchange: inout Exchange) async throws {
            let (items, continuation) = AsyncStream<Item>.makeStream()
            let backlog = Backlog()
            let reader = Task { [session] in await Self.read(session, backlog, continuation) }
            let clock = Task { await Self.keepAlive(backlog, continuation) }
            defer {
                clock.cancel()
                reader.cancel()
            }
            var iterator = items.makeAsyncIterator()
            guard let first = await iterator.next() else { return }
            if case .failed(let error) = first {
                if connection.hasLeft { throw ConnectionEnd() }
                try await exchange.write(Reply(error), writer)
                return
            }
            exchange.set("Content-Type", "text/event-stream; charset=utf-8")
            exchange.set("Cache-Control", "no-cache")
            exchange.set("X-Accel-Buffering", "no")
            var body: any ResponseBodyWriter = try await writer.writeHead(exchange.head(200))
            var item: Item? = first
            while let next = item {
                switch next {
                case .begin: break
                case .text(let text):
                    try await write(text, &body)
                    if backlog.remove(text.utf8.count) { session.setPaused(false) }
                case .failed(let error):
                    try await write("data: \(error.json.serialized())\n\ndata: [DONE]\n\n", &body)
                case .end(let run):
                    exchange.note(run)
                }
                item = await iterator.next()
            }
            try await body.finish(nil)
        }

        /// Writes some text; the connection ends when the client takes nothing for too long.
        private func write(_ text: String, _ body: inout any ResponseBodyWriter) async throws {
            let connection = connection
            let timer = connection.channel.eventLoop.scheduleTask(in: BodyReader.amount(settings.requestTimeout)) {
                connection.close()
            }
            defer { timer.cancel() }
            try await body.write(ByteBuffer(string: text))
        }

        // MARK: The other tasks

        private static func read(
            _ session: AnswerSession, _ backlog: Backlog, _ continuation: AsyncStream<Item>.Continuation
        ) async {
            var run = AnswerRun(session.job)
            func send(_ text: String) {
                if backlog.add(text.utf8.count) { session.setPaused(true) }
                continuation.yield(.text(text))
            }
            do throws(RequestError) {
                try await session.forEachEvent { (prompt, event) throws(RequestError) in
                    if case .admitted = event { continuation.yield(.begin) }
                    // Meanwhile the engine would draw hundreds of tokens.
                    if case .promptScores = event, backlog.hold() { session.setPaused(true) }
                    defer { if case .promptScores = event, backlog.release() { session.setPaused(false) } }
                    let step = try run.take(event, ofPrompt: prompt)
                    if let (choice, tokens) = step.stopped {
                        session.finish(prompt: prompt, choice: choice, tokens: tokens)
                    }
                    guard !step.chunks.isEmpty else { return }
                    send(step.chunks.reduce(into: "") { $0 += "data: \($1.serialized())\n\n" })
                }
                let usage = run.usageChunk.map { "data: \($0.serialized())\n\n" } ?? ""
                send(usage + "data: [DONE]\n\n")
            } catch {
                session.cancel()
                continuation.yield(.failed(error))
            }
            continuation.yield(.end(run))
            continuation.finish()
        }

        private static func keepAlive(_ backlog: Backlog, _ continuation: AsyncStream<Item>.Continuation) async {
            let comment = ": keep-alive\n\n"
            while !Task.isCancelled {
                try? await Task.sleep(for: .seconds(1))
                guard !Task.isCancelled, backlog.isQuiet(for: .seconds(10)) else { continue }
                _ = backlog.add(comment.utf8.count)
                continuation.yield(.text(comment))
            }
        }
    }
#endif
