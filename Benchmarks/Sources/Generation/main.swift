//  Decoding over a long generation: what a token costs by its position, and whether the reads of
//  attention explain it.
//
//      swift run -c release --package-path Benchmarks generation MODEL [--tokens 4096] [--threads 2] [--kv bf16|f32|int8] > generation.tsv
//
//  MODEL is a packed model (duality quantize, duality synthesize). A token at position n reads the
//  weights, and of every attention layer the keys and values of n tokens; nothing else of what it
//  does depends on n. So
//
//      seconds(n) = a + b n,      bytes of a token's keys and values / b = the rate at which they are read
//
//  fitted by least squares over the rows. Rows: position, median milliseconds of the tokens there,
//  tokens per second, GB of keys and values read, GB/s of what came on top of the first row. Behind
//  the fit, a new sequence shows that the first row is still reached. Tab-separated; comments begin
//  with #.

import DualityCore
import DualityQuant
import Foundation
import Measure

guard CommandLine.arguments.count > 1, !CommandLine.arguments[1].hasPrefix("-") else {
    FileHandle.standardError.write(Data("usage: generation MODEL [--tokens N] [--threads N] [--kv FORMAT]\n".utf8))
    exit(2)
}
let count = option("--tokens", 4096)
let packed = try PackedCheckpoint(directory: CommandLine.arguments[1])
var options = QuantOptions(
    plan: packed.plan, keyValues: option("--kv").flatMap { KeyValueFormat(rawValue: $0) },
    pool: ThreadPool(threads: option("--threads", 2)))
options.isResident = true
let model = try QuantModel(packed, options: options)

/// Milliseconds of the tokens of a new sequence.
func generate(_ count: Int) throws -> (milliseconds: [Double], cacheBytes: Int) {
    var (cache, times) = (model.makeCache(), [Double]())
    var token = 1
    for position in 0..<count {
        let start = Clock.wall.now()
        let logits = try model.extend(&cache, by: [token], logits: .last)
        times.append((Clock.wall.now() - start) * 1e3)
        // Some next token that depends on the logits.
        token = (logits.elements.first.map { abs(Int($0 * 1000)) } ?? position) % model.configuration.vocabularySize
    }
    return (times, cache.byteCount)
}

func median(_ values: ArraySlice<Double>) -> Double { values.sorted()[values.count / 2] }

_ = try generate(8)
let layers = model.configuration.layers.count { $0 != .mamba2 }
let element = model.keyValueFormat == .f32 ? 4 : model.keyValueFormat == .bf16 ? 2 : 1
let scales = model.keyValueFormat == .int8 ? 8 * model.configuration.keyValueHeadCount : 0
/// Bytes of a token's keys and values in all layers.
let tokenBytes = Double(
    layers * (2 * model.configuration.keyValueHeadCount * model.configuration.headDim * element + scales))
let (times, _) = try generate(count)
let rows = 16
print(
    "# \(CommandLine.arguments[1].split(separator: "/").last ?? ""), \(layers) attention layers, KV \(model.keyValueFormat.rawValue)"
)
print("# position\tms\ttokens/s\tGB of KV\tGB/s of the increase")
var points: [(n: Double, ms: Double)] = []
for row in 0..<rows {
    let (first, end) = (count * row / rows, count * (row + 1) / rows)
    guard end > first else { continue }
    let (n, ms) = (Double(first + end) / 2, median(times[first..<end]))
    points.append((n, ms))
    let more = (ms - points[0].ms) * 1e-3
    let rate = row == 0 || more <= 0 ? "" : text(tokenBytes * (n - points[0].n) / more * 1e-9, 1)
    print("\(Int(n))\t\(text(ms, 2))\t\(text(1000 / ms, 2))\t\(text(tokenBytes * n * 1e-9, 3))\t\(rate)")
}
let (meanN, meanT) = (
    points.map(\.n).reduce(0, +) / Double(points.count), points.map(\.ms).reduce(0, +) / Double(points.count)
)
let slope =
    points.map { ($0.n - meanN) * ($0.ms - meanT) }.reduce(0, +)
    / points.map { ($0.n - meanN) * ($0.n - meanN) }.reduce(0, +)
let worst = points.map { abs($0.ms - meanT - slope * ($0.n - meanN)) / $0.ms }.max() ?? 0
print(
    "# \(text(meanT - slope * meanN, 2)) ms + \(text(slope * 1e3, 3)) us a token of context: keys and values read at "
        + "\(text(tokenBytes / slope * 1e-6, 1)) GB/s; the line misses a row by \(text(100 * worst, 1)) % at most")
let again = try generate(max(count / rows, 1)).milliseconds
print(
    "# a new sequence, its first \(again.count) tokens: \(text(median(again[...]), 2)) ms, before \(text(points[0].ms, 2))"
)
