//  What a run of `duality bench` found: every test with its share of the machine's limits, and how
//  it scales with threads.

import Duality
import DualityCore
import DualityInference
import DualityMeasure
import DualityQuant
import Foundation

/// What a run of `bench` found, as text and as JSON.
struct BenchReport {
    let name: String
    let model: QuantModel
    let computation: Computation
    let results: [BenchmarkResult]
    /// Seconds to the first token behind each depth, with the first number of threads.
    let readSeconds: [Int: Double]
    /// One for each number of threads; none unless they were asked for.
    let limits: [Roofline]
    let loadSeconds: Double
    let peakMemory: Int

    private var format: String { computation.precision }
    /// Whether the multiply-adds are those of int8, as in int4 too.
    private var isInt8: Bool { format.hasPrefix("int8") || format.hasPrefix("int4") }
    private var parameters: Int {
        ((try? WeightContract(model.configuration))?.requirements ?? []).reduce(0) { $0 + $1.count }
    }

    /// 10^12 operations a second of the layers' matrices.
    private func tops(_ result: BenchmarkResult) -> Double {
        2 * Double(model.multiplyAddsPerToken) * result.tokensPerSecond * 1e-12
    }

    /// 10^9 bytes of weights per second, when they are read once per token.
    private func gigabytes(_ result: BenchmarkResult) -> Double {
        Double(model.weightBytesPerToken) * result.tokensPerSecond * 1e-9
    }

    /// The rate of multiply-adds that is the limit of this format, in 10^12 operations a second.
    private func computeLimit(_ limits: Roofline?) -> Double? {
        guard let limits else { return nil }
        if isInt8 { return limits.int8Tops }
        // Two products of parts for each of a weight and an activation.
        if format == EnginePrecision.bf16Split.rawValue { return limits.splitTflops / 2 }
        return max(limits.f32Tflops, format == EnginePrecision.bf16Dot.rawValue ? limits.bf16Tflops : 0)
    }

    private func limits(_ result: BenchmarkResult) -> Roofline? { limits.first { $0.threads == result.threads } }

    /// How much faster than the same test with the first number of threads.
    private func scaling(_ result: BenchmarkResult) -> Double? {
        guard let first = results.first(where: { $0.name == result.name }),
            results.contains(where: { $0.threads != first.threads })
        else { return nil }
        return result.tokensPerSecond / first.tokensPerSecond
    }

    private func share(_ value: Double, _ limit: Double?) -> Double? {
        limit.flatMap { $0 > 0 ? value / $0 : nil }
    }

    private func isPrompt(_ result: BenchmarkResult) -> Bool {
        if case .prompt = result.kind { true } else { false }
    }

    var text: String {
        var table = TextTable([.left, .right, .right, .left, .right, .left, .right, .right, .right, .right])
        table.add("model", "size", "params", "format", "threads", "test", "t/s", "TOPS | GB/s", "of limit", "scaling")
        table.addRule()
        for result in results {
            let value = isPrompt(result) ? tops(result) : gigabytes(result)
            let limits = limits(result)
            let share = share(value, isPrompt(result) ? computeLimit(limits) : limits?.readGBps)
            table.add(
                name, model.weightBytes.binaryUnits, String(format: "%.2f B", Double(parameters) * 1e-9), format,
                "\(result.threads)", result.name,
                String(format: "%.2f ± %.2f", result.tokensPerSecond, deviation(result.rates)),
                String(format: isPrompt(result) ? "%.3f TOPS" : "%.1f GB/s", value),
                share.map { String(format: "%.1f %%", 100 * $0) } ?? "",
                scaling(result).map { String(format: "%.2f x", $0) } ?? "")
        }
        var lines = table.lines()
        lines.append("")
        lines.append("  kernels  \(model.kernelSummary); keys and values \(model.keyValueFormat.rawValue)")
        lines.append(
            "  loaded in \(loadSeconds.decimals(2)) s; peak memory \(peakMemory.binaryUnits), weights \(model.weightBytes.binaryUnits)"
        )
        for (depth, seconds) in readSeconds.filter({ $0.key > 0 }).sorted(by: { $0.key < $1.key }) {
            lines.append("  first token behind \(depth.grouped) tokens after \(seconds.decimals(1)) s")
        }
        for limits in limits {
            lines.append(
                String(
                    format:
                        "  limits, %d threads  int8 %.3f TOPS, bf16 %.3f, bf16-split %.3f, f32 %.3f TFLOPS, read %.1f GB/s",
                    limits.threads, limits.int8Tops, limits.bf16Tflops, limits.splitTflops / 2, limits.f32Tflops,
                    limits.readGBps))
        }
        return lines.joined(separator: "\n")
    }

    var json: JSON {
        let prompt = results.first { isPrompt($0) }
        let generate = results.first { !isPrompt($0) }
        func number(_ value: Double?) -> JSON { value.map { JSON($0) } ?? .null }
        let operations = prompt.map { tops($0) }
        let bytes = generate.map { gigabytes($0) }
        let limits = limits.first
        var object = JSON.Object()
        object["model"] = .string(name)
        object["format"] = .string(format)
        computation.write(to: &object)
        object["threads"] = JSON(results.first?.threads ?? model.threadCount)
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
        object["share_of_peak"] = number(operations.flatMap { share($0, computeLimit(limits)) })
        object["share_of_read_bandwidth"] = number(bytes.flatMap { share($0, limits?.readGBps) })
        if let limits {
            object["limits"] = [
                "int8_tops": JSON(limits.int8Tops), "bf16_tflops": JSON(limits.bf16Tflops),
                "bf16_split_tflops": JSON(limits.splitTflops / 2), "f32_tflops": JSON(limits.f32Tflops),
                "read_gbps": JSON(limits.readGBps),
            ]
        }
        object["first_token"] = .array(
            readSeconds.filter { $0.key > 0 }.sorted { $0.key < $1.key }.map {
                ["tokens": JSON($0.key), "seconds": JSON($0.value)]
            })
        object["tests"] = .array(
            results.map { result in
                [
                    "test": .string(result.name), "threads": JSON(result.threads), "depth": JSON(result.depth),
                    "tokens_per_second": JSON(result.tokensPerSecond),
                    "repeats": .array(result.rates.map { JSON($0) }), "tops": JSON(tops(result)),
                    "weight_gbps": JSON(gigabytes(result)), "scaling": number(scaling(result)),
                    "share_of_limit": number(
                        isPrompt(result)
                            ? share(tops(result), computeLimit(self.limits(result)))
                            : share(gigabytes(result), self.limits(result)?.readGBps)),
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
