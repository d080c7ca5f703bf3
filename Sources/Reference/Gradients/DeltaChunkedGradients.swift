//  The gated delta rule backwards, a chunk of Q tokens together, from the last.
//
//      S enters the chunk, R = ∂ℒ/∂S of the state that leaves it; ℓ_i = g_1 + … + g_i;  e_ij = e^(ℓ_i - ℓ_j)
//      A_ij = β_i e_ij (k_i · k_j), j < i       T = (I + A)^-1        r_i = v_i - e^ℓ_i Sᵀ k_i        δ = T diag(β) r
//      P_ij = e_ij (q_i · k_j), j <= i          o_i = e^ℓ_i Sᵀ q_i + Σ_j P_ij δ_j
//
//      1. ∂δ_j = Σ_{i>=j} P_ij ∂o_i + e^(ℓ_Q - ℓ_j) Rᵀ k_j
//      2. X    = Tᵀ ∂δ                                   the gradient of diag(β) r
//      3. ∂v_i = β_i X_i           ∂β_i = X_i · r_i + Σ_{j<i} ∂A_ij A_ij / β_i,          ∂A_ij = - X_i · δ_j
//      4. ∂q_i = e^ℓ_i S ∂o_i + Σ_{j<=i} ∂P_ij e_ij k_j,                                 ∂P_ij = ∂o_i · δ_j
//      5. ∂k_j = e^(ℓ_Q - ℓ_j) R δ_j - β_j e^ℓ_j S X_j + Σ_{i>=j} ∂P_ij e_ij q_i
//                + Σ_{i>j} ∂A_ij β_i e_ij k_i + Σ_{i<j} ∂A_ji β_j e_ji k_i
//      6. ∂g_t = Σ_{i>=t} a_i + Σ_{j<t} b_j + e^ℓ_Q ⟨R, S⟩ + Σ_{j<t<=i} (∂P_ij P_ij + ∂A_ij A_ij)
//           a_i = e^ℓ_i (q_i · S ∂o_i - β_i k_i · S X_i),        b_j = e^(ℓ_Q - ℓ_j) k_j · R δ_j
//      7. R   <- e^ℓ_Q R + Σ_i e^ℓ_i (q_i ∂o_iᵀ - β_i k_i X_iᵀ)
//
//  Step 6 adds what reaches across t and nothing else. Kernels often take row sums less column sums
//  of the pairs and add those up from the end of the chunk: the same number, and the diagonal,
//  which is in both, cancels.
//
//  Source: the equations of DeltaOperands.swift, differentiated; flash-linear-attention,
//  ops/gated_delta_rule/chunk.py, ops/common/chunk_o.py.

import DualityCore

extension DeltaHead {
    /// - Complexity: O(T K V + T Q (K + V + Q)) time; the state before each chunk is kept.
    func addChunkedGradients(
        _ tokens: Range<Int>, size: Int, state entering: [Scalar], pull: [Scalar], adjoint: inout [Scalar],
        to gradients: inout DeltaHeadGradients<Scalar>
    ) {
        let chunks = stride(from: tokens.lowerBound, to: tokens.upperBound, by: size).map {
            $0..<min($0 + size, tokens.upperBound)
        }
        var states = [entering]
        for chunk in chunks.dropLast() {
            var state = states[states.count - 1]
            _ = evaluate(.chunked(size: size), chunk, state: &state)
            states.append(state)
        }
        for (chunk, state) in zip(chunks, states).reversed() {
            let back = DeltaChunkBack(head: self, tokens: chunk, state: state, pull: pull, adjoint: adjoint)
            back.addInside(to: &gradients)
            back.addAcross(to: &gradients)
            adjoint = back.adjointBefore()
        }
    }
}

/// One chunk on its way back.
private struct DeltaChunkBack<Scalar: RealNumber> {
    let head: DeltaHead<Scalar>
    let tokens: Range<Int>
    /// S before the chunk and R behind it, `[K, V]`.
    let state: [Scalar]
    let adjoint: [Scalar]
    let decays: SegmentDecays<Scalar>
    /// ∂o, r, δ and X, `[Q, V]`.
    let pull: [Scalar]
    private(set) var residual: [Scalar]
    private(set) var delta: [Scalar]
    private(set) var solved: [Scalar]
    /// q_i · k_j and k_i · k_j, `[Q, Q]` below and on the diagonal.
    private let queryKeys: [Scalar]
    private let keyKeys: [Scalar]

    private var size: Int { tokens.count }
    private var keys: Int { head.keyDim }
    private var values: Int { head.valueDim }

