//  The kernels against the limits of the machine, measured in the same run.
//
//      swift run -c release --package-path Benchmarks kernels [--threads 2] [--group 0|32|64|128]
//
//  A row is the median of repeats, and between rows the limits are taken again. Time is the processor time of the busiest
//  thread, so that what else runs on the machine does not count; weights rotate through more memory than L2 holds, so that
//  they come from where a large model's come.

import DualityKernels
import Foundation
import Synchronization

let arguments = CommandLine.arguments
func option(_ name: String, _ fallback: Int) -> Int {
    guard let place = arguments.firstIndex(of: name), place + 1 < arguments.count else { return fallback }
    return Int(arguments[place + 1]) ?? fallback
}

let threads = option("--threads", 2)
let group = Int64(option("--group", 0))
var message = [CChar](repeating: 0, count: 256)
guard let table = dk_active(&message, Int64(message.count)) else {
    FileHandle.standardError.write(
        Data((message.withUnsafeBufferPointer { String(cString: $0.baseAddress!) } + "\n").utf8))
    exit(2)
}
let kernels = table.pointee

// MARK: - Memory and time

func memory<Element>(_ count: Int, of: Element.Type) -> UnsafeMutablePointer<Element> {
    let bytes = (count * MemoryLayout<Element>.stride + (2 << 20)) / (2 << 20) * (2 << 20)
    let raw = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 2 << 20)
    #if os(Linux)
        madvise(raw, bytes, 14)  // MADV_HUGEPAGE
    #endif
    raw.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    return raw.bindMemory(to: Element.self, capacity: count)
}

func processorTime() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + 1e-9 * Double(time.tv_nsec)
}

let workspaces = (0..<threads).map { _ in memory(Int(DK_WORKSPACE_BYTES), of: UInt8.self) }

/// What the threads of a measurement share.
final class Measurement: @unchecked Sendable {
    let arrived = Atomic<Int>(0)
    let finished = Atomic<Int>(0)
    let body: (_ repetition: Int, _ thread: Int) -> Void
    let repeats: Int
    /// [repeats][threads]
    let seconds: UnsafeMutablePointer<Double>

    init(repeats: Int, _ body: @escaping (Int, Int) -> Void) {
        (self.repeats, self.body) = (repeats, body)
        seconds = .allocate(capacity: repeats * threads)
    }

    deinit { seconds.deallocate() }

    func run(_ thread: Int) {
        for repetition in 0..<repeats {
            // All begin together: each waits until all have arrived as often as itself.
            arrived.add(1, ordering: .acquiringAndReleasing)
            while arrived.load(ordering: .acquiring) < (repetition + 1) * threads { sched_yield() }
            let start = processorTime()
            body(repetition, thread)
            seconds[repetition * threads + thread] = processorTime() - start
        }
        finished.add(1, ordering: .acquiringAndReleasing)
    }
}

/// The median over repeats of the busiest thread's time, the first repeat left out.
func time(repeats: Int, _ body: @escaping (_ repetition: Int, _ thread: Int) -> Void) -> Double {
    let measurement = Measurement(repeats: repeats + 1, body)
    for thread in 1..<max(threads, 1) {
        let other = Thread { measurement.run(thread) }
        other.qualityOfService = .userInteractive
        other.start()
    }
    measurement.run(0)
    while measurement.finished.load(ordering: .acquiring) < threads { usleep(50) }
    let busiest = (1...repeats).map { repetition in
        (0..<threads).map { measurement.seconds[repetition * threads + $0] }.max() ?? 0
    }
    return busiest.sorted()[repeats / 2]
}

func range(_ count: Int64, _ thread: Int) -> Range<Int64> {
    count * Int64(thread) / Int64(threads)..<count * Int64(thread + 1) / Int64(threads)
}

// MARK: - Limits

let poolBytes = 768 << 20
let pool = memory(poolBytes, of: UInt8.self)
var state: UInt64 = 88_172_645_463_325_252
func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
}
pool.withMemoryRebound(to: UInt64.self, capacity: poolBytes / 8) { words in
    // Pairs of bfloat16 near 1 and of either sign: normal numbers in every format.
    for i in 0..<poolBytes / 8 { words[i] = 0x3f80_3f80_3f80_3f80 ^ next() & 0x807f_80ff_807f_80ff }
}

