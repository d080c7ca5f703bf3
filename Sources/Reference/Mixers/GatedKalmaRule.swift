//  The recurrence of Gated KalmaNet: ridge regression over everything read, forgotten at a learned
//  rate.
//
//      q̂ = q / (|q| + 1e-6)            k <- (β + 1e-6) k / (|k| + 1e-6)            v <- (β + 1e-6) v
//      G <- e^γ G + k kᵀ               M <- e^γ M + k vᵀ                           G, M [D, D]; G's decay can be off
//      x ≈ (G + λ I)^-1 q̂,  λ = ridge |G|_F                                        RidgeSolver.swift
//      o = s Mᵀ ( q̂ + α (x - q̂) )                                                 s = 1 / sqrt(D), or 1
//
//  A chunk of tokens needs no G of its own for each of them. With G_in before it, e_i and e_ij the
//  decays as in SegmentDecays:
//
//      G_i x    = e_i G_in x + sum over j <= i of  e_ij (k_j · x) k_j
//      |G_i|_F² = e_i² |G_in|_F² + 2 e_i sum over j of e_ij k_jᵀ G_in k_j + sum over j, l of e_ij e_il (k_j · k_l)²
//      M_iᵀ y   = e_i M_inᵀ y + sum over j <= i of  e_ij (k_j · y) v_j
//
//  | symbol  | shape     | meaning                                     |
//  |---------|-----------|---------------------------------------------|
//  | q, k, v | [L, H D]  | before their normalisation                  |
//  | α, β, γ | [L, H]    | mixing and input gates; log decay <= 0      |
//  | G, M    | [H, D, D] | Gram matrix of the keys; keys by values     |
//  | o       | [L, H D]  |                                             |
//
//  Source: awslabs/hybrid-model-factory, layers/gated_kalmanet/gka.py, ops/chebyshev.

import DualityCore

/// The operands of the recurrence, q, k and v normalised and gated.
struct GatedKalmaRule<Scalar: RealNumber> {
    let headDim: Int
    let q: Tensor<Scalar>
    let k: Tensor<Scalar>
    let v: Tensor<Scalar>
    /// α, `[L, H]`; nil for 1.
    let alpha: Tensor<Scalar>?
    /// γ of M, `[L, H]`; nil for no decay.
    let logDecay: Tensor<Scalar>?
    let decaysGram: Bool
    let ridge: Scalar
    let solver: RidgeSolver
    let rescales: Bool

    private var length: Int { q.shape[0] }
    private var heads: Int { q.shape[1] / headDim }

    /// - Parameter beta: β, `[L, H]`; nil leaves keys and values at their size.
    init(
        q: Tensor<Scalar>, k: Tensor<Scalar>, v: Tensor<Scalar>, alpha: Tensor<Scalar>?, beta: Tensor<Scalar>?,
        logDecay: Tensor<Scalar>?, decaysGram: Bool = true, ridge: Double, solver: RidgeSolver, rescales: Bool = true,
        headDim: Int
    ) {
        self.headDim = headDim
        self.q = Self.normalized(q, headDim)
        self.k = Self.gated(Self.normalized(k, headDim), beta, headDim)
        self.v = Self.gated(v, beta, headDim)
        self.alpha = alpha
        self.logDecay = logDecay
        self.decaysGram = decaysGram
        self.ridge = Scalar(ridge)
        self.solver = solver
        self.rescales = rescales
    }

    /// The same operands in another number format.
    func converted<Other: RealNumber>(to type: Other.Type) -> GatedKalmaRule<Other> {
        GatedKalmaRule<Other>(
            gated: (q.converted(), k.converted(), v.converted()), alpha: alpha?.converted(),
            logDecay: logDecay?.converted(), decaysGram: decaysGram, ridge: Other(ridge.double), solver: solver,
            rescales: rescales, headDim: headDim)
    }

    private init(
        gated: (q: Tensor<Scalar>, k: Tensor<Scalar>, v: Tensor<Scalar>), alpha: Tensor<Scalar>?,
        logDecay: Tensor<Scalar>?, decaysGram: Bool, ridge: Scalar, solver: RidgeSolver, rescales: Bool, headDim: Int
    ) {
        self.headDim = headDim
        (q, k, v) = gated
        self.alpha = alpha
        self.logDecay = logDecay
        self.decaysGram = decaysGram
        self.ridge = ridge
        self.solver = solver
        self.rescales = rescales
    }

    private static func normalized(_ u: Tensor<Scalar>, _ width: Int) -> Tensor<Scalar> {
        var y = u
        withRows(of: &y) { y in
            for head in stride(from: 0, to: u.count, by: width) {
                let row = y + head
                scale(row, by: 1 / (Scalar.sqrt(dot(row, row, width)) + 1e-6), width)
            }
        }
        return y
    }

    private static func gated(_ u: Tensor<Scalar>, _ beta: Tensor<Scalar>?, _ width: Int) -> Tensor<Scalar> {
        guard let beta else { return u }
        var y = u
        for i in y.elements.indices { y.elements[i] *= beta.elements[i / width] + 1e-6 }
        return y
    }

