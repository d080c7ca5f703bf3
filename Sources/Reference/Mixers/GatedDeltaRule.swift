//  The gated delta rule: a key's old value is replaced by its new one, and everything fades.
//
//      q̂ = q / sqrt(|q|² + 1e-6) / sqrt(D)          k̂ = k / sqrt(|k|² + 1e-6)
//      S <- e^γ S                                    S [D, D], keys by values
//      δ = β (v - Sᵀ k̂)                              what the state does not yet answer to k̂
//      S <- S + k̂ δᵀ,      o = Sᵀ q̂
//
//  that is, S_t = e^γ (I - β k̂ k̂ᵀ) S_{t-1} + β k̂ vᵀ. A chunk of tokens is computed from the
//  state S_in before it by one triangular solve: with e_ij = e^(γ_{j+1} + … + γ_i) and e_i = e^(γ_1
//  + … + γ_i),
//
//      δ_i = β_i ( v_i - e_i S_inᵀ k̂_i - sum over j < i of  e_ij (k̂_i · k̂_j) δ_j )
//      o_i = e_i S_inᵀ q̂_i + sum over j <= i of  e_ij (q̂_i · k̂_j) δ_j
//      S_out = e_Q S_in + sum over j of  e_Qj k̂_j δ_jᵀ
//
//  | symbol  | shape     | meaning                                     |
//  |---------|-----------|---------------------------------------------|
//  | q, k, v | [L, H D]  | before their normalisation                  |
//  | β, γ    | [L, H]    | step in [0, 1] (or [0, 2]); log decay <= 0  |
//  | S       | [H, D, D] |                                             |
//  | o       | [L, H D]  |                                             |
//
//  Source: Yang, Kautz, Hatamizadeh (arXiv 2412.06464); flash-linear-attention,
//  ops/gated_delta_rule.

import DualityCore

/// The operands of the gated delta rule, q and k normalised.
struct GatedDeltaRule<Scalar: RealNumber> {
    let headDim: Int
    let q: Tensor<Scalar>
    let k: Tensor<Scalar>
    let v: Tensor<Scalar>
    let beta: Tensor<Scalar>
    let logDecay: Tensor<Scalar>

    private var length: Int { q.shape[0] }
    private var heads: Int { beta.shape[1] }

    init(
        q: Tensor<Scalar>, k: Tensor<Scalar>, v: Tensor<Scalar>, beta: Tensor<Scalar>, logDecay: Tensor<Scalar>,
        headDim: Int
    ) {
        self.headDim = headDim
        self.q = Self.normalized(q, headDim, scale: 1 / Scalar.sqrt(Scalar(headDim)))
        self.k = Self.normalized(k, headDim, scale: 1)
        self.v = v
        self.beta = beta
        self.logDecay = logDecay
    }

    private static func normalized(_ u: Tensor<Scalar>, _ width: Int, scale factor: Scalar) -> Tensor<Scalar> {
        var y = u
        withRows(of: &y) { y in
            for head in stride(from: 0, to: u.count, by: width) {
                let row = y + head
                scale(row, by: factor / Scalar.sqrt(dot(row, row, width) + 1e-6), width)
            }
        }
        return y
    }

    /// - Parameter state: S before the tokens, `[H, D, D]`; S after them on return.
    /// - Returns: o, `[L, H D]`.
    /// - Complexity: O(L H D²), and O(L Q H D) more in chunks of Q.
    func evaluate(_ form: RecurrenceForm, state: inout Tensor<Scalar>) -> Tensor<Scalar> {
        var out = Tensor<Scalar>(repeating: 0, shape: [length, heads * headDim])
        withRows(of: &state) { state in
            withRows(of: &out) { out in
                for head in 0..<heads {
                    let state = state + head * headDim * headDim
                    switch form {
                    case .recurrent: recurrent(head, state, out)
                    case .chunked(let size):
                        for first in stride(from: 0, to: length, by: size) {
                            chunk(first..<min(first + size, length), head, state, out)
                        }
                    }
                }
            }
        }
        return out
    }

