//  A chunk of the gated delta rule backwards, imitated. fl marks what is rounded to the format of
//  DeltaArithmetic.swift: products (p), values (v), the inverse (T), states between chunks (c).
//
//      δ = fl_v(U - fl_p(W) fl_c(S)),  U = fl_v(T fl_p(βV)),  W = fl_v(T fl_p(β e^ℓ K))
//      ∂δ = fl_v(fl_p(P)ᵀ fl_p(∂o) + e^(ℓ_Q - ℓ) fl_p(K) fl_c(R))            ∂U = ∂δ,   ∂W = -fl_v(fl_p(∂δ) fl_c(S)ᵀ)
//      X = fl_p(T)ᵀ fl_p(∂U)                   Z = fl_p(T)ᵀ fl_p(∂W)
//      ∂T = fl_p(∂U) fl_p(βV)ᵀ + fl_p(∂W) fl_p(β e^ℓ K)ᵀ                    ∂A = -Tᵀ fl_p(∂T) Tᵀ below the diagonal
//      ∂v = β X        ∂β_i = X_i · v_i + e^ℓ_i Z_i · k_i + Σ_j ∂A_ij e_ij k_i · k_j
//      ∂k_i = β_i e^ℓ_i Z_i + e^(ℓ_Q - ℓ_i) R δ_i + what pairs give,        ∂q_i = e^ℓ_i S ∂o_i + what pairs give
//      ∂ℓ_i = q_i · e^ℓ_i S ∂o_i + β_i e^ℓ_i k_i · Z_i - e^(ℓ_Q - ℓ_i) k_i · R δ_i + row sums - column sums of the pairs
//      ∂ℓ_Q += e^ℓ_Q ⟨R, S⟩ + Σ e^(ℓ_Q - ℓ_i) k_i · R δ_i                   ∂g_t = Σ_{i>=t} ∂ℓ_i
//
//  -Tᵀ ∂T Tᵀ is -X δᵀ in exact arithmetic; this way what U and W S have in common is rounded before
//  it cancels.

import DualityCore
import DualityReference

extension DeltaAdjointWalk {
    /// What a chunk on its way back is computed from.
    struct Chunk {
        var size = 0
        var start = 0
        /// Rows of products: q, k, ∂o.
        var (q, k, pull) = ([Double](), [Double](), [Double]())
        /// e^ℓ_i; e_ij `[Q, Q]`; T.
        var (fromStart, between, inverse) = ([Double](), [Double](), [Double]())
        /// S and R as products read them.
        var (state, adjoint) = ([Double](), [Double]())
        /// βV, β e^ℓ K and δ.
        var (scaledValues, scaledKeys, delta) = ([Double](), [Double](), [Double]())
        /// q_i · k_j and k_i · k_j, with their decays.
        var (queryKeys, keyKeys) = ([Double](), [Double]())
    }

    @inline(__always)
    mutating func dot(
        _ a: [Double], from ai: Int, step sa: Int, with b: [Double], from bi: Int, step sb: Int, count: Int
    ) -> Double {
        rounding.dot(a, from: ai, step: sa, with: b, from: bi, step: sb, count: count, isCut: isCut)
    }

    mutating func product(_ x: Double) -> Double { rounding.store(x, as: arithmetic.products) }
    mutating func value(_ x: Double) -> Double { rounding.store(x, as: arithmetic.values) }

    mutating func total(_ terms: [Double]) -> Double {
        var (sum, squares) = (0.0, 0.0)
        for term in terms {
            sum += term
            squares += term * term
        }
        return rounding.sum(sum, squares: squares, count: terms.count, isCut: false)
    }

    mutating func chunkBack(
        _ tokens: Range<Int>, state: [Double], pull: [Double], adjoint: inout [Double],
        gradients: inout DeltaHeadGradients<Double>
    ) {
        let (keys, values) = (head.keyDim, head.valueDim)
        var chunk = Chunk()
        (chunk.size, chunk.start) = (tokens.count, tokens.lowerBound)
        prepare(&chunk, state, pull, adjoint)
        let size = chunk.size
        var ofDelta = chunk.delta
        var weights = [Double](repeating: 0, count: size * size)
        for i in 0..<size { for j in 0...i { weights[i * size + j] = product(chunk.queryKeys[i * size + j]) } }
        for j in 0..<size {
            let toEnd = chunk.between[(size - 1) * size + j]
            for c in 0..<values {
                let inside = dot(
                    weights, from: j * size + j, step: size, with: chunk.pull, from: j * values + c, step: values,
                    count: size - j)
                let across =
                    toEnd
                    * dot(chunk.k, from: j * keys, step: 1, with: chunk.adjoint, from: c, step: values, count: keys)
                ofDelta[j * values + c] = value(
                    rounding.operation(inside + across, inside.magnitude + across.magnitude))
            }
        }
        let multiplied = ofDelta.map { product($0) }
        var ofW = [Double](repeating: 0, count: size * keys)
        for i in 0..<size {
            for m in 0..<keys {
                let x = dot(
                    multiplied, from: i * values, step: 1, with: chunk.state, from: m * values, step: 1, count: values)
                ofW[i * keys + m] = product(value(-x))
            }
        }
        let factors = chunk.inverse.map { product($0) }
        var (x, z) = (chunk.delta, ofW)
        for j in 0..<size {
            for c in 0..<values {
                x[j * values + c] = dot(
                    factors, from: j * size + j, step: size, with: multiplied, from: j * values + c, step: values,
                    count: size - j)
            }
            for m in 0..<keys {
                z[j * keys + m] = dot(
                    factors, from: j * size + j, step: size, with: ofW, from: j * keys + m, step: keys, count: size - j)
            }
        }
        let ofSystem = systemBack(chunk, multiplied, ofW, factors)
        var ofSums = pairsBack(chunk, ofSystem, &gradients)
        acrossBack(chunk, x: x, z: z, state: state, adjoint: adjoint, ofSums: &ofSums, gradients: &gradients)
        passBack(chunk, x, z, &adjoint)
        var behind = [Double]()
        for i in (0..<size).reversed() {
            behind.append(ofSums[i])
            gradients.logDecay[chunk.start + i] += total(behind)
        }
    }

