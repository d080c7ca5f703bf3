//  duality bench: tokens a second, and what share of the machine that is.

import ArgumentParser
import Duality
import DualityCore
import DualityInference
import DualityMeasure
import DualityQuant
import Foundation

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure how fast the fast engine reads a prompt and generates.",
        discussion: """
            Columns as in llama-bench: pp512 reads a prompt of 512 tokens, tg64 generates 64 one by one, "@ d4096" behind 4096 others; medians \
            of the repeats. TOPS and GB/s count the weights of the layers (and of the head, in generation). With --roofline the limits of the machine are measured in the \
            same run and every figure gets its share of them.

            Lists are separated by commas. --prompt 0 or --generate 0 leaves one out.

            Examples:
              duality bench --roofline
              duality bench --model path/to/model-int8 --prompt 128,512 --generate 64 --depth 0,4096 --json
            """)

    @OptionGroup var model: ModelOptions
    @OptionGroup var engine: EngineOptions
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
        var options = engine
        options.engine = .fast
        let loader = try options.loader(model)
        let longest = (depths.max() ?? 0) + max(prompts.max() ?? 0, generated.max() ?? 0)

        let loadStart = ContinuousClock.now
        let loaded = try loader.loadFastShown(tokens: longest)
        let loadSeconds = (ContinuousClock.now - loadStart).seconds
        var benchmark = Benchmark(loaded) { Terminal.progress($0) }
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
        let peakMemory = Self.peakMemory()
        if roofline { Terminal.progress("measuring the limits of the machine") }
        let limits = roofline ? try Roofline.measure(pool: engine.pool) : nil
        Terminal.clearProgress()

        let report = BenchReport(
            name: URL(fileURLWithPath: try ModelLocation.find(model.model)).standardizedFileURL.lastPathComponent,
            model: loaded, format: loader.choice.precisionName, results: results, limits: limits,
            loadSeconds: loadSeconds,
            peakMemory: peakMemory)
        print(json ? report.json.serialized(indented: true) : report.text)
    }

    private func list(_ text: String, _ flag: String) throws -> [Int] {
        try text.split(separator: ",").map { item in
            guard let number = Int(item.trimmingCharacters(in: .whitespaces)), number >= 0 else {
                throw InputError(.value, in: flag, expected: "numbers >= 0, separated by commas", found: "\"\(item)\"")
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

/// What a run of `bench` found, as text and as JSON.
struct BenchReport {
    let name: String
    let model: QuantModel
    let format: String
    let results: [BenchmarkResult]
    let limits: Roofline?
    let loadSeconds: Double
    let peakMemory: Int

    private var isInt8: Bool { format.hasPrefix("int8") }
    private var parameters: Int {
        ((try? WeightContract(model.configuration))?.requirements ?? []).reduce(0) { $0 + $1.count }
    }

    /// 10^12 operations a second of the layers' matrices.
    private func tops(_ result: BenchmarkResult) -> Double {
        2 * Double(model.multiplyAddsPerToken) * result.tokensPerSecond * 1e-12
    }

    /// 10^9 bytes of weights a second, when they are read once a token.
    private func gigabytes(_ result: BenchmarkResult) -> Double {
        Double(model.weightBytesPerToken) * result.tokensPerSecond * 1e-9
    }

    /// The rate of multiply-adds that is the limit of this format, in 10^12 operations a second.
    private var computeLimit: Double? {
        guard let limits else { return nil }
        return isInt8 ? limits.int8Tops : max(limits.f32Tflops, format == "bf16" ? limits.bf16Tflops : 0)
    }

    private func share(_ value: Double, _ limit: Double?) -> Double? {
        limit.flatMap { $0 > 0 ? value / $0 : nil }
    }

    private func isPrompt(_ result: BenchmarkResult) -> Bool {
        if case .prompt = result.kind { true } else { false }
    }

    var text: String {
        var table = TextTable([.left, .right, .right, .left, .right, .left, .right, .right, .right])
        table.add("model", "size", "params", "format", "threads", "test", "t/s", "TOPS | GB/s", "of limit")
        table.addRule()
        for result in results {
            let value = isPrompt(result) ? tops(result) : gigabytes(result)
            let share = share(value, isPrompt(result) ? computeLimit : limits?.readGBps)
            table.add(
                name, model.weightBytes.binaryUnits, String(format: "%.2f B", Double(parameters) * 1e-9), format,
                "\(result.threads)", result.name,
                String(format: "%.2f ± %.2f", result.tokensPerSecond, deviation(result.rates)),
                String(format: isPrompt(result) ? "%.3f TOPS" : "%.1f GB/s", value),
                share.map { String(format: "%.1f %%", 100 * $0) } ?? "")
        }
        var lines = table.lines()
        lines.append("")
        lines.append("  kernels  \(model.kernelSummary); keys and values \(model.keyValueFormat.rawValue)")
        lines.append(
            "  loaded in \(loadSeconds.decimals(2)) s; peak memory \(peakMemory.binaryUnits), weights \(model.weightBytes.binaryUnits)"
        )
        if let limits {
            lines.append(
                String(
                    format: "  limits, %d threads  int8 %.3f TOPS, bf16 %.3f, f32 %.3f TFLOPS, read %.1f GB/s",
                    limits.threads,
                    limits.int8Tops, limits.bf16Tflops, limits.f32Tflops, limits.readGBps))
        }
        return lines.joined(separator: "\n")
    }

    var json: JSON {
        let prompt = results.first { isPrompt($0) }
        let generate = results.first { !isPrompt($0) }
        func number(_ value: Double?) -> JSON { value.map { JSON($0) } ?? .null }
        let operations = prompt.map { tops($0) }
        let bytes = generate.map { gigabytes($0) }
        var object = JSON.Object()
        object["model"] = .string(name)
        object["format"] = .string(format)
        object["threads"] = JSON(model.threadCount)
        object["parameters"] = JSON(parameters)
        object["weight_bytes"] = JSON(model.weightBytes)
        object["weight_bytes_per_token"] = JSON(model.weightBytesPerToken)
        object["key_value_format"] = .string(model.keyValueFormat.rawValue)
        object["kernels"] = .string(model.kernelSummary)
        object["load_seconds"] = JSON(loadSeconds)
        object["peak_memory_bytes"] = JSON(peakMemory)
        object["prompt_tokens_per_second"] = number(prompt?.tokensPerSecond)
        object["generate_tokens_per_second"] = number(generate?.tokensPerSecond)
        object["int8_tops"] = isInt8 ? number(operations) : .null
        object["tops"] = number(operations)
        object["weight_gbps"] = number(bytes)
        object["share_of_int8_peak"] = isInt8 ? number(operations.flatMap { share($0, limits?.int8Tops) }) : .null
        object["share_of_peak"] = number(operations.flatMap { share($0, computeLimit) })
        object["share_of_read_bandwidth"] = number(bytes.flatMap { share($0, limits?.readGBps) })
        if let limits {
            object["limits"] = [
                "int8_tops": JSON(limits.int8Tops), "bf16_tflops": JSON(limits.bf16Tflops),
                "f32_tflops": JSON(limits.f32Tflops), "read_gbps": JSON(limits.readGBps),
            ]
        }
        object["tests"] = .array(
            results.map { result in
                [
                    "test": .string(result.name), "depth": JSON(result.depth),
                    "tokens_per_second": JSON(result.tokensPerSecond),
                    "repeats": .array(result.rates.map { JSON($0) }), "tops": JSON(tops(result)),
                    "weight_gbps": JSON(gigabytes(result)),
                ]
            })
        return .object(object)
    }

    /// The standard deviation of the repeats.
    private func deviation(_ rates: [Double]) -> Double {
        guard rates.count > 1 else { return 0 }
        let mean = rates.reduce(0, +) / Double(rates.count)
        return (rates.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(rates.count - 1)).squareRoot()
    }
}
