import DualityCore
import DualityReference

@testable import DualityVerify

/// A kernel of the gated delta rule in Float, right or with one planted fault. It shares nothing
/// with the reference or the diagnosis: the state is kept values by keys, the inverse is found
/// column by column.
struct DeltaKernel: Sendable {
    /// Tokens in a chunk; nil for token by token.
    var chunk: Int?
    /// Whether matrix products, inverse, values and the chunks' states are bfloat16.
    var isNarrow = false
    /// Whether norms are taken in bfloat16, every operation rounded.
    var hasNarrowNorms = false
    /// What is wrong, by the name that the diagnosis should find.
    var plant = ""

    static let plants = [
        "delta-scale-missing", "delta-scale-twice", "delta-l2norm-missing", "delta-l2norm-of-q-missing",
        "delta-l2norm-of-k-missing", "delta-l2norm-epsilon-outside", "delta-q-and-k-swapped", "delta-heads-tiled",
        "delta-beta-missing", "delta-beta-twice", "delta-beta-on-value-alone", "delta-beta-on-correction-alone",
        "delta-beta-sigmoid-twice", "delta-decay-missing", "delta-decay-twice", "delta-decay-after-delta",
        "delta-decay-after-update", "delta-decay-base-two", "delta-decay-one-token-late",
        "delta-correction-missing", "delta-output-before-update", "delta-across-boundary",
        "delta-initial-state-ignored", "delta-initial-state-transposed", "delta-final-state-transposed",
        "delta-final-state-misses-last-token", "delta-state-in-bf16", "delta-state-in-f16", "delta-l2norm-in-bf16",
    ]
    /// What kernels of a model in bfloat16 do anyway.
    static let usualInBFloat16: Set = [
        "delta-l2norm-in-bf16", "delta-inverse-in-bf16", "delta-inverse-in-tf32", "delta-products-in-tf32",
    ]

    /// Token by token and in chunks of 32, each with every plant.
    static var planted: [DeltaKernel] {
        plants.map { DeltaKernel(plant: $0) } + chunkPlants.map { DeltaKernel(chunk: 32, plant: $0) }
    }

    static let chunkPlants = [
        "delta-wy-decay-missing", "delta-wy-decay-one-token-late", "delta-wy-decay-one-token-early",
        "delta-wy-beta-missing", "delta-wy-diagonal-kept", "delta-inverse-first-order", "delta-inverse-truncated",
        "delta-inverse-blocks-not-merged", "delta-entering-decay-missing", "delta-entering-state-not-corrected",
        "delta-output-before-update", "delta-decay-missing-inside-chunk", "delta-decay-missing-across-chunks",
        "delta-keys-not-decayed-to-chunk-end", "delta-state-lost-between-chunks", "delta-state-not-decayed-by-chunk",
        "delta-inverse-in-bf16", "delta-inverse-in-tf32", "delta-products-in-tf32", "delta-chunk-state-in-bf16",
    ]

    static func short(_ x: Float, bits: UInt32) -> Float {
        let raw = x.bitPattern
        let half: UInt32 = 1 << (bits - 1)
        return Float(bitPattern: (raw &+ half &- 1 &+ (raw >> bits & 1)) & ~((1 << bits) - 1))
    }

    static func bf16(_ x: Float) -> Float { short(x, bits: 16) }
    func narrow(_ x: Float) -> Float {
        isNarrow ? Self.bf16(x) : plant == "delta-products-in-tf32" ? Self.short(x, bits: 13) : x
    }

    /// The vectors of one head.
    struct Head {
        var (q, k, v) = ([[Float]](), [[Float]](), [[Float]]())
        var (g, b) = ([Float](), [Float]())
    }

    func callAsFunction(
        _ source: TensorTable, _ options: [String: String]
    ) throws -> [String: Tensor<Double>] {
        func read(_ name: String) throws -> Tensor<Float> { try source.tensor(name) }
        let (q, k, v, g, b) = try (read("q"), read("k"), read("v"), read("g"), read("beta"))
        let (batch, length, keys) = (q.shape[0], q.shape[1], q.shape[3])
        let (heads, values) = (v.shape[2], v.shape[3])
        let initial = source.contains("initial_state") ? try read("initial_state") : nil
        var parts = (0..<batch).map { $0 * length..<($0 + 1) * length }
        if source.contains("cu_seqlens") {
            let starts = try source.integers("cu_seqlens").elements
            parts = zip(starts, starts.dropFirst()).map { $0..<$1 }
        }
        let scale = options["scale"].flatMap { Float($0) } ?? 1 / Float(keys).squareRoot()
        let norms = options["use_qk_l2norm_in_kernel"] == "true"
        var o = Tensor(repeating: 0.0, shape: v.shape)
        var ends = Tensor(repeating: 0.0, shape: [parts.count, heads, keys, values])
        for h in 0..<heads {
            var last = [[Float]](repeating: [Float](repeating: 0, count: keys), count: values)
            for (s, part) in parts.enumerated() {
                let head = head(part, h, (q, k, v, g, b), scale: scale, norms: norms)
                var state = [[Float]](repeating: [Float](repeating: 0, count: keys), count: values)
                if let initial, plant != "delta-initial-state-ignored" {
                    let at = (s * heads + h) * keys * values
                    for j in 0..<values {
                        for i in 0..<keys {
                            let transposed = plant == "delta-initial-state-transposed"
                            state[j][i] = initial.elements[at + (transposed ? j * keys + i : i * values + j)]
                        }
                    }
                }
                if s > 0, plant == "delta-across-boundary" { state = last }
                var before = state
                let rows = chunk.map { chunked(head, &state, $0) } ?? stepwise(head, &state, &before)
                last = state
                if plant == "delta-final-state-misses-last-token" { state = before }
                for (i, t) in part.enumerated() {
                    for j in 0..<values { o.elements[(t * heads + h) * values + j] = Double(rows[i][j]) }
                }
                for j in 0..<values {
                    for i in 0..<keys {
                        let place = plant == "delta-final-state-transposed" ? j * keys + i : i * values + j
                        ends.elements[(s * heads + h) * keys * values + place] = Double(state[j][i])
                    }
                }
            }
        }
        return ["o": o, "final_state": ends]
    }

