import DualityCore

@testable import DualityVerify

/// A backward pass of the gated delta rule in Float, right or with one planted fault, token by
/// token or in chunks. It shares nothing with the reference, the imitation or the diagnosis: states
/// are kept values by keys and all of them, and chunks solve their system row by row from the end.
struct DeltaBackwardKernel: Sendable {
    /// Tokens in a chunk; nil for token by token.
    var chunk: Int?
    /// Whether q, k, v, dout and what is multiplied in chunks are bfloat16; states are kept in
    /// Float.
    var isNarrow = false
    /// What is wrong, by the name that the diagnosis should find.
    var mistake = ""

    var plant: String { mistake.isEmpty ? "" : "delta-grad-\(mistake)" }

    static let plants = [
        "of-first-head-only", "of-last-head-only", "of-heads-averaged", "heads-tiled", "q-and-k-swapped",
        "dq-and-dk-swapped", "l2norm-ignored", "decay-base-two", "decay-twice", "decay-missing",
        "decay-one-token-late", "beta-missing", "beta-twice", "scale-missing-in-dq", "scale-twice-in-dq",
        "scale-missing-in-states", "scale-on-dk", "l2norm-derivative-missing", "l2norm-derivative-of-q-missing",
        "l2norm-derivative-of-k-missing", "l2norm-projection-missing", "l2norm-factor-missing",
        "dq-of-state-before", "dq-of-previous-state", "dk-misses-write", "dk-misses-correction",
        "dk-of-undecayed-state", "dq-sign", "dv-misses-beta", "dbeta-without-correction", "dbeta-of-delta",
        "dbeta-misses-value", "dg-of-undecayed-state", "dg-misses-correction", "dg-of-state-after",
        "dg-one-token-late", "dg-one-token-early", "state-not-decayed", "state-decay-off-by-one",
        "state-not-corrected", "state-corrected-without-beta", "misses-own-output", "final-state-ignored",
        "across-boundary", "initial-state-ignored", "initial-state-not-decayed", "initial-state-transposed",
        "states-in-bf16",
    ]
    static let chunkPlants = [
        "dg-not-summed", "dg-summed-forwards", "state-lost-between-chunks", "system-missing", "system-sign",
        "system-not-decayed", "system-without-beta", "dq-inside-missing", "dq-inside-not-decayed",
        "dq-misses-diagonal", "dk-inside-missing", "dk-inside-not-decayed", "dk-misses-diagonal",
        "products-in-bf16",
    ]

    func planted(_ name: String) -> Bool { mistake == name }
    func narrow(_ x: Float) -> Float { isNarrow || planted("products-in-bf16") ? DeltaKernel.bf16(x) : x }

    /// One sequence of one head.
    struct Run {
        var (q, k, v, pull) = ([[Float]](), [[Float]](), [[Float]](), [[Float]]())
        var (g, b) = ([Float](), [Float]())
        /// Values by keys.
        var (entering, adjoint) = ([[Float]](), [[Float]]())
        var scale: Float = 1
    }

    /// What comes back of it.
    struct Back {
        var (q, k, v) = ([[Float]](), [[Float]](), [[Float]]())
        var (g, b) = ([Float](), [Float]())

        init(_ run: Run) {
            (q, k, v) = (
                run.q.map { $0.map { _ in 0 } }, run.k.map { $0.map { _ in 0 } }, run.v.map { $0.map { _ in 0 } }
            )
            (g, b) = (run.g.map { _ in 0 }, run.g.map { _ in 0 })
        }
    }