    mutating func prepare(
        _ chunk: inout Chunk, _ state: [Double], _ pull: [Double], _ adjoint: [Double]
    ) {
        let (size, start, keys, values) = (chunk.size, chunk.start, head.keyDim, head.valueDim)
        chunk.k = head.k[start * keys..<(start + size) * keys].map { product($0) }
        chunk.q = head.q[start * keys..<(start + size) * keys].map { product($0) }
        chunk.pull = pull[start * values..<(start + size) * values].map { product($0) }
        chunk.state = state.map { product(rounding.store($0, as: arithmetic.chunkStates)) }
        chunk.adjoint = adjoint.map { product(rounding.store($0, as: arithmetic.chunkStates)) }
        var sums: [Double] = []
        for i in 0..<size {
            let sum = (sums.last ?? 0) + head.logDecay[start + i]
            sums.append(rounding.operation(sum, sum.magnitude))
        }
        chunk.fromStart = sums.map { rounding.exp($0) }
        chunk.between = [Double](repeating: 0, count: size * size)
        (chunk.queryKeys, chunk.keyKeys) = (chunk.between, chunk.between)
        for i in 0..<size {
            for j in 0...i {
                let e = i == j ? 1 : rounding.exp(sums[i] - sums[j])
                chunk.between[i * size + j] = e
                let ofQ = e * dot(chunk.q, from: i * keys, step: 1, with: chunk.k, from: j * keys, step: 1, count: keys)
                let ofK = e * dot(chunk.k, from: i * keys, step: 1, with: chunk.k, from: j * keys, step: 1, count: keys)
                chunk.queryKeys[i * size + j] = rounding.operation(ofQ, ofQ.magnitude)
                chunk.keyKeys[i * size + j] = rounding.operation(ofK, ofK.magnitude)
            }
        }
        chunk.inverse = solved(chunk)
        for i in 0..<size {
            let beta = head.beta[start + i]
            for c in 0..<values { chunk.scaledValues.append(product(beta * head.v[(start + i) * values + c])) }
            for m in 0..<keys {
                let x = beta * chunk.fromStart[i] * chunk.k[i * keys + m]
                chunk.scaledKeys.append(product(rounding.operation(x, x.magnitude)))
            }
        }
        let factors = chunk.inverse.map { product($0) }
        for i in 0..<size {
            var w: [Double] = []
            for m in 0..<keys {
                w.append(
                    product(
                        value(
                            dot(
                                factors, from: i * size, step: 1, with: chunk.scaledKeys, from: m, step: keys,
                                count: i + 1))))
            }
            for c in 0..<values {
                let u = value(
                    dot(factors, from: i * size, step: 1, with: chunk.scaledValues, from: c, step: values, count: i + 1)
                )
                let known = dot(w, from: 0, step: 1, with: chunk.state, from: c, step: values, count: keys)
                chunk.delta.append(product(value(rounding.operation(u - known, (u - known).magnitude))))
            }
        }
    }

