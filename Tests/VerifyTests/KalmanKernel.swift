import DualityCore
import DualityReference

@testable import DualityVerify

/// A kernel of Gated KalmaNet in Float, right or with one planted fault. It shares nothing with the
/// reference or the diagnosis: of the Gram matrix the lower half is kept, of the memory a row for
/// every value, and the solver knows the ends of the spectrum.
struct KalmanKernel: Sendable {
    /// How the solver goes on.
    enum Solver: CaseIterable, Sendable {
        /// Three terms, the residual anew in every step.
        case threeTerms
        /// A direction that is added to x, and the residual carried along.
        case directions
    }

    /// Tokens in a chunk; nil for token by token.
    var chunk: Int?
    var solver = Solver.threeTerms
    /// What is bfloat16 besides operands and outputs.
    enum Narrow: Sendable { case nothing, operands, everything }
    var narrowness = Narrow.nothing
    /// What is wrong, by the name that the diagnosis should find.
    var plant = ""

    func has(_ name: String) -> Bool { plant == "kalman-" + name }
    func has(any names: String...) -> Bool { names.contains { plant == "kalman-" + $0 } }

    static func short(_ x: Float, bits: UInt32) -> Float {
        let raw = x.bitPattern
        guard raw & 0x7f80_0000 != 0x7f80_0000 else { return x }
        let half: UInt32 = 1 << (bits - 1)
        return Float(bitPattern: (raw &+ half &- 1 &+ (raw >> bits & 1)) & ~((1 << bits) - 1))
    }

    static func bf16(_ x: Float) -> Float { short(x, bits: 16) }
    /// Of what a solver in bfloat16 has, and of what keys, values and queries become.
    func narrow(_ x: Float) -> Float { narrowness == .everything ? Self.bf16(x) : x }
    func operand(_ x: Float) -> Float { narrowness == .nothing ? x : Self.bf16(x) }

    /// The vectors of one head and sequence, and its options.
    struct Head {
        var (q, k, v) = ([[Float]](), [[Float]](), [[Float]]())
        var (fade, alpha) = ([Float](), [Float]())
        /// The logarithms, for chunks.
        var logs = [Float]()
        var (ridge, scale) = (Float(0), Float(1))
        var steps = 0
        var solves = true
        var decaysGram = true
    }

    /// Both states: rows of the lower half, and a row of keys for every value.
    struct State {
        var gram: [[Float]]
        var memory: [[Float]]

        init(keys: Int, values: Int) {
            gram = (0..<keys).map { [Float](repeating: 0, count: $0 + 1) }
            memory = [[Float]](repeating: [Float](repeating: 0, count: keys), count: values)
        }
    }

    /// The operands of a call.
    struct Call {
        let q, k, v: Tensor<Float>
        let g, alpha, beta, gram, memory: Tensor<Float>?
        var parts: [Range<Int>]
        let options: [String: String]

        init(_ source: TensorTable, _ options: [String: String]) throws {
            func read(_ name: String) throws -> Tensor<Float>? {
                source.contains(name) ? try source.tensor(name) : nil
            }
            (q, k, v) = try (source.tensor("q"), source.tensor("k"), source.tensor("v"))
            (g, alpha, beta) = try (read("g"), read("alpha"), read("beta"))
            (gram, memory) = try (read("initial_gram"), read("initial_memory"))
            parts = (0..<q.shape[0]).map { [length = q.shape[1]] in $0 * length..<($0 + 1) * length }
            if source.contains("cu_seqlens") {
                let starts = try source.integers("cu_seqlens").elements
                parts = zip(starts, starts.dropFirst()).map { $0..<$1 }
            }
            self.options = options
        }
    }

    func callAsFunction(
        _ source: TensorTable, _ options: [String: String]
    ) throws -> [String: Tensor<Double>] {
        let call = try Call(source, options)
        let (heads, keys, values) = (call.q.shape[2], call.q.shape[3], call.v.shape[3])
        var o = Tensor(repeating: 0.0, shape: call.q.shape.dropLast() + [values])
        var grams = Tensor(repeating: 0.0, shape: [call.parts.count, heads, keys, keys])
        var memories = Tensor(repeating: 0.0, shape: [call.parts.count, heads, keys, values])
        for h in 0..<heads {
            var last = State(keys: keys, values: values)
            for (s, part) in call.parts.enumerated() {
                let head = head(call, part, h)
                var state = entering(call, has("initial-states-of-first-sequence") ? 0 : s, h)
                if s > 0, has("across-boundary") { state = last }
                var before = state
                let rows = chunk.map { chunked(head, &state, $0) } ?? stepwise(head, &state, &before)
                last = state
                if has("final-states-miss-last-token") { state = before }
                for (i, t) in part.enumerated() {
                    for j in 0..<values { o.elements[(t * heads + h) * values + j] = Double(rows[i][j]) }
                }
                if has("final-states-not-written") { continue }
                for i in 0..<keys {
                    for j in 0..<keys {
                        let g = state.gram[max(i, j)][min(i, j)]
                        grams.elements[((s * heads + h) * keys + i) * keys + j] = Double(g)
                    }
                    for j in 0..<values {
                        let m = has("final-memory-transposed") ? state.memory[i][j] : state.memory[j][i]
                        memories.elements[((s * heads + h) * keys + i) * values + j] = Double(m)
                    }
                }
                if has("final-states-swapped") {
                    let size = keys * keys
                    for i in (s * heads + h) * size..<(s * heads + h + 1) * size {
                        (grams.elements[i], memories.elements[i]) = (memories.elements[i], grams.elements[i])
                    }
                }
            }
        }
        var outputs = ["o": o, "final_memory": memories]
        if options["num_iter"] != "0" { outputs["final_gram"] = grams }
        return outputs
    }

