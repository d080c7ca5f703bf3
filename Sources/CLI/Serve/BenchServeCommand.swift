//  duality bench serve: how fast a running server answers.

import ArgumentParser
import DualityCore
import DualityServer
import Foundation

struct BenchServeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Measure how fast a running server answers, in the columns of vLLM's bench serve.",
        discussion: """
            Sends prompts of random tokens to /v1/completions of a server with OpenAI's interface and the address /tokenize, streams answers \
            of a fixed length, and reports throughput, time to first token (TTFT), time per token (TPOT), gaps between tokens (ITL) \
            and whole answers (E2EL). With --json the report is JSON.

            Examples:
              duality bench serve http://127.0.0.1:8000
              duality bench serve http://127.0.0.1:8000 --concurrency 1 --input-len 2048 --output-len 128 --json
            """)

    @Argument(help: ArgumentHelp("The server's address.", valueName: "url"))
    var url: String
    @Option(
        name: [.customLong("num-prompts"), .customLong("requests")],
        help: ArgumentHelp("Requests in all.", valueName: "n"))
    var requests = 32
    @Option(
        name: [.customLong("max-concurrency"), .customLong("concurrency")],
        help: ArgumentHelp("Requests at a time.", valueName: "n"))
    var concurrency = 8
    @Option(name: .customLong("input-len"), help: ArgumentHelp("Tokens of a prompt.", valueName: "n"))
    var inputLength = 512
    @Option(name: .customLong("output-len"), help: ArgumentHelp("Tokens of an answer.", valueName: "n"))
    var outputLength = 64
    @Option(
        name: .customLong("prefix-len"), help: ArgumentHelp("Of each prompt, tokens that all share.", valueName: "n"))
    var sharedLength = 0
    @Option(help: "Seed of the random prompts.")
    var seed: UInt64 = 0
    @Option(help: ArgumentHelp("The model to ask for (default: the server's first).", valueName: "name"))
    var servedModel: String?
    @Option(help: ArgumentHelp("The server's key (default: $DUALITY_API_KEY).", valueName: "key"))
    var apiKey: String?
    /// Its `--json` is meant here too.
    @ParentCommand var bench: BenchCommand

    func validate() throws {
        for (name, value) in [
            ("--num-prompts", requests), ("--max-concurrency", concurrency), ("--input-len", inputLength),
            ("--output-len", outputLength),
        ] {
            guard 1...1_000_000 ~= value else { throw ValidationError("\(name) must be from 1 to 1000000.") }
        }
        guard 0...inputLength ~= sharedLength else {
            throw ValidationError("--prefix-len must be from 0 to --input-len.")
        }
    }

    func run() throws {
        let environment = ProcessInfo.processInfo.environment["DUALITY_API_KEY"]
        var benchmark = try ServeBenchmark(url, key: apiKey ?? environment)
        benchmark.requests = requests
        benchmark.concurrency = concurrency
        benchmark.inputLength = inputLength
        benchmark.outputLength = outputLength
        benchmark.sharedLength = sharedLength
        benchmark.seed = seed
        benchmark.model = servedModel
        let report = try benchmark.run { [requests] done in Terminal.progress("\(done) of \(requests) requests") }
        Terminal.clearProgress()
        print(bench.json ? report.json.serialized(indented: true) : report.text)
    }
}