    func callAsFunction(_ source: TensorTable, _ options: [String: String]) throws -> [String: Tensor<Double>] {
        func read(_ name: String) throws -> Tensor<Float> { try source.tensor(name) }
        func optional(_ name: String) throws -> Tensor<Float>? { source.contains(name) ? try read(name) : nil }
        var (q, k) = try (read("q"), read("k"))
        let (v, g, b) = try (read("v"), read("g"), read("beta"))
        if planted("q-and-k-swapped") { (q, k) = (k, q) }
        let (initial, pull, last) = try (optional("initial_state"), optional("dout"), optional("dfinal_state"))
        let (batch, length, shared, keys) = (q.shape[0], q.shape[1], q.shape[2], q.shape[3])
        let (heads, values, group) = (v.shape[2], v.shape[3], v.shape[2] / q.shape[2])
        var parts = (0..<batch).map { $0 * length..<($0 + 1) * length }
        if source.contains("cu_seqlens") {
            let starts = try source.integers("cu_seqlens").elements
            parts = zip(starts, starts.dropFirst()).map { $0..<$1 }
        }
        let scale = options["scale"].flatMap { Float($0) } ?? 1 / Float(keys).squareRoot()
        let norms = options["use_qk_l2norm_in_kernel"] == "true" && !planted("l2norm-ignored")
        var (dq, dk) = ([Float](repeating: 0, count: q.count), [Float](repeating: 0, count: k.count))
        var (dv, dg, db) = (v.map { _ in Double(0) }, g.map { _ in Double(0) }, b.map { _ in Double(0) })
        var ends = Tensor(repeating: 0.0, shape: [parts.count, heads, keys, values])
        for h in 0..<heads {
            let own = planted("heads-tiled") ? h % shared : h / group
            var leaked: [[Float]]?
            for (s, part) in parts.enumerated().reversed() {
                var run = Run()
                run.scale = scale
                for t in part {
                    let at = (t * shared + own) * keys
                    run.q.append(unit(Array(q.elements[at..<at + keys]), norms).map { $0 * scale })
                    run.k.append(unit(Array(k.elements[at..<at + keys]), norms))
                    let row = (t * heads + h) * values..<(t * heads + h + 1) * values
                    run.v.append(Array(v.elements[row]))
                    run.pull.append(pull.map { Array($0.elements[row]) } ?? [Float](repeating: 0, count: values))
                    run.g.append(gate(g.elements, t, h, heads, part))
                    run.b.append(step(b.elements[t * heads + h]))
                }
                let at = (s * heads + h) * keys * values
                func state(_ tensor: Tensor<Float>?) -> [[Float]] {
                    (0..<values).map { j in (0..<keys).map { i in tensor?.elements[at + i * values + j] ?? 0 } }
                }
                run.entering = state(planted("initial-state-ignored") ? nil : initial)
                run.adjoint = state(planted("final-state-ignored") ? nil : last)
                if planted("across-boundary"), let leaked {
                    for j in 0..<values { for i in 0..<keys { run.adjoint[j][i] += leaked[j][i] } }
                }
                let back = chunk.map { chunked(&run, $0) } ?? stepwise(&run)
                leaked = run.adjoint
                for (i, t) in part.enumerated() {
                    for j in 0..<values { dv.elements[(t * heads + h) * values + j] = Double(back.v[i][j]) }
                    dg.elements[t * heads + h] = Double(back.g[i])
                    db.elements[t * heads + h] = Double(back.b[i])
                    let rank = planted("heads-tiled") ? h / shared : h % group
                    if planted("of-first-head-only"), rank > 0 { continue }
                    if planted("of-last-head-only"), rank < group - 1 { continue }
                    let share: Float = planted("of-heads-averaged") ? 1 / Float(group) : 1
                    var times = planted("scale-missing-in-dq") ? 1 : scale
                    if planted("scale-twice-in-dq") { times *= scale }
                    for m in 0..<keys {
                        let place = (t * shared + own) * keys + m
                        dq[place] += share * times * back.q[i][m]
                        dk[place] += share * (planted("scale-on-dk") ? scale : 1) * back.k[i][m]
                    }
                }
                for j in 0..<values {
                    for i in 0..<keys {
                        let place = planted("initial-state-transposed") ? j * keys + i : i * values + j
                        ends.elements[at + place] = Double(run.adjoint[j][i])
                    }
                }
            }
        }
        if norms {
            normBack(&dq, q.elements, keys, skips: ["l2norm-derivative-missing", "l2norm-derivative-of-q-missing"])
            normBack(&dk, k.elements, keys, skips: ["l2norm-derivative-missing", "l2norm-derivative-of-k-missing"])
        }
        if planted("dq-sign") { dq = dq.map { -$0 } }
        if planted("dq-and-dk-swapped") || planted("q-and-k-swapped") { (dq, dk) = (dk, dq) }
        var results = ["grad_v": dv, "grad_g": dg, "grad_beta": db]
        results["grad_q"] = Tensor(shape: q.shape, unchecked: dq.map(Double.init))
        results["grad_k"] = Tensor(shape: k.shape, unchecked: dk.map(Double.init))
        if initial != nil { results["grad_initial_state"] = ends }
        return results
    }

    private func unit(_ row: [Float], _ norms: Bool) -> [Float] {
        guard norms else { return row }
        let factor = 1 / (row.reduce(0) { $0 + $1 * $1 } + 1e-6).squareRoot()
        return row.map { isNarrow ? DeltaKernel.bf16($0 * factor) : $0 * factor }
    }

    private func normBack(_ gradient: inout [Float], _ raw: [Float], _ width: Int, skips: [String]) {
        guard !skips.contains(mistake) else { return }
        for first in stride(from: 0, to: raw.count, by: width) {
            var (squares, along): (Float, Float) = (1e-6, 0)
            for i in first..<first + width {
                squares += raw[i] * raw[i]
                along += raw[i] * gradient[i]
            }
            let norm = squares.squareRoot()
            for i in first..<first + width {
                if !planted("l2norm-projection-missing") { gradient[i] -= raw[i] * along / squares }
                if !planted("l2norm-factor-missing") { gradient[i] /= norm }
            }
        }
    }

    private func gate(_ g: [Float], _ t: Int, _ h: Int, _ heads: Int, _ part: Range<Int>) -> Float {
        let own = g[t * heads + h]
        switch mistake {
        case "decay-missing": return 0
        case "decay-twice": return 2 * own
        case "decay-base-two": return own * 0.6931472
        case "decay-one-token-late": return t == part.lowerBound ? 0 : g[(t - 1) * heads + h]
        default: return own
        }
    }

    private func step(_ b: Float) -> Float { planted("beta-missing") ? 1 : planted("beta-twice") ? b * b : b }
}