enum Limit { case int8, f32, bf16 }

func peak(_ limit: Limit) -> Double {
    let probe = limit == .int8 ? kernels.probe_int8 : limit == .f32 ? kernels.probe_f32 : kernels.probe_bf16
    let operations = probe(1)
    guard operations > 0 else { return 0 }
    let iterations = Int64(2.5e10 / operations)
    return operations * Double(iterations) * Double(threads) / time(repeats: 5) { _, _ in _ = probe(iterations) }
}

func readBandwidth() -> Double {
    let share = poolBytes / threads / 4096 * 4096
    return Double(share * threads)
        / time(repeats: 5) { _, thread in _ = kernels.probe_read(pool + thread * share, Int64(share)) }
}

// MARK: - Products

let x = memory(2048 * 12288, of: Float.self)
for i in 0..<2048 * 12288 { x[i] = Float(Int64(bitPattern: next()) >> 40) / Float(1 << 23) }
let y = memory(2048 * 24576, of: Float.self)
let packed = memory(2048 * 12288, of: Float.self)
let scales = memory(poolBytes / 32, of: Float.self)
for i in 0..<poolBytes / 32 { scales[i] = 0.01 }

func show(_ columns: [String]) {
    let widths = [22, 8, 11, 9, 10, 9, 9]
    print(
        zip(columns, widths).map { text, width in text.padding(toLength: width, withPad: " ", startingAt: 0) }
            .joined(separator: " "))
}

func text(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }

func row(
    _ name: String, _ tokens: Int64, operations: Double, bytes: Double, seconds: Double, peak: Double, read: Double
) {
    show([
        name, "\(tokens)", text(seconds * 1e3, 3), text(operations / seconds * 1e-12, 3),
        text(100 * operations / seconds / peak, 1), text(bytes / seconds * 1e-9, 1),
        text(100 * bytes / seconds / read, 0),
    ])
}

let shapes: [(Int64, Int64)] = [(10272, 4096), (6144, 4096), (4096, 4096), (24576, 4096), (4096, 12288), (3072, 1024)]
/// Seconds of one int8 product, activations already quantized.
func int8Product(_ m: Int64, _ k: Int64, _ tokens: Int64, repeats: Int) -> (seconds: Double, bytes: Double) {
    let weightBytes = Int(dk_int8_weight_bytes(m, k, group))
    let scaleCount = Int(dk_int8_scale_count(m, k, group))
    let copies = poolBytes / weightBytes
    kernels.int8_activations(x, k, tokens, k, group, 0, tokens, packed)
    let seconds = time(repeats: repeats) { repetition, thread in
        let copy = repetition % copies
        var matrix = dk_int8_matrix(
            rows: m, columns: k, group: group, weights: pool + copy * weightBytes, scales: scales + copy * scaleCount)
        let panels = range(dk_panels(m), thread)
        kernels.int8_matmul(&matrix, packed, tokens, panels.lowerBound, panels.upperBound, y, m, workspaces[thread])
    }
    return (seconds, Double(weightBytes + 4 * scaleCount))
}

// One shape for a program to read: operations a second, and the peak, in units of 10^12.
if let place = arguments.firstIndex(of: "--once"), place + 1 < arguments.count {
    let sizes = arguments[place + 1].split(separator: "x").compactMap { Int64($0) }
    guard sizes.count == 3 else { exit(2) }
    let (seconds, _) = int8Product(sizes[0], sizes[1], sizes[2], repeats: 7)
    print(2 * Double(sizes[0] * sizes[1] * sizes[2]) / seconds * 1e-12, peak(.int8) * 1e-12)
    exit(0)
}

print("\(String(cString: kernels.name)): \(String(cString: kernels.summary)); \(threads) threads, int8 group \(group)")
show(["product", "tokens", "ms", "T/s", "% peak", "GB/s", "% read"])

