//  One open connection, and what is to be done when its client leaves.

#if Server
    import HTTPTypes
    import HummingbirdCore
    import Logging
    import NIOCore
    import Synchronization

    /// A connection that knows whether its client is still there.
    final class Connection: Sendable {
        let channel: any Channel

        private struct State {
            var isClosed = false
            /// The server itself has stopped reading.
            var isReadingOver = false
            var whenClosed: (@Sendable () -> Void)?
        }

        private let state = Mutex(State())

        init(_ channel: any Channel) {
            self.channel = channel
        }

        /// The client has closed the connection or its sending half.
        func clientLeft() {
            let action = state.withLock { state -> (@Sendable () -> Void)? in
                state.isClosed = true
                defer { state.whenClosed = nil }
                return state.whenClosed
            }
            action?()
        }

        /// Sets what happens when the client leaves, which is at once if it has left.
        func whenClosed(_ action: (@Sendable () -> Void)?) {
            let isClosed = state.withLock { state in
                state.whenClosed = state.isClosed ? nil : action
                return state.isClosed
            }
            if isClosed { action?() }
        }

        /// Whether the client has left.
        var hasLeft: Bool { state.withLock { $0.isClosed } }

        /// Stops reading; what waits for more of a request gets no more.
        func stopReading() {
            state.withLock { $0.isReadingOver = true }
            channel.close(mode: .input, promise: nil)
        }

        /// Whether the server has stopped reading.
        var isReadingOver: Bool { state.withLock { $0.isReadingOver } }

        /// Ends the connection, whatever is under way.
        func close() { channel.close(mode: .all, promise: nil) }
    }

    /// Takes a client that has closed its sending half for one that has left.
    final class DepartureHandler: ChannelInboundHandler, RemovableChannelHandler, Sendable {
        typealias InboundIn = Any
        private let connection: Connection

        init(_ connection: Connection) {
            self.connection = connection
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if let event = event as? ChannelEvent, event == .inputClosed, !connection.isReadingOver {
                connection.clientLeft()
                context.close(mode: .all, promise: nil)
                return
            }
            context.fireUserInboundEventTriggered(event)
        }
    }

    /// HTTP/1.1 connections, each with its `Connection`.
    struct ConnectionChannel: ServerChildChannel {
        struct Value: ServerChildChannelValue {
            let http: HTTP1Channel.Value
            let connection: Connection
            var channel: any Channel { http.channel }
        }

        let service: HTTPService

        private func channel(
            _ connection: Connection, _ responder: @escaping HTTPChannelHandler.Responder
        ) -> HTTP1Channel {
            HTTP1Channel(
                responder: responder,
                configuration: .init(
                    additionalChannelHandlers: [DepartureHandler(connection)],
                    idleTimeout: .milliseconds(Int64(service.settings.requestTimeout * 1000)),
                    httpDecoderConfiguration: .init(maxHeaderFieldSize: 64 << 10, maxHeaderListSize: 64 << 10)))
        }

        func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
            let connection = Connection(channel)
            return self.channel(connection) { _, _, _ in }.setup(channel: channel, logger: logger).map { http in
                Value(http: http, connection: connection)
            }
        }

        func handle(value: Value, logger: Logger) async {
            let (connection, metrics) = (value.connection, service.api.metrics)
            metrics.connectionOpened()
            value.channel.closeFuture.whenComplete { _ in
                connection.clientLeft()
                metrics.connectionClosed()
            }
            let channel = channel(connection) { request, writer, _ in
                try await service.respond(request, writer, connection)
            }
            await channel.handle(value: value.http, logger: logger)
        }
    }
#endif