    private func entering(_ call: Call, _ s: Int, _ h: Int) -> State {
        let (heads, keys, values) = (call.q.shape[2], call.q.shape[3], call.v.shape[3])
        var state = State(keys: keys, values: values)
        if let gram = call.gram, !has(any: "initial-states-ignored", "initial-gram-ignored") {
            for i in 0..<keys {
                for j in 0...i { state.gram[i][j] = gram.elements[((s * heads + h) * keys + i) * keys + j] }
            }
        }
        if let memory = call.memory, !has(any: "initial-states-ignored", "initial-memory-ignored") {
            for i in 0..<keys {
                for j in 0..<values {
                    let place = has("initial-memory-transposed") ? j * keys + i : i * values + j
                    state.memory[j][i] = memory.elements[(s * heads + h) * keys * values + place]
                }
            }
        }
        return state
    }

    /// The operands of the tokens of a sequence.
    private func head(_ call: Call, _ part: Range<Int>, _ h: Int) -> Head {
        let (heads, keys) = (call.q.shape[2], call.q.shape[3])
        var head = Head()
        head.steps = call.options["num_iter"].flatMap { Int($0) } ?? 30
        head.solves = head.steps > 0
        if head.solves, has("iteration-missing") { head.steps -= 1 }
        if head.solves, has("iteration-more") { head.steps += 1 }
        head.ridge = call.options["ridge_strength"].flatMap { Float($0) } ?? 0.02
        head.decaysGram = call.options["use_forgetting_gate_kk"] != "false"
        if has("decay-of-gram-missing") { head.decaysGram = false }
        if has("decay-of-gram-not-wanted") { head.decaysGram = true }
        let scale = call.options["scale"].flatMap { Float($0) } ?? 1 / Float(keys).squareRoot()
        head.scale = has("scale-missing") ? 1 : has("scale-twice") ? scale * scale : scale
        for t in part {
            let first = t == part.lowerBound
            func row(_ tensor: Tensor<Float>) -> [Float] {
                let (own, width) = (tensor.shape[2], tensor.shape[3])
                let from = has("heads-tiled") ? h % own : h * own / heads
                return Array(tensor.elements[(t * own + from) * width..<(t * own + from + 1) * width])
            }
            func gate(_ gates: Tensor<Float>?, late: Bool) -> Float? {
                guard let gates else { return nil }
                return late ? first ? 0 : gates.elements[(t - 1) * heads + h] : gates.elements[t * heads + h]
            }
            var (query, key, value) = (row(call.q), row(call.k), row(call.v))
            if has("q-and-k-swapped") { (query, key) = (key, query) }
            if call.options["use_qk_l2norm_in_kernel"] != "false" || has("l2norm-not-wanted") {
                if !has(any: "l2norm-missing", "l2norm-of-q-missing") { unit(&query) }
                if !has(any: "l2norm-missing", "l2norm-of-k-missing") { unit(&key) }
            }
            if let beta = gate(call.beta, late: has("beta-one-token-late")) { weigh(&key, &value, beta) }
            head.q.append(query)
            head.k.append(key)
            head.v.append(value)
            let alpha = gate(call.alpha, late: has("alpha-one-token-late")) ?? 1
            head.alpha.append(
                has("alpha-missing") ? 1 : has("alpha-sigmoid-twice") ? 1 / (1 + Float.exp(-alpha)) : alpha)
            var log = gate(call.g, late: has("decay-one-token-late")) ?? 0
            if has("decay-missing") { log = 0 }
            if has("decay-twice") { log *= 2 }
            if has("decay-base-two") { log *= 0.6931472 }
            if has("gates-in-bf16") { log = Self.bf16(log) }
            head.logs.append(log)
            head.fade.append(Float.exp(log))
        }
        return head
    }

    private func unit(_ row: inout [Float]) {
        var sum: Float = 0
        for x in row { sum += x * x }
        let length =
            has("l2norm-epsilon-inside")
            ? (sum + 1e-6).squareRoot()
            : (has("l2norm-by-the-mean") ? sum / Float(row.count) : sum).squareRoot() + 1e-6
        for i in row.indices { row[i] = operand(row[i] / operand(length)) }
    }

    private func weigh(_ key: inout [Float], _ value: inout [Float], _ beta: Float) {
        var gate = beta + (has("beta-epsilon-missing") ? 0 : 1e-6)
        if has("beta-missing") { gate = 1 }
        if has("beta-twice") { gate *= beta }
        if has("beta-sigmoid-twice") { gate = 1 / (1 + Float.exp(-beta)) }
        if has("beta-once-in-products") { gate = gate.squareRoot() }
        gate = operand(gate)
        if !has("beta-on-values-alone") { for i in key.indices { key[i] = operand(key[i] * gate) } }
        if !has("beta-on-keys-alone") { for i in value.indices { value[i] = operand(value[i] * gate) } }
    }
}
