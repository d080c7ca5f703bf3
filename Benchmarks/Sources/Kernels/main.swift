//  The kernels against the limits of the machine, measured in the same run.
//
//      swift run -c release --package-path Benchmarks kernels [--threads 2] [--group 0|32|64|128]
//
//  A row is the median of repeats, and between rows the limits are taken again. Time is the
//  processor time of the busiest thread, so that what else runs on the machine does not count;
//  weights rotate through more memory than L2 holds, so that they come from where a large model's
//  come.

import DualityKernels
import Foundation
import Measure

let arguments = CommandLine.arguments
let threads = option("--threads", 2)
let group = Int64(option("--group", 0))
let machine = Machine(threads: threads)
let (kernels, workspaces) = (machine.kernels, machine.workspaces)
let (pool, poolBytes) = (machine.pool, machine.poolBytes)

// MARK: - Products

var random = RandomWords()
let x = memory(2048 * 12288, of: Float.self)
for i in 0..<2048 * 12288 { x[i] = Float(Int64(bitPattern: random.next()) >> 40) / Float(1 << 23) }
let y = memory(2048 * 24576, of: Float.self)
let packed = memory(2048 * 12288, of: Float.self)
let scales = memory(poolBytes / 32, of: Float.self)
for i in 0..<poolBytes / 32 { scales[i] = 0.01 }

let widths = [22, 8, 11, 9, 10, 9, 9]

func row(
    _ name: String, _ tokens: Int64, operations: Double, bytes: Double, seconds: Double, peak: Double, read: Double
) {
    show(
        [
            name, "\(tokens)", text(seconds * 1e3, 3), text(operations / seconds * 1e-12, 3),
            text(100 * operations / seconds / peak, 1), text(bytes / seconds * 1e-9, 1),
            text(100 * bytes / seconds / read, 0),
        ], widths: widths)
}

let shapes: [(Int64, Int64)] = [(10272, 4096), (6144, 4096), (4096, 4096), (24576, 4096), (4096, 12288), (3072, 1024)]
/// Seconds of one int8 product, activations already quantized.
func int8Product(_ m: Int64, _ k: Int64, _ tokens: Int64, repeats: Int) -> (seconds: Double, bytes: Double) {
    let weightBytes = Int(dk_int8_weight_bytes(m, k, group))
    let scaleCount = Int(dk_int8_scale_count(m, k, group))
    let copies = poolBytes / weightBytes
    kernels.int8_activations(x, k, tokens, k, group, 0, tokens, packed)
    let seconds = machine.time(repeats: repeats) { repetition, thread in
        let copy = repetition % copies
        var matrix = dk_int8_matrix(
            rows: m, columns: k, group: group, weights: pool + copy * weightBytes, scales: scales + copy * scaleCount)
        let panels = machine.range(dk_panels(m), thread)
        kernels.int8_matmul(&matrix, packed, tokens, panels.lowerBound, panels.upperBound, y, m, workspaces[thread])
    }
    return (seconds, Double(weightBytes + 4 * scaleCount))
}