    /// What pairs of tokens give; returns row sums less column sums of what they give to ℓ.
    mutating func pairsBack(
        _ chunk: Chunk, _ ofSystem: [Double], _ gradients: inout DeltaHeadGradients<Double>
    ) -> [Double] {
        let (size, start, keys, values) = (chunk.size, chunk.start, head.keyDim, head.valueDim)
        var (ofP, ofA) = ([Double](repeating: 0, count: size * size), [Double](repeating: 0, count: size * size))
        var (rows, columns) = ([[Double]](repeating: [], count: size), [[Double]](repeating: [], count: size))
        for i in 0..<size {
            var ofBeta: [Double] = []
            for j in 0...i {
                let pull = dot(
                    chunk.pull, from: i * values, step: 1, with: chunk.delta, from: j * values, step: 1, count: values)
                let (e, beta) = (chunk.between[i * size + j], head.beta[start + i])
                let weight = pull * chunk.queryKeys[i * size + j]
                ofP[i * size + j] = product(e * pull)
                let system = ofSystem[i * size + j]
                ofA[i * size + j] = product(beta * e * system)
                ofBeta.append(system * chunk.keyKeys[i * size + j])
                let ofPair = beta * system * chunk.keyKeys[i * size + j]
                rows[i] += [weight, ofPair]
                columns[j] += [-weight, -ofPair]
            }
            gradients.beta[start + i] += total(ofBeta)
        }
        for i in 0..<size {
            for m in 0..<keys {
                let place = (start + i) * keys + m
                gradients.q[place] += value(
                    dot(ofP, from: i * size, step: 1, with: chunk.k, from: m, step: keys, count: i + 1))
                let asRow = dot(ofA, from: i * size, step: 1, with: chunk.k, from: m, step: keys, count: i)
                let asColumn = dot(
                    ofA, from: i * size + i, step: size, with: chunk.k, from: i * keys + m, step: keys, count: size - i)
                let ofQueries = dot(
                    ofP, from: i * size + i, step: size, with: chunk.q, from: i * keys + m, step: keys, count: size - i)
                gradients.k[place] += value(total([asRow, asColumn, ofQueries]))
            }
        }
        return (0..<size).map { i in
            let (row, column) = (total(rows[i]), total(columns[i]))
            return rounding.operation(row + column, row.magnitude + column.magnitude)
        }
    }

    /// What comes through the states at both ends, and what is of one token alone.
    mutating func acrossBack(
        _ chunk: Chunk, x: [Double], z: [Double], state: [Double], adjoint: [Double],
        ofSums: inout [Double], gradients: inout DeltaHeadGradients<Double>
    ) {
        let (size, start, keys, values) = (chunk.size, chunk.start, head.keyDim, head.valueDim)
        var atEnd = [Double]()
        for i in 0..<size {
            let (beta, fromStart) = (head.beta[start + i], chunk.fromStart[i])
            let toEnd = chunk.between[(size - 1) * size + i]
            var (read, solved, written, ofBeta) = ([Double](), [Double](), [Double](), [Double]())
            for m in 0..<keys {
                let place = (start + i) * keys + m
                let ofQuery =
                    fromStart
                    * dot(
                        chunk.pull, from: i * values, step: 1, with: chunk.state, from: m * values, step: 1,
                        count: values)
                let ofWrite =
                    toEnd
                    * dot(
                        chunk.delta, from: i * values, step: 1, with: chunk.adjoint, from: m * values, step: 1,
                        count: values)
                let (key, ofKey) = (chunk.k[i * keys + m], fromStart * z[i * keys + m])
                gradients.q[place] = total([gradients.q[place], value(ofQuery)])
                gradients.k[place] = total([gradients.k[place], value(beta * ofKey), value(ofWrite)])
                read.append(chunk.q[i * keys + m] * ofQuery)
                solved.append(beta * key * ofKey)
                ofBeta.append(key * ofKey)
                written.append(key * ofWrite)
            }
            for c in 0..<values {
                let v = beta * x[i * values + c]
                gradients.v[(start + i) * values + c] += rounding.operation(v, v.magnitude)
                ofBeta.append(x[i * values + c] * head.v[(start + i) * values + c])
            }
            gradients.beta[start + i] = total([gradients.beta[start + i], total(ofBeta)])
            let write = total(written)
            atEnd.append(write)
            ofSums[i] = total([ofSums[i], total(read), total(solved), -write])
        }
        let passing = chunk.fromStart[size - 1] * total(zip(adjoint, state).map { $0 * $1 })
        ofSums[size - 1] = total([ofSums[size - 1], passing, total(atEnd)])
    }

    /// R <- e^ℓ_Q R + Σ e^ℓ q ∂oᵀ + Wᵀ-part: -(β e^ℓ K)ᵀ X.
    mutating func passBack(_ chunk: Chunk, _ x: [Double], _ z: [Double], _ adjoint: inout [Double]) {
        let (size, keys, values) = (chunk.size, head.keyDim, head.valueDim)
        let solved = x.map { product($0) }
        var queries = chunk.q
        for i in 0..<size { for m in 0..<keys { queries[i * keys + m] *= chunk.fromStart[i] } }
        queries = queries.map { product($0) }
        for m in 0..<keys {
            for c in 0..<values {
                let place = m * values + c
                let kept = chunk.fromStart[size - 1] * adjoint[place]
                let read = dot(queries, from: m, step: keys, with: chunk.pull, from: c, step: values, count: size)
                let correction = dot(
                    chunk.scaledKeys, from: m, step: keys, with: solved, from: c, step: values, count: size)
                adjoint[place] = total([kept, read, -correction])
            }
        }
    }
}
