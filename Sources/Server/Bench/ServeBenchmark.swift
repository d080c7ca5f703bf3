//  How fast a server answers, as a client sees it: so many requests at a time, each of so many
//  tokens in and out, drawn at random, streamed.

import DualityCore
import Foundation
import Synchronization

/// A benchmark of a running server.
package struct ServeBenchmark: Sendable {
    package var requests = 32
    package var concurrency = 8
    package var inputLength = 512
    package var outputLength = 64
    /// Tokens at the beginning that all prompts share.
    package var sharedLength = 0
    package var seed: UInt64 = 0
    /// Nil for the first model that the server names.
    package var model: String?
    private let client: PlainHTTPClient

    /// - Throws: `InputError` for an address that is none.
    package init(_ url: String, key: String?) throws(InputError) {
        client = try PlainHTTPClient(url, key: key)
    }

    /// What one request came to.
    struct Sample: Sendable {
        var inputTokens = 0
        var outputTokens = 0
        /// Seconds from sending to the first piece of text, and between pieces.
        var firstToken = 0.0
        var gaps: [Double] = []
        var duration = 0.0
    }

    /// Runs all requests.
    ///
    /// - Parameter progress: is told how many are done.
    /// - Throws: `InputError` when the server cannot be reached, or answers none of them.
    package func run(progress: @escaping @Sendable (Int) -> Void = { _ in }) throws(InputError) -> ServeReport {
        let name: String
        if let model { name = model } else { name = try firstModel() }
        let prompts = try prompts()
        // The first request of all may find files unread and memory untouched.
        _ = try sample(name, prompts[0].prefix(8) + [prompts[0][0]], length: 2)
        let next = Mutex(0)
        let samples = Mutex<[Sample]>([])
        let failures = Mutex<[InputError]>([])
        let group = DispatchGroup()
        let start = ContinuousClock.now
        for _ in 0..<min(concurrency, requests) {
            group.enter()
            let thread = Thread {
                while true {
                    let index = next.withLock { next in
                        defer { next += 1 }
                        return next
                    }
                    guard index < prompts.count else { break }
                    do throws(InputError) {
                        let sample = try sample(name, prompts[index], length: outputLength)
                        samples.withLock { $0.append(sample) }
                    } catch {
                        failures.withLock { $0.append(error) }
                    }
                    progress(index + 1)
                }
                group.leave()
            }
            thread.stackSize = 1 << 20
            thread.start()
        }
        group.wait()
        let duration = Self.seconds(ContinuousClock.now - start)
        let (found, failed) = (samples.withLock { $0 }, failures.withLock { $0 })
        if found.isEmpty, let error = failed.first { throw error }
        return ServeReport(
            model: name, concurrency: concurrency, samples: found, failed: failed.count, duration: duration)
    }

    // MARK: Prompts

    private func firstModel() throws(InputError) -> String {
        let (_, body) = try client.request("GET", "/v1/models")
        let json = try JSON(parsing: String(decoding: body, as: UTF8.self), place: "/v1/models")
        guard let name = json["data"]?.array?.first?["id"]?.string else {
            throw InputError(.malformed, in: "/v1/models", expected: "a model", found: "none")
        }
        return name
    }

    /// Tokens of a few plain words, from which prompts are drawn.
    private static let words = """
        the harbour was quiet in the morning and boats lay side by side along a wall of grey stone while people walked down from \
        the town with baskets of bread fish and apples to sell before noon when every ship would leave again for other coasts
        """

    private func prompts() throws(InputError) -> [[Int]] {
        let (status, body) = try client.request("POST", "/tokenize", ["prompt": .string(Self.words)])
        let json = try? JSON(parsing: String(decoding: body, as: UTF8.self), place: "/tokenize")
        let pool = (json?["tokens"]?.array ?? []).compactMap(\.int)
        guard status == 200, !pool.isEmpty else {
            throw InputError(
                .unsupported, in: "/tokenize", expected: "the tokens of a text", found: "status \(status)",
                remedy: "The server must have this address, as vLLM and Duality do.")
        }
        var random = RandomSource(seed: seed)
        func draw(_ count: Int) -> [Int] {
            (0..<count).map { _ in pool[min(Int(random.uniform() * Double(pool.count)), pool.count - 1)] }
        }
        let shared = draw(min(sharedLength, inputLength))
        return (0..<requests).map { _ in shared + draw(max(inputLength - shared.count, 0)) }
    }

    // MARK: One request

    private func sample(_ model: String, _ prompt: [Int], length: Int) throws(InputError) -> Sample {
        let body: JSON = [
            "model": .string(model), "prompt": .array(prompt.map { JSON($0) }), "max_tokens": JSON(length),
            "temperature": 0, "ignore_eos": true, "stream": true, "stream_options": ["include_usage": true],
        ]
        var sample = Sample()
        var rest: [UInt8] = []
        var failure: String?
        let start = ContinuousClock.now
        var last = start
        let status = try client.request("POST", "/v1/completions", body) { piece in
            rest += piece
            let now = ContinuousClock.now
            while let end = rest.firstIndex(of: 10) {
                let line = String(decoding: rest[..<end], as: UTF8.self)
                rest.removeFirst(end + 1)
                guard line.hasPrefix("data: {"), let event = try? JSON(parsing: String(line.dropFirst(6))) else {
                    continue
                }
                if let error = event["error"]?["message"]?.string { failure = error }
                if let usage = event["usage"], usage != .null {
                    sample.inputTokens = usage["prompt_tokens"]?.int ?? 0
                    sample.outputTokens = usage["completion_tokens"]?.int ?? 0
                }
                guard let choice = event["choices"]?.array?.first, choice["text"]?.string?.isEmpty == false else {
                    continue
                }
                if sample.firstToken == 0 {
                    sample.firstToken = Self.seconds(now - start)
                } else {
                    sample.gaps.append(Self.seconds(now - last))
                }
                last = now
            }
        }
        sample.duration = Self.seconds(last - start)
        guard status == 200, failure == nil, sample.outputTokens > 0 else {
            throw InputError(
                .inaccessibleFile, in: "/v1/completions", expected: "an answer",
                found: failure ?? "status \(status) \(String(decoding: rest.prefix(300), as: UTF8.self))")
        }
        return sample
    }

    static func seconds(_ duration: Duration) -> Double {
        Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
    }
}