    /// The operands of the tokens of a sequence.
    private func head(
        _ part: Range<Int>, _ h: Int,
        _ operands: (q: Tensor<Float>, k: Tensor<Float>, v: Tensor<Float>, g: Tensor<Float>, b: Tensor<Float>),
        scale: Float, norms: Bool
    ) -> Head {
        let (q, k, v, g, b) = operands
        let (shared, keys, heads, values) = (q.shape[2], q.shape[3], v.shape[2], v.shape[3])
        var head = Head()
        for t in part {
            let own = plant == "delta-heads-tiled" ? h % shared : h * shared / heads
            let at = (t * shared + own) * keys
            var (query, key) = (Array(q.elements[at..<at + keys]), Array(k.elements[at..<at + keys]))
            if plant == "delta-q-and-k-swapped" { (query, key) = (key, query) }
            if norms {
                if !["delta-l2norm-missing", "delta-l2norm-of-q-missing"].contains(plant) { unit(&query) }
                if !["delta-l2norm-missing", "delta-l2norm-of-k-missing"].contains(plant) { unit(&key) }
            }
            let times: Float =
                plant == "delta-scale-missing" ? 1 : plant == "delta-scale-twice" ? scale * scale : scale
            head.q.append(query.map { $0 * times })
            head.k.append(key)
            head.v.append(Array(v.elements[(t * heads + h) * values..<(t * heads + h + 1) * values]))
            head.g.append(gate(g.elements, t, h, heads, part))
            head.b.append(step(b.elements[t * heads + h]))
        }
        return head
    }

    private func unit(_ row: inout [Float]) {
        var sum: Float = 0
        if hasNarrowNorms || plant == "delta-l2norm-in-bf16" {
            for x in row { sum += Self.bf16(x * x) }
            let root = Self.bf16(1 / Self.bf16(Self.bf16(sum) + 1e-6).squareRoot())
            for i in row.indices { row[i] = Self.bf16(row[i] * root) }
            return
        }
        for x in row { sum += x * x }
        let factor: Float =
            plant == "delta-l2norm-epsilon-outside" ? 1 / (sum.squareRoot() + 1e-6) : 1 / (sum + 1e-6).squareRoot()
        for i in row.indices { row[i] = narrow(row[i] * factor) }
    }

    private func gate(_ g: [Float], _ t: Int, _ h: Int, _ heads: Int, _ part: Range<Int>) -> Float {
        let own = g[t * heads + h]
        switch plant {
        case "delta-decay-missing": return 0
        case "delta-decay-twice": return 2 * own
        case "delta-decay-base-two": return own * 0.6931472
        case "delta-decay-one-token-late": return t == part.lowerBound ? 0 : g[(t - 1) * heads + h]
        default: return own
        }
    }

    private func step(_ b: Float) -> Float {
        switch plant {
        case "delta-beta-missing": 1
        case "delta-beta-twice": b * b
        case "delta-beta-sigmoid-twice": 1 / (1 + Float.exp(-b))
        default: b
        }
    }

    private func stepwise(_ head: Head, _ state: inout [[Float]], _ before: inout [[Float]]) -> [[Float]] {
        var rows: [[Float]] = []
        for t in head.g.indices {
            before = state
            let (fade, b, key, query) = (Float.exp(head.g[t]), head.b[t], head.k[t], head.q[t])
            var row: [Float] = []
            for j in state.indices {
                if !["delta-decay-after-delta", "delta-decay-after-update"].contains(plant) {
                    for i in key.indices { state[j][i] *= fade }
                }
                var known: Float = 0
                for i in key.indices { known += state[j][i] * key[i] }
                if plant == "delta-decay-after-delta" { for i in key.indices { state[j][i] *= fade } }
                let v = head.v[t][j]
                let change: Float =
                    switch plant {
                    case "delta-beta-on-value-alone": b * v - known
                    case "delta-beta-on-correction-alone": v - b * known
                    case "delta-correction-missing": b * v
                    default: b * (v - known)
                    }
                var answer: Float = 0
                for i in key.indices {
                    if plant == "delta-output-before-update" { answer += query[i] * state[j][i] }
                    state[j][i] += change * key[i]
                    if plant == "delta-decay-after-update" { state[j][i] *= fade }
                    if plant == "delta-state-in-bf16" { state[j][i] = Self.bf16(state[j][i]) }
                    if plant == "delta-state-in-f16" { state[j][i] = Self.short(state[j][i], bits: 13) }
                    if plant != "delta-output-before-update" { answer += query[i] * state[j][i] }
                }
                row.append(answer)
            }
            rows.append(row)
        }
        return rows
    }
}
