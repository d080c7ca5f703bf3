//  How the server listens and what it puts up with.

/// The settings of the HTTP side.
package struct ServerSettings: Sendable {
    package var host = "127.0.0.1"
    /// 0 for a free one.
    package var port = 8000
    package var keys: [String] = []
    package var origins: [String] = []
    package var maxBodyBytes = 16 << 20
    /// Seconds for a request's head and body to arrive, and for a client that does not read.
    package var requestTimeout = 30.0
    /// Seconds for running answers to finish after a signal.
    package var shutdownTimeout = 30.0
    /// Connections that are open at once.
    package var maxConnections = 1024

    package init() {}
}