/// Seconds of one product of bfloat16 in twelve bits, activations already packed. Units rotate
/// through the pool, whose bits are as good as any; one weight in 14,000 is an exception, as in
/// normal weights.
func compactProduct(
    _ m: Int64, _ k: Int64, _ tokens: Int64, _ dot: Bool, repeats: Int
) -> (seconds: Double, bytes: Double) {
    let (panels, units) = (Int(dk_panels(m)), UInt32((k + 3) / 4))
    let unitBytes = Int(dk_compact_unit_bytes(m, k))
    let copies = poolBytes / unitBytes
    let exponents = memory(panels * 16, of: UInt32.self)
    let starts = memory(panels + 1, of: UInt32.self)
    let perPanel = max(Int(k) * 32 / 14_000, 1)
    let exceptions = memory(panels * perPanel, of: UInt32.self)
    for panel in 0..<panels {
        for i in 0..<16 { exponents[panel * 16 + i] = UInt32(106 + i) << 23 }
        for i in 0..<perPanel {
            let unit = units / UInt32(perPanel) * UInt32(i) + UInt32(panel % 7) % units
            exceptions[panel * perPanel + i] = unit << 15 | UInt32(i * 37 % 128) << 8 | 100
        }
        starts[panel + 1] = UInt32((panel + 1) * perPanel)
    }
    let seconds = machine.time(repeats: repeats) { repetition, thread in
        let copy = pool + repetition % copies * unitBytes
        copy.withMemoryRebound(to: UInt32.self, capacity: unitBytes / 4) { units in
            var matrix = dk_compact_matrix(
                rows: m, columns: k, units: units, exponents: exponents, exceptions: exceptions, starts: starts)
            let panels = machine.range(dk_panels(m), thread)
            (dot ? kernels.compact_dot_matmul : kernels.compact_matmul)(
                &matrix, packed, tokens, panels.lowerBound, panels.upperBound, y, m, workspaces[thread])
        }
    }
    return (seconds, Double(unitBytes + 4 * (panels * 16 + panels + 1 + panels * perPanel)))
}

// MARK: - Scan

let (scanHeads, scanDim) = (Int64(32), Int64(128))

/// Seconds of a scan from an empty state over `length` tokens, one a repetition; x and B have
/// `shared` heads.
func scan(_ length: Int64, shared: Int64, repeats: Int, clock: Clock) -> [Double] {
    let (heads, dim, chunk) = (scanHeads, scanDim, Int64(DK_SSD_CHUNK))
    let shape = dk_ssd_shape(
        heads: heads, xHeads: shared, bHeads: shared, cHeads: heads, headDim: dim, stateDim: dim)
    let cache = dk_ssd_cache(
        state: memory(Int(heads * dim * dim), of: Float.self), x: memory(Int(shared * chunk * dim), of: Float.self),
        b: memory(Int(shared * dim * chunk), of: Float.self), delta: memory(Int(heads * chunk), of: Float.self),
        logDecay: memory(Int(heads * chunk), of: Float.self))
    let (rates, skip, bias) = (
        memory(Int(heads), of: Float.self), memory(Int(heads), of: Float.self), memory(Int(heads), of: Float.self)
    )
    // Steps near 0.05, as trained models have them. Steps near 1 decay so fast that products become
    // subnormal, which this processor does slowly.
    for h in 0..<Int(heads) { (rates[h], skip[h], bias[h]) = (-Float(h % 16 + 1), 1, -3) }
    func operand(_ count: Int64) -> UnsafeMutablePointer<Float> {
        let values = memory(Int(count), of: Float.self)
        for i in 0..<Int(count) { values[i] = x[i % (2048 * 12288)] }
        return values
    }
    let operands = dk_ssd_operands(
        tokens: length, x: operand(length * shared * dim), ldx: shared * dim, b: operand(length * shared * dim),
        ldb: shared * dim, c: operand(length * heads * dim), ldc: heads * dim, dt: operand(length * heads), lddt: heads,
        a: rates, dtBias: bias, d: skip, softplus: true, dtLow: 0, dtHigh: .infinity, y: operand(length * heads * dim),
        ldy: heads * dim, logDecaySum: nil)
    return machine.times(repeats: repeats, clock: clock) { _, thread in
        var (shape, cache, operands) = (shape, cache, operands)
        let range = machine.range(heads, thread)
        kernels.ssd_extend(&shape, &cache, 0, &operands, range.lowerBound, range.upperBound, workspaces[thread])
    }
}

// For a program to read. One product: operations a second, and the peak, in units of 10^12.
if let place = arguments.firstIndex(of: "--once"), place + 1 < arguments.count {
    let sizes = arguments[place + 1].split(separator: "x").compactMap { Int64($0) }
    guard sizes.count == 3 else { exit(2) }
    let (seconds, _) = int8Product(sizes[0], sizes[1], sizes[2], repeats: 7)
    print(2 * Double(sizes[0] * sizes[1] * sizes[2]) / seconds * 1e-12, machine.peak(.int8) * 1e-12)
    exit(0)
}

