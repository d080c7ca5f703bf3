//  What a benchmark of a server found, in the lines and under the names of vLLM's `bench serve`.

import DualityCore
import Foundation

/// The figures of one run.
package struct ServeReport: Sendable {
    let model: String
    let concurrency: Int
    let samples: [ServeBenchmark.Sample]
    let failed: Int
    /// Seconds from the first request to the last answer.
    let duration: Double

    private var inputTokens: Int { samples.reduce(0) { $0 + $1.inputTokens } }
    private var outputTokens: Int { samples.reduce(0) { $0 + $1.outputTokens } }

    /// A measured time in milliseconds, over requests or tokens.
    private struct Times {
        let title: String
        let name: String
        let values: [Double]

        var mean: Double { values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count) }
        var deviation: Double {
            let mean = mean
            return values.isEmpty
                ? 0 : (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)).squareRoot()
        }

        /// Between the two nearest values, as NumPy does.
        func percentile(_ share: Double) -> Double {
            let sorted = values.sorted()
            guard let last = sorted.last else { return 0 }
            let place = share * Double(sorted.count - 1)
            let low = Int(place)
            guard low + 1 < sorted.count else { return last }
            return sorted[low] + (place - Double(low)) * (sorted[low + 1] - sorted[low])
        }
    }

    private var times: [Times] {
        let perToken = samples.filter { $0.outputTokens > 1 }.map {
            1000 * ($0.duration - $0.firstToken) / Double($0.outputTokens - 1)
        }
        return [
            Times(title: "Time to First Token", name: "ttft", values: samples.map { 1000 * $0.firstToken }),
            Times(title: "Time per Output Token (excl. 1st token)", name: "tpot", values: perToken),
            Times(title: "Inter-token Latency", name: "itl", values: samples.flatMap { $0.gaps.map { 1000 * $0 } }),
            Times(title: "End-to-end Latency", name: "e2el", values: samples.map { 1000 * $0.duration }),
        ]
    }

    /// The report for a person.
    package var text: String {
        let width = 50
        func centered(_ title: String, _ fill: String) -> String {
            let left = (width - title.count) / 2
            return String(repeating: fill, count: left) + title
                + String(repeating: fill, count: width - title.count - left)
        }
        func row(_ title: String, _ value: String) -> String {
            title + String(repeating: " ", count: max(1, 41 - title.count)) + value
        }
        func number(_ value: Double) -> String { String(format: "%.2f", value) }
        var lines = [
            centered(" Serving Benchmark Result ", "="),
            row("Successful requests:", "\(samples.count)"),
            row("Failed requests:", "\(failed)"),
            row("Maximum request concurrency:", "\(concurrency)"),
            row("Benchmark duration (s):", number(duration)),
            row("Total input tokens:", "\(inputTokens)"),
            row("Total generated tokens:", "\(outputTokens)"),
            row("Request throughput (req/s):", number(Double(samples.count) / duration)),
            row("Output token throughput (tok/s):", number(Double(outputTokens) / duration)),
            row("Total token throughput (tok/s):", number(Double(inputTokens + outputTokens) / duration)),
        ]
        for time in times {
            let name = time.name.uppercased()
            lines += [
                centered(time.title, "-"),
                row("Mean \(name) (ms):", number(time.mean)),
                row("Median \(name) (ms):", number(time.percentile(0.5))),
                row("P99 \(name) (ms):", number(time.percentile(0.99))),
            ]
        }
        return (lines + [String(repeating: "=", count: width)]).joined(separator: "\n")
    }

    /// The report for a program.
    package var json: JSON {
        var object: JSON.Object = [
            "model_id": .string(model), "num_prompts": JSON(samples.count + failed),
            "max_concurrency": JSON(concurrency),
            "duration": JSON(duration), "completed": JSON(samples.count), "failed": JSON(failed),
            "total_input_tokens": JSON(inputTokens), "total_output_tokens": JSON(outputTokens),
            "request_throughput": JSON(Double(samples.count) / duration),
            "output_throughput": JSON(Double(outputTokens) / duration),
            "total_token_throughput": JSON(Double(inputTokens + outputTokens) / duration),
        ]
        for time in times {
            for (name, value) in [
                ("mean", time.mean), ("median", time.percentile(0.5)), ("std", time.deviation),
                ("p99", time.percentile(0.99)),
            ] {
                object["\(name)_\(time.name)_ms"] = JSON(value)
            }
        }
        return .object(object)
    }
}