    /// - Parameters:
    ///   - gram: G before the tokens, `[H, D, D]`; after them on return. Untouched where nothing is
    ///     solved.
    ///   - memory: M, likewise.
    /// - Returns: o, `[L, H D]`.
    /// - Complexity: O(L H K D²) for K iterations, and O(L H K Q D) more in chunks of Q.
    func evaluate(
        _ form: RecurrenceForm, gram: inout Tensor<Scalar>, memory: inout Tensor<Scalar>
    ) -> Tensor<Scalar> {
        var out = Tensor<Scalar>(repeating: 0, shape: [length, heads * headDim])
        let size: Int
        switch form {
        case .recurrent: size = 1
        case .chunked(let chunk): size = chunk
        }
        withRows(of: &gram) { gram in
            withRows(of: &memory) { memory in
                withRows(of: &out) { out in
                    for head in 0..<heads {
                        let (gram, memory) = (gram + head * headDim * headDim, memory + head * headDim * headDim)
                        for first in stride(from: 0, to: length, by: size) {
                            let tokens = first..<min(first + size, length)
                            if form == .recurrent {
                                step(first, head, gram, memory, into: out)
                            } else {
                                chunk(tokens, head, gram, memory, into: out)
                            }
                        }
                    }
                }
            }
        }
        return out
    }

    /// `q̂ + α (x - q̂)`, where x is what the solver makes of q̂.
    private func mixed(
        _ gate: Int, norm: Scalar, multiply: (UnsafePointer<Scalar>, UnsafeMutablePointer<Scalar>) -> Void
    ) -> [Scalar] {
        let query = Array(q.elements[gate * headDim..<(gate + 1) * headDim])
        guard solver.usesGram else { return query }
        let x = solver.solve(query, norm: norm, ridge: ridge, multiply: multiply)
        guard let alpha else { return x }
        let weight = alpha.elements[gate]
        return zip(query, x).map { $0 + weight * ($1 - $0) }
    }

    private var outputScale: Scalar { rescales ? 1 / Scalar.sqrt(Scalar(headDim)) : 1 }

    /// One token, by the definition.
    private func step(
        _ t: Int, _ head: Int, _ gram: UnsafeMutablePointer<Scalar>, _ memory: UnsafeMutablePointer<Scalar>,
        into out: UnsafeMutablePointer<Scalar>
    ) {
        let (gate, width, square) = (t * heads + head, headDim, headDim * headDim)
        let decay = logDecay.map { Scalar.exp($0.elements[gate]) } ?? 1
        withRows(k, v) { k, v in
            let row = gate * width
            scale(memory, by: decay, square)
            addOuterProduct(1, k + row, v + row, to: memory, rows: width, columns: width)
            if solver.usesGram {
                if decaysGram { scale(gram, by: decay, square) }
                addOuterProduct(1, k + row, k + row, to: gram, rows: width, columns: width)
            }
            let norm = Scalar.sqrt(dot(gram, gram, square))
            let query = mixed(gate, norm: norm) { x, product in
                for i in 0..<width { product[i] = dot(gram + i * width, x, width) }
            }
            query.withUnsafeBufferPointer { query in
                guard let query = query.baseAddress else { return }
                multiplyTransposed(memory, query, into: out + row, rows: width, columns: width)
            }
            scale(out + row, by: outputScale, width)
        }
    }

    /// Several tokens from the state before them.
    private func chunk(
        _ tokens: Range<Int>, _ head: Int, _ gram: UnsafeMutablePointer<Scalar>,
        _ memory: UnsafeMutablePointer<Scalar>, into out: UnsafeMutablePointer<Scalar>
    ) {
        let (size, width, square) = (tokens.count, headDim, headDim * headDim)
        let gates = tokens.map { $0 * heads + head }
        let still = [Scalar](repeating: 0, count: size)
        let logDecays = logDecay.map { decays in gates.map { decays.elements[$0] } } ?? still
        let decays = SegmentDecays(logDecays)
        let gramDecays = decaysGram ? decays : SegmentDecays(still)
        withRows(k, v) { k, v in
            let key = { (j: Int) in k + gates[j] * width }
            let overlaps = (0..<size * size).map { dot(key($0 / size), key($0 % size), width) }
            let entering = dot(gram, gram, square)
            let energies = (0..<size).map { j in
                (0..<width).reduce(Scalar.zero) { $0 + key(j)[$1] * dot(gram + $1 * width, key(j), width) }
            }
            for i in 0..<size {
                let (start, between) = (gramDecays.fromStart[i], { (j: Int) in gramDecays.between[i * size + j] })
                var squared = start * start * entering
                for j in 0...i {
                    squared += 2 * start * between(j) * energies[j]
                    for l in 0...i {
                        let overlap = overlaps[j * size + l]
                        squared += between(j) * between(l) * overlap * overlap
                    }
                }
                let query = mixed(gates[i], norm: Scalar.sqrt(squared)) { x, product in
                    for m in 0..<width { product[m] = start * dot(gram + m * width, x, width) }
                    for j in 0...i { addScaled(between(j) * dot(key(j), x, width), key(j), to: product, width) }
                }
                let row = out + gates[i] * width
                query.withUnsafeBufferPointer { query in
                    guard let query = query.baseAddress else { return }
                    multiplyTransposed(memory, query, into: row, rows: width, columns: width)
                    scale(row, by: decays.fromStart[i], width)
                    for j in 0...i {
                        let weight = decays.between[i * size + j] * dot(key(j), query, width)
                        addScaled(weight, v + gates[j] * width, to: row, width)
                    }
                }
                scale(row, by: outputScale, width)
            }
            let last = (size - 1) * size
            scale(memory, by: decays.fromStart[size - 1], square)
            for j in 0..<size {
                addOuterProduct(
                    decays.between[last + j], key(j), v + gates[j] * width, to: memory, rows: width, columns: width)
            }
            guard solver.usesGram else { return }
            scale(gram, by: gramDecays.fromStart[size - 1], square)
            for j in 0..<size {
                addOuterProduct(gramDecays.between[last + j], key(j), key(j), to: gram, rows: width, columns: width)
            }
        }
    }
}
