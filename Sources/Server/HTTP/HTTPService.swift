//  From a request on a connection to its response.
//
//      path and method -> key -> media type, size -> body -> API -> a reply, or the events of an answer

#if Server
    import HTTPTypes
    import HummingbirdCore
    import NIOCore

    /// Ends a connection behind its last response.
    struct ConnectionEnd: Error {}

    /// Answers requests.
    struct HTTPService: Sendable {
        let api: ServerAPI
        let settings: ServerSettings
        let access: Access
        let log: RequestLog

        init(_ api: ServerAPI, _ settings: ServerSettings, _ log: RequestLog) {
            self.api = api
            self.settings = settings
            self.log = log
            access = Access(keys: settings.keys, origins: settings.origins)
        }

        /// What becomes of a request.
        private enum Decision {
            case preflight(Route)
            case reply(Reply)
            case job(AnswerJob)
            case refused(RequestError)
        }

        /// - Throws: `ConnectionEnd` when nothing more can come on the connection, and what writing
        ///   throws.
        func respond(_ request: Request, _ writer: consuming ResponseWriter, _ connection: Connection) async throws {
            var exchange = Exchange(request, access)
            defer { exchange.record(api.metrics, log) }
            var body = BodyReader(request, connection, settings)
            switch try await decide(request, writer, &body, &exchange) {
            case .preflight(let route): try await exchange.writePreflight(writer, route)
            case .reply(let reply): try await exchange.write(reply, writer)
            case .job(let job): try await answer(job, writer, connection, &exchange)
            case .refused(let error): try await exchange.write(Reply(error), writer)
            }
            if !body.isComplete {
                await body.discard()
                throw ConnectionEnd()
            }
            try exchange.endIfAsked()
        }

        private func decide(
            _ request: Request, _ writer: borrowing ResponseWriter, _ body: inout BodyReader,
            _ exchange: inout Exchange
        ) async throws -> Decision {
            do {
                let route = try exchange.findRoute()
                if request.method == .options { return .preflight(route) }
                if route.needsKey, !access.allows(authorization: request.headers[.authorization]) {
                    throw Access.refusal
                }
                var bytes: [UInt8] = []
                if route.isPost {
                    try exchange.checkMediaType()
                    if api.isDraining { throw RequestError.isShuttingDown }
                    try body.checkLength()
                    if body.isExpected { try await writer.writeInformationalHead(HTTPResponse(status: .continue)) }
                    bytes = try await body.collect()
                }
                switch try await api.respond(route, bytes) {
                case .reply(let reply): return .reply(reply)
                case .job(let job): return .job(job)
                }
            } catch let error as RequestError {
                return .refused(error)
            }
        }

        private func answer(
            _ job: AnswerJob, _ writer: consuming ResponseWriter, _ connection: Connection, _ exchange: inout Exchange
        ) async throws {
            for (name, value) in ServerAPI.ignoredHeader(job.ignored) { exchange.set(name, value) }
            let session: AnswerSession
            do {
                session = try AnswerSession(job)
            } catch {
                try await exchange.write(Reply(error), writer)
                return
            }
            connection.whenClosed { session.cancel() }
            defer { connection.whenClosed(nil) }
            if job.options.streams {
                let stream = EventStream(session, connection, settings)
                try await stream.run(writer, &exchange)
            } else {
                let reply = await Self.whole(session, &exchange)
                // To one who left nothing is said.
                if connection.hasLeft { throw ConnectionEnd() }
                try await exchange.write(reply, writer)
            }
        }

        /// The whole answer, or the error in its place.
        private static func whole(_ session: AnswerSession, _ exchange: inout Exchange) async -> Reply {
            var run = AnswerRun(session.job)
            do throws(RequestError) {
                try await session.forEachEvent { (prompt, event) throws(RequestError) in
                    let step = try run.take(event, ofPrompt: prompt)
                    if let (choice, tokens) = step.stopped {
                        session.finish(prompt: prompt, choice: choice, tokens: tokens)
                    }
                }
                exchange.note(run)
                return Reply(json: run.whole)
            } catch {
                session.cancel()
                exchange.note(run)
                return Reply(error)
            }
        }
    }
#endif