    init(head: DeltaHead<Scalar>, tokens: Range<Int>, state: [Scalar], pull: [Scalar], adjoint: [Scalar]) {
        (self.head, self.tokens, self.state, self.adjoint) = (head, tokens, state, adjoint)
        decays = SegmentDecays(tokens.map { head.logDecay[$0] })
        let (size, keys, values, start) = (tokens.count, head.keyDim, head.valueDim, tokens.lowerBound)
        self.pull = Array(pull[start * values..<(start + size) * values])
        let inverse = head.inverse(tokens, decays)
        var overlaps = [Scalar](repeating: .zero, count: size * size)
        var ofKeys = overlaps
        for i in 0..<size {
            for j in 0...i {
                overlaps[i * size + j] = head.overlap(head.q, head.k, start + i, start + j)
                ofKeys[i * size + j] = head.overlap(head.k, head.k, start + i, start + j)
            }
        }
        (queryKeys, keyKeys) = (overlaps, ofKeys)
        residual = Array(head.v[start * values..<(start + size) * values])
        delta = [Scalar](repeating: .zero, count: size * values)
        solved = delta
        for i in 0..<size {
            for m in 0..<keys {
                let key = decays.fromStart[i] * head.k[(start + i) * keys + m]
                for c in 0..<values { residual[i * values + c] -= key * state[m * values + c] }
            }
            for s in 0...i {
                let factor = inverse[i * size + s] * head.beta[start + s]
                for c in 0..<values { delta[i * values + c] += factor * residual[s * values + c] }
            }
        }
        var ofDelta = delta.map { _ in Scalar.zero }  // 1
        for j in 0..<size {
            for i in j..<size {
                let weight = decays.between[i * size + j] * overlaps[i * size + j]
                for c in 0..<values { ofDelta[j * values + c] += weight * self.pull[i * values + c] }
            }
            for m in 0..<keys {
                let key = decays.between[(size - 1) * size + j] * head.k[(start + j) * keys + m]
                for c in 0..<values { ofDelta[j * values + c] += key * adjoint[m * values + c] }
            }
        }
        for i in 0..<size {  // 2
            for j in 0...i {
                for c in 0..<values { solved[j * values + c] += inverse[i * size + j] * ofDelta[i * values + c] }
            }
        }
    }

    private func product(_ a: [Scalar], _ i: Int, _ b: [Scalar], _ j: Int) -> Scalar {
        var sum = Scalar.zero
        for c in 0..<values { sum += a[i * values + c] * b[j * values + c] }
        return sum
    }

    /// What pairs of tokens of the chunk give: the sums over pairs of steps 3 to 6.
    func addInside(to gradients: inout DeltaHeadGradients<Scalar>) {
        let start = tokens.lowerBound
        // Each pair counts from j + 1 to i.
        var crossing = [Scalar](repeating: .zero, count: size + 1)
        for i in 0..<size {
            for j in 0...i {
                let (decay, beta) = (decays.between[i * size + j], head.beta[start + i])
                let ofP = decay * product(pull, i, delta, j)
                let ofA = j < i ? -decay * product(solved, i, delta, j) : 0
                for m in 0..<keys {
                    let (row, column) = ((start + i) * keys + m, (start + j) * keys + m)
                    gradients.q[row] += ofP * head.k[column]
                    gradients.k[column] += ofP * head.q[row] + ofA * beta * head.k[row]
                    gradients.k[row] += ofA * beta * head.k[column]
                }
                gradients.beta[start + i] += ofA * keyKeys[i * size + j]
                guard j < i else { continue }
                let weight = ofP * queryKeys[i * size + j] + ofA * beta * keyKeys[i * size + j]
                crossing[j + 1] += weight
                crossing[i + 1] -= weight
            }
        }
        var sum = Scalar.zero
        for t in 0..<size {
            sum += crossing[t]
            gradients.logDecay[start + t] += sum
        }
    }

    /// What comes through the states at both ends, and what is of one token alone.
    func addAcross(to gradients: inout DeltaHeadGradients<Scalar>) {
        let start = tokens.lowerBound
        var (reads, writes) = ([Scalar](), [Scalar]())
        for i in 0..<size {
            let (beta, fromStart) = (head.beta[start + i], decays.fromStart[i])
            let toEnd = decays.between[(size - 1) * size + i]
            var (read, written) = (Scalar.zero, Scalar.zero)
            for m in 0..<keys {
                var (ofQuery, ofKey, ofWrite) = (Scalar.zero, Scalar.zero, Scalar.zero)
                for c in 0..<values {
                    let place = m * values + c
                    ofQuery += state[place] * pull[i * values + c]
                    ofKey -= state[place] * solved[i * values + c]
                    ofWrite += adjoint[place] * delta[i * values + c]
                }
                let row = (start + i) * keys + m
                gradients.q[row] += fromStart * ofQuery  // 4
                gradients.k[row] += toEnd * ofWrite + beta * fromStart * ofKey  // 5
                read += fromStart * (head.q[row] * ofQuery + beta * head.k[row] * ofKey)
                written += toEnd * head.k[row] * ofWrite
            }
            reads.append(read)
            writes.append(written)
            for c in 0..<values {  // 3
                gradients.v[(start + i) * values + c] += beta * solved[i * values + c]
            }
            gradients.beta[start + i] += product(solved, i, residual, i)
        }
        var passing = Scalar.zero
        for (r, s) in zip(adjoint, state) { passing += r * s }
        passing *= decays.fromStart[size - 1]
        var behind = Scalar.zero
        for t in (0..<size).reversed() {  // 6
            behind += reads[t]
            gradients.logDecay[start + t] += behind + passing
        }
        var before = Scalar.zero
        for t in 0..<size {
            gradients.logDecay[start + t] += before
            before += writes[t]
        }
    }

    /// R before the chunk.
    func adjointBefore() -> [Scalar] {
        let start = tokens.lowerBound
        var result = adjoint.map { decays.fromStart[size - 1] * $0 }  // 7
        for i in 0..<size {
            for m in 0..<keys {
                let query = decays.fromStart[i] * head.q[(start + i) * keys + m]
                let key = decays.fromStart[i] * head.beta[start + i] * head.k[(start + i) * keys + m]
                for c in 0..<values {
                    result[m * values + c] += query * pull[i * values + c] - key * solved[i * values + c]
                }
            }
        }
        return result
    }
}
