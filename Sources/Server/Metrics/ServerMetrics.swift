//  Metrics in the text format of Prometheus, version 0.0.4.

import DualityCore
import DualityInference
import Foundation
import Synchronization

/// Counts requests, and writes all metrics as text.
package final class ServerMetrics: Sendable {
    private struct Key: Hashable {
        let handler: String
        let method: String
        let status: Int
    }

    private struct State {
        var requests: [Key: Int] = [:]
        var connections = 0
        /// Tokens drawn, as answers say.
        var generatedTokens = 0
    }

    private let labels: String
    private let state = Mutex(State())
    private let start = Date().timeIntervalSince1970

    package init(modelName: String) {
        labels = "model_name=\"\(Self.escaped(modelName))\",engine=\"0\""
    }

    package func count(handler: String, method: String, status: Int) {
        let known = ["GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH"]
        let key = Key(handler: handler, method: known.contains(method) ? method : "other", status: status)
        state.withLock { $0.requests[key, default: 0] += 1 }
    }

    package func connectionOpened() { state.withLock { $0.connections += 1 } }
    package func connectionClosed() { state.withLock { $0.connections -= 1 } }

    // MARK: Text

    /// All metrics.
    package func text(_ families: [MetricFamily], _ model: ServedModel) -> String {
        var text = ""
        for family in families { write(family, to: &text) }
        writeHead("vllm:cache_config_info", "gauge", "What the cache is like.", to: &text)
        text += "vllm:cache_config_info{\(labels),fingerprint=\"\(Self.escaped(model.fingerprint))\","
        text += "max_model_len=\"\(model.context.maxLength)\",mamba_cache_dtype=\"float32\"} 1\n"
        let (requests, connections) = state.withLock { ($0.requests, $0.connections) }
        writeHead("http_requests_total", "counter", "Requests answered.", to: &text)
        for (key, count) in requests.sorted(by: { ($0.key.handler, $0.key.status) < ($1.key.handler, $1.key.status) }) {
            text += "http_requests_total{\(labels),handler=\"\(key.handler)\",method=\"\(key.method)\","
            text += "status=\"\(key.status)\"} \(count)\n"
        }
        plain("duality:open_connections", "gauge", "Open connections.", "\(connections)", to: &text)
        writeProcess(to: &text)
        return text
    }

    private func write(_ family: MetricFamily, to text: inout String) {
        writeHead(family.name, family.kind.rawValue, family.help, to: &text)
        for sample in family.samples {
            let own = sample.labels.map { ",\($0.name)=\"\(Self.escaped($0.value))\"" }.joined()
            switch sample.value {
            case .number(let value): text += "\(family.name){\(labels)\(own)} \(Self.number(value))\n"
            case .histogram(let histogram):
                var count = 0
                for (bound, more) in zip(histogram.bounds + [.infinity], histogram.counts) {
                    count += more
                    let limit = bound.isInfinite ? "+Inf" : Self.number(bound)
                    text += "\(family.name)_bucket{\(labels)\(own),le=\"\(limit)\"} \(count)\n"
                }
                text += "\(family.name)_sum{\(labels)\(own)} \(Self.number(histogram.sum))\n"
                text += "\(family.name)_count{\(labels)\(own)} \(histogram.count)\n"
            }
        }
    }

    private func writeHead(_ name: String, _ kind: String, _ help: String, to text: inout String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n"
    }

    private func plain(_ name: String, _ kind: String, _ help: String, _ value: String, to text: inout String) {
        writeHead(name, kind, help, to: &text)
        text += "\(name){\(labels)} \(value)\n"
    }

    private static func number(_ value: Double) -> String {
        value == value.rounded() && value.magnitude < 1e15 ? String(Int(value)) : value.description
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }

    // MARK: The process

    private func writeProcess(to text: inout String) {
        if let pages = Self.residentPages() {
            plain(
                "process_resident_memory_bytes", "gauge", "Memory of the process.", "\(pages * Int(getpagesize()))",
                to: &text)
        }
        var usage = rusage()
        #if os(Linux)
            getrusage(RUSAGE_SELF.rawValue, &usage)
        #else
            getrusage(RUSAGE_SELF, &usage)
        #endif
        let seconds =
            Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
            + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6
        plain("process_cpu_seconds_total", "counter", "Time of processors.", "\(seconds)", to: &text)
        if let files = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
            plain("process_open_fds", "gauge", "Open files.", "\(files.count)", to: &text)
        }
        plain("process_start_time_seconds", "gauge", "Start, in seconds since 1970.", "\(start)", to: &text)
    }

    private static func residentPages() -> Int? {
        guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return nil }
        let fields = text.split(separator: " ")
        return fields.count > 1 ? Int(fields[1]) : nil
    }
}
