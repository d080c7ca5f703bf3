//  duality bench: tokens per second, and what share of the machine that is.

import ArgumentParser
import Duality
import DualityCore
import DualityInference
import DualityMeasure
import DualityQuant
import Foundation

struct BenchCommand: ParsableCommand, RankedCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure how fast the fast engine reads a prompt and generates.",
        discussion: """
            Columns as in llama-bench: pp512 reads a prompt of 512 tokens, tg64 generates 64 one by one, "@ d4096" behind 4096 others; medians \
            of the repeats. TOPS and GB/s count the weights of the layers (and of the head, in generation). With --roofline the limits of the machine are measured in the \
            same run and every figure gets its share of them.

            Lists are separated by commas. --prompt 0 or --generate 0 leaves one out. With several numbers of threads every test runs with each of \
            them, and the last column says how much faster it is than with the first.

            Examples:
              duality bench --roofline
              duality bench --model path/to/model-int8 --prompt 128,512 --generate 64 --depth 0,4096 --json
              duality bench --threads 1,2,4,8
              duality bench serve http://127.0.0.1:8000
            """,
        subcommands: [BenchServeCommand.self])

    @OptionGroup var model: ModelOptions
    @OptionGroup var engine: EngineOptions
    @OptionGroup var ranks: RankOptions
    @Option(name: [.short, .long], help: ArgumentHelp("Lengths of prompts.", valueName: "n,…"))
    var prompt = "512"
    @Option(name: [.customShort("n"), .long], help: ArgumentHelp("Tokens to generate.", valueName: "n,…"))
    var generate = "64"
    @Option(name: [.short, .long], help: ArgumentHelp("Tokens in the cache before.", valueName: "n,…"))
    var depth = "0"
    @Option(name: [.short, .long], help: "Repeats of each measurement.")
    var repeats = 3
    @Flag(name: .long, help: "Measure the limits of the machine in the same run.")
    var roofline = false
    @Flag(name: .long, help: "Print JSON.")
    var json = false

    /// Of a test: beyond every context, and few enough to be held.
    private static let mostTokens = 1 << 24

    func validate() throws {
        guard repeats >= 1 else { throw ValidationError("--repeats must be at least 1.") }
        guard engine.engine != .reference, engine.precision != .f64 else {
            throw ValidationError("bench measures the fast engine.")
        }
    }

    func run() throws {
        let prompts = try list(prompt, "--prompt").filter { $0 > 0 }
        let generated = try list(generate, "--generate").filter { $0 > 0 }
        let depths = try list(depth, "--depth")
        let counts = threadCounts
        let loader = try modelLoader()
        let longest = (depths.max() ?? 0) + max(prompts.max() ?? 0, generated.max() ?? 0)

        let loadStart = ContinuousClock.now
        let loaded = try loader.loadFastShown(tokens: longest)
        let loadSeconds = (ContinuousClock.now - loadStart).inSeconds
        var (results, limits): ([BenchmarkResult], [Roofline]) = ([], [])
        var readSeconds: [Int: Double] = [:]
        for count in counts {
            let pool = count == loaded.threadCount ? loaded : loaded.on(ThreadPool(threads: count))
            let (found, seconds) = try measure(pool, prompts, generated, depths)
            results += found
            readSeconds.merge(seconds) { first, _ in first }
            if roofline {
                Terminal.progress("measuring the limits of the machine, \(count) threads")
                limits.append(try Roofline.measure(pool: ThreadPool(threads: count)))
            }
        }
        let peakMemory = Self.peakMemory()
        Terminal.clearProgress()

        let report = BenchReport(
            name: URL(fileURLWithPath: try ModelLocation.find(model.model)).standardizedFileURL.lastPathComponent,
            model: loaded, computation: try loader.computation(), results: results,
            readSeconds: readSeconds, limits: limits,
            loadSeconds: loadSeconds,
            peakMemory: peakMemory)
        print(json ? report.json.serialized(indented: true) : report.text)
    }

    private var threadCounts: [Int] {
        engine.threads?.counts ?? [RankLaunch.world?.defaultThreads ?? ThreadPool.defaultThreadCount]
    }

    func modelLoader() throws -> ModelLoader {
        if RankLaunch.exchange != nil, threadCounts.count > 1 {
            throw InputError(
                .unsupported, in: "--threads", expected: "one number with several ranks",
                found: "\(threadCounts.count) numbers", remedy: "Start the command once for each of them.")
        }
        var options = engine
        options.engine = .fast
        options.threads = ThreadCounts(threadCounts[0])
        return try options.loader(model)
    }

    private func measure(_ model: QuantModel, _ prompts: [Int], _ generated: [Int], _ depths: [Int]) throws
        -> (results: [BenchmarkResult], readSeconds: [Int: Double])
    {
        var benchmark = Benchmark(model) { Terminal.progress($0) }
        try benchmark.checkBits()
        var results: [BenchmarkResult] = []
        for depth in depths {
            for count in prompts {
                results.append(try benchmark.measure(.prompt(tokens: count), depth: depth, repeats: repeats))
            }
            for count in generated {
                results.append(try benchmark.measure(.generate(tokens: count), depth: depth, repeats: repeats))
            }
        }
        return (results, benchmark.readSeconds)
    }

    private func list(_ text: String, _ flag: String) throws -> [Int] {
        try text.split(separator: ",").map { item in
            guard let number = Int(item.trimmingCharacters(in: .whitespaces)), (0...Self.mostTokens).contains(number)
            else {
                throw InputError(
                    .value, in: flag, expected: "numbers from 0 to \(Self.mostTokens), separated by commas",
                    found: "\"\(item)\"")
            }
            return number
        }
    }

    /// The most memory the process has had, in bytes.
    private static func peakMemory() -> Int {
        var usage = rusage()
        #if os(Linux)
            getrusage(RUSAGE_SELF.rawValue, &usage)
            return usage.ru_maxrss << 10
        #else
            getrusage(RUSAGE_SELF, &usage)
            return usage.ru_maxrss
        #endif
    }
}

extension Duration {
    var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