    /// Π ← e^γ (I - β k̂ k̂ᵀ) Π for every token: the recurrence itself, on Π and without values.
    ///
    /// - Parameter transition: `[H, D, D]`.
    func advance(_ transition: inout Tensor<Scalar>) {
        let silence = Tensor<Scalar>(repeating: 0, shape: v.shape)
        let silent = GatedDeltaRule(normalizedQ: q, k: k, v: silence, beta: beta, logDecay: logDecay, headDim: headDim)
        _ = silent.evaluate(.recurrent, state: &transition)
    }

    /// The same operands in another number format.
    func converted<Other: RealNumber>(to type: Other.Type) -> GatedDeltaRule<Other> {
        GatedDeltaRule<Other>(
            normalizedQ: q.converted(), k: k.converted(), v: v.converted(), beta: beta.converted(),
            logDecay: logDecay.converted(), headDim: headDim)
    }

    private init(
        normalizedQ q: Tensor<Scalar>, k: Tensor<Scalar>, v: Tensor<Scalar>, beta: Tensor<Scalar>,
        logDecay: Tensor<Scalar>, headDim: Int
    ) {
        self.headDim = headDim
        self.q = q
        self.k = k
        self.v = v
        self.beta = beta
        self.logDecay = logDecay
    }

    private func recurrent(_ head: Int, _ state: UnsafeMutablePointer<Scalar>, _ out: UnsafeMutablePointer<Scalar>) {
        var delta = Tensor<Scalar>(repeating: 0, shape: [headDim])
        withRows(q, k) { q, k in
            withRows(of: v) { v in
                withRows(of: &delta) { delta in
                    for t in 0..<length {
                        let (row, gate) = ((t * heads + head) * headDim, t * heads + head)
                        scale(state, by: Scalar.exp(logDecay.elements[gate]), headDim * headDim)
                        multiplyTransposed(state, k + row, into: delta, rows: headDim, columns: headDim)
                        for j in 0..<headDim { delta[j] = beta.elements[gate] * (v[row + j] - delta[j]) }
                        addOuterProduct(1, k + row, delta, to: state, rows: headDim, columns: headDim)
                        multiplyTransposed(state, q + row, into: out + row, rows: headDim, columns: headDim)
                    }
                }
            }
        }
    }

    private func chunk(
        _ tokens: Range<Int>, _ head: Int, _ state: UnsafeMutablePointer<Scalar>, _ out: UnsafeMutablePointer<Scalar>
    ) {
        let size = tokens.count
        let gates = tokens.map { $0 * heads + head }
        let decays = SegmentDecays(gates.map { logDecay.elements[$0] })
        var deltas = Tensor<Scalar>(repeating: 0, shape: [size, headDim])
        withRows(q, k) { q, k in
            withRows(of: v) { v in
                withRows(of: &deltas) { deltas in
                    for i in 0..<size {
                        let (row, delta) = (gates[i] * headDim, deltas + i * headDim)
                        multiplyTransposed(state, k + row, into: delta, rows: headDim, columns: headDim)
                        for j in 0..<headDim { delta[j] = v[row + j] - decays.fromStart[i] * delta[j] }
                        for j in 0..<i {
                            let overlap = dot(k + row, k + gates[j] * headDim, headDim)
                            addScaled(-decays.between[i * size + j] * overlap, deltas + j * headDim, to: delta, headDim)
                        }
                        scale(delta, by: beta.elements[gates[i]], headDim)
                    }
                    for i in 0..<size {
                        let row = gates[i] * headDim
                        multiplyTransposed(state, q + row, into: out + row, rows: headDim, columns: headDim)
                        scale(out + row, by: decays.fromStart[i], headDim)
                        for j in 0...i {
                            let overlap = dot(q + row, k + gates[j] * headDim, headDim)
                            addScaled(
                                decays.between[i * size + j] * overlap, deltas + j * headDim, to: out + row, headDim)
                        }
                    }
                    scale(state, by: decays.fromStart[size - 1], headDim * headDim)
                    for j in 0..<size {
                        addOuterProduct(
                            decays.between[(size - 1) * size + j], k + gates[j] * headDim, deltas + j * headDim,
                            to: state, rows: headDim, columns: headDim)
                    }
                }
            }
        }
    }
}