for tokens in [512, 128, 1, 4, 8] as [Int64] {
    let (limit, read) = (peak(.int8), readBandwidth())
    for (m, k) in shapes {
        let (seconds, bytes) = int8Product(m, k, tokens, repeats: tokens > 100 ? 9 : 41)
        row(
            "int8 \(m)x\(k)", tokens, operations: 2 * Double(m * k * tokens),
            bytes: bytes, seconds: seconds, peak: limit, read: read)
    }
}

for tokens in [512, 1] as [Int64] {
    let (limit, read) = (peak(.f32), readBandwidth())
    for path in [DK_BF16_FMA, DK_BF16_DOT] where path == DK_BF16_FMA || kernels.bf16Dot {
        for (m, k) in shapes {
            let weightBytes = Int(dk_bf16_weight_bytes(m, k))
            let copies = poolBytes / weightBytes
            kernels.bf16_activations(path, x, k, tokens, k, 0, tokens, packed)
            let seconds = time(repeats: tokens > 100 ? 5 : 41) { repetition, thread in
                let copy = pool + repetition % copies * weightBytes
                copy.withMemoryRebound(to: UInt16.self, capacity: weightBytes / 2) { weights in
                    var matrix = dk_bf16_matrix(rows: m, columns: k, weights: weights)
                    let panels = range(dk_panels(m), thread)
                    kernels.bf16_matmul(
                        path, &matrix, packed, tokens, panels.lowerBound, panels.upperBound, y, m, workspaces[thread])
                }
            }
            row(
                (path == DK_BF16_DOT ? "bf16 dot " : "bf16 fma ") + "\(m)x\(k)", tokens,
                operations: 2 * Double(m * k * tokens), bytes: Double(weightBytes), seconds: seconds, peak: limit,
                read: read)
        }
    }
}

// MARK: - Scan

do {
    let (heads, dim, length) = (Int64(32), Int64(128), Int64(2048))
    for shared in [32, 8] as [Int64] {
        var shape = dk_ssd_shape(
            heads: heads, xHeads: shared, bHeads: shared, cHeads: heads, headDim: dim, stateDim: dim)
        let chunk = Int64(DK_SSD_CHUNK)
        let cache = dk_ssd_cache(
            state: memory(Int(heads * dim * dim), of: Float.self), x: memory(Int(shared * chunk * dim), of: Float.self),
            b: memory(Int(shared * dim * chunk), of: Float.self), delta: memory(Int(heads * chunk), of: Float.self),
            logDecay: memory(Int(heads * chunk), of: Float.self))
        let rates = memory(Int(heads), of: Float.self)
        let skip = memory(Int(heads), of: Float.self)
        for h in 0..<Int(heads) { (rates[h], skip[h]) = (-Float(h % 16 + 1), 1) }
        let rows = Int(length * heads * dim)
        let (c, out) = (memory(rows, of: Float.self), memory(rows, of: Float.self))
        for i in 0..<rows { c[i] = x[i % (2048 * 12288)] }
        let operands = dk_ssd_operands(
            tokens: length, x: x, ldx: shared * dim, b: x + rows, ldb: shared * dim, c: c, ldc: heads * dim, dt: x,
            lddt: heads, a: rates, dtBias: nil, d: skip, softplus: true, dtLow: 0, dtHigh: .infinity, y: out,
            ldy: heads * dim, logDecaySum: nil)
        let limit = peak(.f32)
        let seconds = time(repeats: 9) { _, thread in
            var (shape, cache, operands) = (shape, cache, operands)
            let range = range(heads, thread)
            kernels.ssd_extend(
                &shape, &cache, 0, &operands, range.lowerBound, range.upperBound, workspaces[thread])
        }
        let q = Double(chunk)
        let done =
            Double(length * heads) * (4 * Double(dim * dim) + (q + 1) / 2 * 4 * Double(dim) + 2 * Double(dim * dim) / q)
        row(
            "scan H32 P=N=128 G\(shared)", length, operations: done, bytes: 0, seconds: seconds, peak: limit, read: 1)
        shape.heads = heads
    }
}
