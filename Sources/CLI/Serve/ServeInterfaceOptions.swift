//  Flags of `duality serve`: where it listens, to whom, and what it is called.

import ArgumentParser
import DualityCore
import DualityServer
import Foundation

/// Address, keys and limits of requests.
struct ServeInterfaceOptions: ParsableArguments {
    @Option(help: "The address to listen at.")
    var host = "127.0.0.1"
    @Option(help: "The port; 0 takes a free one.")
    var port = 8000
    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("Keys that clients must send (default: $DUALITY_API_KEY, else none).", valueName: "key"))
    var apiKey: [String] = []
    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Names that requests may use; the first is reported (default: the model as typed).", valueName: "name"))
    var servedModelName: [String] = []
    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("Origins of pages that may ask, beside this machine's; * for all.", valueName: "origin"))
    var allowedOrigins: [String] = []
    @Option(help: ArgumentHelp("The largest body of a request.", valueName: "bytes"))
    var maxBodyBytes = 16 << 20
    @Option(help: ArgumentHelp("Time for a request to arrive whole.", valueName: "s"))
    var requestTimeout = 30.0
    @Option(help: ArgumentHelp("Time for running answers to finish after SIGTERM.", valueName: "s"))
    var shutdownTimeout = 30.0
    @Flag(help: "Log no requests. Texts and keys are never logged.")
    var disableLogRequests = false
    @Flag(inversion: .prefixedNo, help: ArgumentHelp("Accepted for vLLM's sake.", visibility: .hidden))
    var enableLogRequests = true
    @Flag(help: ArgumentHelp("Accepted for vLLM's sake: it is always so.", visibility: .hidden))
    var enablePromptTokensDetails = false

    func validate() throws {
        guard 0...65535 ~= port else { throw ValidationError("--port must be from 0 to 65535.") }
        guard !host.isEmpty else { throw ValidationError("--host must not be empty.") }
        guard 1...(1 << 40) ~= maxBodyBytes else { throw ValidationError("--max-body-bytes must be at least 1.") }
        for (name, value) in [("--request-timeout", requestTimeout), ("--shutdown-timeout", shutdownTimeout)] {
            guard value.isFinite, 0.05...1e6 ~= value else {
                throw ValidationError("\(name) must be a number of seconds from 0.05 to 1000000.")
            }
        }
        guard !apiKey.contains(""), !servedModelName.contains("") else {
            throw ValidationError("--api-key and --served-model-name take texts that are not empty.")
        }
    }

    func settings() throws -> ServerSettings {
        var settings = ServerSettings()
        settings.host = host
        settings.port = port
        settings.keys = apiKey
        let environment = ProcessInfo.processInfo.environment["DUALITY_API_KEY"] ?? ""
        if settings.keys.isEmpty, !environment.isEmpty { settings.keys = [environment] }
        settings.origins = allowedOrigins.flatMap { text -> [String] in
            // vLLM takes a JSON list.
            guard text.hasPrefix("["), let list = try? JSON(parsing: text), let items = list.array else {
                return [text]
            }
            return items.compactMap(\.string)
        }
        settings.maxBodyBytes = maxBodyBytes
        settings.requestTimeout = requestTimeout
        settings.shutdownTimeout = shutdownTimeout
        return settings
    }

    /// What the model is called: as typed when that is a relative path, else its last component.
    func names(_ typed: String?, directory: String) -> [String] {
        if !servedModelName.isEmpty { return servedModelName }
        if var typed, !typed.hasPrefix("/"), !typed.hasPrefix("~") {
            while typed.hasSuffix("/") { typed.removeLast() }
            if !typed.isEmpty { return [typed] }
        }
        return [URL(fileURLWithPath: directory).standardizedFileURL.lastPathComponent]
    }
}
