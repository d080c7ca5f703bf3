//  Attention against the limits of the machine: tokens of a prompt by the multipliers, one decoded
//  token by the memory.
//
//      swift run -c release --package-path Benchmarks attention [--threads 2] [--heads 32] [--kv-heads 8] [--dim 128]
//
//  Operations of T tokens behind S others: 4 D for each query head and pair of token and key that
//  the causal mask lets through (two products), the softmax not counted. Bytes of one token: the
//  keys and values of the S + 1 tokens in its cache, scales included. Caches of many layers rotate,
//  so that they come from memory as they do in a model. Heads are split over threads, which is how
//  the engine splits them.

import DualityKernels
import Foundation
import Measure

let threads = option("--threads", 2)
let (heads, kvHeads, dim) = (Int64(option("--heads", 32)), Int64(option("--kv-heads", 8)), Int64(option("--dim", 128)))
let machine = Machine(threads: threads)
let kernels = machine.kernels

/// The caches of `layers` layers, each holding `tokens` tokens.
struct Caches {
    var shape: dk_attention_shape
    /// [layers][pages]
    let pages: [[UnsafeMutableRawPointer]]
    let pageBytes: Int64

    init(_ format: dk_kv_format, tokens: Int64, layers: Int) {
        shape = dk_attention_shape(
            heads: heads, kvHeads: kvHeads, headDim: dim, format: format, scale: 1 / Float(dim).squareRoot(), window: 0)
        let (bytes, count) = (dk_kv_page_bytes(&shape), (tokens + Int64(DK_KV_PAGE) - 1) / Int64(DK_KV_PAGE))
        pageBytes = bytes
        let base = memory(Int(bytes * count) * layers, of: UInt8.self)
        pages = (0..<layers).map { layer in
            (0..<Int(count)).map { UnsafeMutableRawPointer(base + (layer * Int(count) + $0) * Int(bytes)) }
        }
        let rows = memory(Int(Int64(DK_KV_PAGE) * kvHeads * dim), of: Float.self)
        var random = RandomWords()
        for i in 0..<Int(Int64(DK_KV_PAGE) * kvHeads * dim) {
            rows[i] = Float(Int64(bitPattern: random.next()) >> 40) / Float(1 << 23)
        }
        for layer in 0..<layers {
            for first in stride(from: 0, to: tokens, by: Int(DK_KV_PAGE)) {
                kernels.kv_store(
                    &shape, pages[layer], first, min(Int64(DK_KV_PAGE), tokens - first), rows, kvHeads * dim, rows,
                    kvHeads * dim, 0, kvHeads)
            }
        }
    }

    /// Bytes that a token behind `tokens - 1` others reads.
    func bytes(tokens: Int64) -> Double { Double(pageBytes) * Double(tokens) / Double(DK_KV_PAGE) }

    func release() { pages.first?.first.map { $0.deallocate() } }
}

let formats: [(String, dk_kv_format)] = [("f32", DK_KV_F32), ("bf16", DK_KV_BF16), ("int8", DK_KV_INT8)]
let widths = [14, 6, 7, 7, 10, 9, 8, 8]
let inner = Int(heads * dim)
let q = memory(512 * inner, of: Float.self)
var random = RandomWords()
for i in 0..<512 * inner { q[i] = Float(Int64(bitPattern: random.next()) >> 40) / Float(1 << 23) }
let out = memory(512 * inner, of: Float.self)

/// Seconds of `tokens` tokens behind `depth` others.
func seconds(_ caches: Caches, tokens: Int64, depth: Int64, repeats: Int) -> Double {
    machine.time(repeats: repeats) { repetition, thread in
        var shape = caches.shape
        let part = machine.range(kvHeads, thread)
        kernels.attention(
            &shape, caches.pages[repetition % caches.pages.count], depth, q, heads * dim, out, heads * dim, 0, tokens,
            part.lowerBound, part.upperBound, machine.workspaces[thread])
    }
}

print("\(String(cString: kernels.name)), \(threads) threads; \(heads) query and \(kvHeads) key heads of \(dim)")
show(["", "KV", "tokens", "behind", "ms", "TFLOPS", "GB/s", "share"], widths: widths)
let peak = machine.peak(.f32)
for depth in [0, 4096, 16384] as [Int64] {
    for (name, format) in formats {
        let caches = Caches(format, tokens: depth + 512, layers: 1)
        let time = seconds(caches, tokens: 512, depth: depth, repeats: 5)
        let pairs = 512 * Double(depth) + 512 * 513 / 2
        let rate = 4 * Double(dim * heads) * pairs / time
        show(
            [
                "prompt", name, "512", "\(depth)", text(time * 1e3, 2), text(rate * 1e-12, 3), "",
                text(100 * rate / peak, 0) + " %",
            ], widths: widths)
        caches.release()
    }
}
for depth in [1024, 4096, 16384] as [Int64] {
    let read = machine.readBandwidth()
    for (name, format) in formats {
        // Layers enough for 512 MiB: more than the caches of the processor hold.
        let one = 2 * Double(kvHeads * dim * depth) * (format == DK_KV_F32 ? 4 : format == DK_KV_BF16 ? 2 : 1)
        let caches = Caches(format, tokens: depth + 1, layers: max(1, Int(Double(512 << 20) / one)))
        let time = seconds(caches, tokens: 1, depth: depth, repeats: 41)
        let rate = caches.bytes(tokens: depth + 1) / time
        show(
            [
                "one token", name, "1", "\(depth)", text(time * 1e3, 3), "", text(rate * 1e-9, 1),
                text(100 * rate / read, 0) + " %",
            ], widths: widths)
        caches.release()
    }
}
print(
    "shares: of \(text(peak * 1e-12, 3)) TFLOPS float32 for prompts, of the read bandwidth "
        + "(\(text(machine.readBandwidth() * 1e-9, 1)) GB/s at the end) for one token")