// One scan: seconds on the wall of each repetition.
if option("--scan", 0) > 0 {
    let times = scan(
        Int64(option("--scan", 0)), shared: Int64(option("--shared", 32)), repeats: option("--repeats", 9), clock: .wall
    )
    print(times.map { String($0) }.joined(separator: " "))
    exit(0)
}

// One recurrence: seconds on the wall of each repetition, and the float32 peak behind them.
for name in ["--delta", "--kalma"] where option(name, 0) > 0 {
    let rule = Recurrences(machine: machine, length: Int64(option(name, 0)))
    let repeats = option("--repeats", 9)
    let times =
        name == "--delta"
        ? rule.delta(repeats: repeats, clock: .wall) : rule.kalma(repeats: repeats, iterations: 30, clock: .wall)
    print((times + [machine.peak(.f32)]).map { String($0) }.joined(separator: " "))
    exit(0)
}

print("\(String(cString: kernels.name)): \(String(cString: kernels.summary)); \(threads) threads, int8 group \(group)")
show(["product", "tokens", "ms", "T/s", "% peak", "GB/s", "% read"], widths: widths)

for tokens in [512, 128, 1, 4, 8] as [Int64] {
    let (limit, read) = (machine.peak(.int8), machine.readBandwidth())
    for (m, k) in shapes {
        let (seconds, bytes) = int8Product(m, k, tokens, repeats: tokens > 100 ? 9 : 41)
        row(
            "int8 \(m)x\(k)", tokens, operations: 2 * Double(m * k * tokens),
            bytes: bytes, seconds: seconds, peak: limit, read: read)
    }
}

for tokens in [512, 1] as [Int64] {
    let (limit, read) = (machine.peak(.f32), machine.readBandwidth())
    for dot in [false, true] {
        for (m, k) in shapes {
            let weightBytes = Int(dk_bf16_weight_bytes(m, k))
            let copies = poolBytes / weightBytes
            (dot ? kernels.bf16_dot_activations : kernels.f32_activations)(x, k, tokens, k, 0, tokens, packed)
            let seconds = machine.time(repeats: tokens > 100 ? 5 : 41) { repetition, thread in
                let copy = pool + repetition % copies * weightBytes
                copy.withMemoryRebound(to: UInt16.self, capacity: weightBytes / 2) { weights in
                    var matrix = dk_bf16_matrix(rows: m, columns: k, weights: weights)
                    let panels = machine.range(dk_panels(m), thread)
                    (dot ? kernels.bf16_dot_matmul : kernels.bf16_matmul)(
                        &matrix, packed, tokens, panels.lowerBound, panels.upperBound, y, m, workspaces[thread])
                }
            }
            row(
                (dot ? "bf16 dot " : "bf16 fma ") + "\(m)x\(k)", tokens,
                operations: 2 * Double(m * k * tokens), bytes: Double(weightBytes), seconds: seconds, peak: limit,
                read: read)
            let compact = compactProduct(m, k, tokens, dot, repeats: tokens > 100 ? 5 : 41)
            row(
                (dot ? "12bit dot " : "12bit fma ") + "\(m)x\(k)", tokens,
                operations: 2 * Double(m * k * tokens), bytes: compact.bytes, seconds: compact.seconds, peak: limit,
                read: read)
        }
    }
}

// MARK: - The scan's rows

do {
    let length = Int64(2048)
    for shared in [32, 8] as [Int64] {
        let limit = machine.peak(.f32)
        let seconds = scan(length, shared: shared, repeats: 9, clock: .processor).sorted()[4]
        let (dim, q) = (Double(scanDim), Double(DK_SSD_CHUNK))
        // Operations without what the causal mask cuts off.
        let done = Double(length * scanHeads) * (4 * dim * dim + (q + 1) / 2 * 4 * dim + 2 * dim * dim / q)
        row(
            "scan H32 P=N=128 G\(shared)", length, operations: done, bytes: 0, seconds: seconds, peak: limit, read: 1)
    }
}
