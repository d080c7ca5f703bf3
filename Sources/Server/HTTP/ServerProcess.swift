//  The server from its first connection to its last.
//
//  The first SIGTERM or SIGINT: no more requests are taken, waiting ones are refused, running ones
//  finish, and the process ends with 0. After the time allowed they end with an error. A second
//  signal ends at once.

#if Server
    import Dispatch
    import Foundation
    import HummingbirdCore
    import Logging
    import NIOCore
    import NIOPosix
    import ServiceLifecycle

    /// Runs a server until it is told to stop.
    package struct ServerProcess: Sendable {
        private let service: HTTPService

        package init(_ api: ServerAPI, _ settings: ServerSettings, log: RequestLog) {
            service = HTTPService(api, settings, log)
        }

        /// - Parameter ready: is told the port once connections are accepted.
        /// - Throws: what binding the address throws.
        package func run(ready: @escaping @Sendable (Int) -> Void) async throws {
            var logger = Logger(label: "duality")
            logger.logLevel = .critical
            let settings = service.settings
            let server = ConnectionChannel(service: service).server(
                configuration: ServerConfiguration(
                    address: .hostname(settings.host, port: settings.port), backlog: 1024,
                    availableConnectionsDelegate: MaximumAvailableConnections(settings.maxConnections, logger: logger)),
                onServerRunning: { channel in ready(channel.localAddress?.port ?? settings.port) },
                eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: logger)
            let group = ServiceGroup(services: [server], logger: logger)
            let signals = Self.signals { isFirst in
                guard isFirst else { exit(1) }
                Task { await drain(group) }
            }
            defer { for signal in signals { signal.cancel() } }
            try await group.run()
        }

        private func drain(_ group: ServiceGroup) async {
            let (api, timeout) = (service.api, service.settings.shutdownTimeout)
            api.isDraining = true
            let timer = Task {
                try await Task.sleep(for: .seconds(timeout))
                api.model.engine.cancelAll()
            }
            await api.model.engine.drain()
            timer.cancel()
            await group.triggerGracefulShutdown()
            // Responses that are written reach their clients; one that takes nothing does not hold
            // the process.
            try? await Task.sleep(for: .seconds(5))
            exit(0)
        }

        /// Calls `action` at each signal that asks for the end.
        private static func signals(_ action: @escaping @Sendable (_ isFirst: Bool) -> Void)
            -> [any DispatchSourceSignal]
        {
            signal(SIGPIPE, SIG_IGN)
            let queue = DispatchQueue(label: "signals")
            let count = SignalCount()
            return [SIGTERM, SIGINT].map { number in
                signal(number, SIG_IGN)
                let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
                source.setEventHandler { action(count.next() == 1) }
                source.resume()
                return source
            }
        }
    }

    /// How many signals came; used on one queue alone.
    private final class SignalCount: @unchecked Sendable {
        private var count = 0

        func next() -> Int {
            count += 1
            return count
        }
    }
#endif
