//  Long contexts: seconds to the first token, and what a token costs behind so many others.
//
//      swift run -c release --package-path Benchmarks context MODEL [--lengths 0,16384,65536] [--tokens 16] [--threads 2] [--kv bf16|f32|int8]
//
//  MODEL is a packed model. One sequence is read on and on; at every length its logits are computed
//  (first token), and that many tokens are decoded on a copy of the cache. A model with few layers
//  (duality synthesize --layers) shows in minutes what the whole takes: time goes with the layers.
//  Tab-separated: length, seconds to the first token, median milliseconds of a decoded token, bytes
//  of the cache.

import DualityCore
import DualityQuant
import Foundation
import Measure

guard CommandLine.arguments.count > 1, !CommandLine.arguments[1].hasPrefix("-") else {
    FileHandle.standardError.write(
        Data("usage: context MODEL [--lengths N,…] [--tokens N] [--threads N] [--kv F]\n".utf8))
    exit(2)
}
let lengths = (option("--lengths") ?? "0,16384,65536").split(separator: ",").compactMap { Int($0) }.sorted()
let count = option("--tokens", 16)
let packed = try PackedCheckpoint(directory: CommandLine.arguments[1])
var options = QuantOptions(
    plan: packed.plan, keyValues: option("--kv").flatMap { KeyValueFormat(rawValue: $0) },
    pool: ThreadPool(threads: option("--threads", 2)))
options.isResident = true
var model = try QuantModel(packed, options: options)
model.contextLimit = nil

func seconds(_ body: () throws -> Void) rethrows -> Double {
    let start = Clock.wall.now()
    try body()
    return Clock.wall.now() - start
}

var cache = model.makeCache()
var read = 0.0
for length in lengths {
    // A little at a time, so that it can be followed; the engine passes 512 rows at once anyway.
    while cache.tokenCount < length {
        let piece = min(2048, length - cache.tokenCount)
        let ids = (0..<piece).map { ($0 * 7919 + cache.tokenCount) % model.configuration.vocabularySize }
        read += try seconds {
            _ = try model.extend(&cache, by: ids, logits: cache.tokenCount + piece == length ? .last : .none)
        }
    }
    var copy = cache
    // The copy's own last page and the clock are warm after the first.
    _ = try model.extend(&copy, by: [1], logits: .last)
    let times = try (0..<count).map { token in
        try seconds { _ = try model.extend(&copy, by: [token], logits: .last) }
    }
    let milliseconds = times.sorted()[count / 2] * 1e3
    print("\(length)\t\(text(read, 3))\t\(text(milliseconds, 4))\t\(copy.byteCount)")
}
