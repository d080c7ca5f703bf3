//  What a backward pass loses that works with the running sums ℓ of its chunks: decays are exp(ℓ_i
//  - ℓ_j), and the gradients of ℓ differences of sums.
//
//      W_ij = (C_i · B_j) e^seg(i, j) (g_i · x̄_j)          λ_t = ∂ℒ/∂(ln a_t) = sum over i >= t > j of W_ij
//
//      λ_t = sum over i >= t of the chunk of (r_i - k_i) + ⟨Φ, S⟩
//      r_i = g_i · y_i = sum over j of W_ij          k_i = x̄_i · ∂x̄_i = sum over j of W_ji
//
//  S leaves the chunk and Φ is its gradient. Terms that do not reach across t are in r and in k and
//  cancel, all but their roundings: the diagonal W_ii among them, which no decay makes small. So
//  the magnitudes behind λ_t are
//
//      M_t = sum over i >= t of (|r|_i + |k|_i) + ⟨|Φ|, |S|⟩
//
//  and not those of its own terms alone. And every exponent errs by up to 2 γ_Q |ℓ|, usually by u
//  |ℓ| / 2 (one rounding or two), ℓ the whole sum of a chunk, in all terms but the diagonal's.
//  docs/numerics.md, section 7, derives both.

import DualityCore
import DualityReference

/// Sizes of the errors of differences, by the gradients' names in files.
struct DifferencedDecays {
    /// What takes the place of the sums of magnitudes.
    private(set) var sums: [String: Tensor<Double>] = [:]
    /// The sums of the magnitudes of what decays, times (e^(2 γ_Q |ℓ|) - 1).
    private(set) var exponents: [String: Tensor<Double>] = [:]
    /// The standard deviation of both, in units of u.
    private(set) var deviations: [String: Tensor<Double>] = [:]

    private let parts: GradientParts
    private let call: SSDInputs<Double>
    private let outputs: SSDOutputs<Double>
    private let chunkSize: Int
    /// Where a sequence ends, ⟨Ĝ, S⟩ of each head, by token.
    private let ends: [Int: [Double]]
    /// |ℓ| of the longest chunk, `[B, H]`.
    private let longest: [Double]

    /// - Parameters:
    ///   - parts: of the magnitudes of a call.
    ///   - call: those magnitudes, without gate and skip.
    ///   - upstream: theirs.
    ///   - gate: by what y before the gate is multiplied in the gradient of z, `[B, L, H, P]`.
    ///   - chunkSize: the longest a kernel's chunks may be. Sequences that meet in one share its
    ///     running sums.
    init(
        _ parts: GradientParts, of call: SSDInputs<Double>, _ upstream: SSDUpstream<Double>, gate: Tensor<Double>?,
        chunkSize: Int
    ) throws(InputError) {
        self.parts = parts
        self.call = call
        self.chunkSize = chunkSize
        outputs = try SSDForm.recurrent.evaluate(call)
        ends = Self.ends(of: call, upstream, outputs)
        let (length, heads) = (call.length, call.heads)
        longest = (0..<call.batch * heads).map { i in
            let (row, h) = (i / heads, i % heads)
            return stride(from: 0, to: length, by: chunkSize).reduce(0.0) { worst, first in
                let chunk = first..<min(first + chunkSize, length)
                let sum = chunk.reduce(0.0) { $0 + parts.steps.elements[(row * length + $1) * heads + h] }
                return max(worst, sum * call.a.elements[h].magnitude)
            }
        }
        takeDecays()
        takeSteps()
        if let gate { takeGate(gate) }
    }

    /// The gradient of z, which is y before the gate times something.
    private mutating func takeGate(_ gate: Tensor<Double>) {
        var (bound, other) = (gate, gate)
        for i in gate.elements.indices {
            let (token, h) = (i / call.headDim / call.heads, i / call.headDim % call.heads)
            let place = token / call.length * call.heads + h
            let x = call.x.elements[(token * call.x.shape[2] + call.headMap.x[h]) * call.headDim + i % call.headDim]
            let own = parts.steps.elements[token * call.heads + h] * diagonal(token, h).gram * x
            let decayed = gate.elements[i] * max(outputs.y.elements[i] - own, 0)
            bound.elements[i] = growth(place) * decayed
            other.elements[i] = longest[place] / 2 * decayed
        }
        (exponents["grad_z"], deviations["grad_z"]) = (bound, other)
    }

    /// By how much a decay may grow, relative to itself.
    private func growth(_ place: Int) -> Double {
        let exponent = 2 * Double(min(chunkSize, call.length)) * LayerError.unit * longest[place]
        return exponent < 1 ? exponent + exponent * exponent : .exp(exponent)
    }

    /// The gradients of x, B, C and the initial state: only their decays are differences.
    private mutating func takeDecays() {
        let (length, heads, headDim, stateDim) = (call.length, call.heads, call.headDim, call.stateDim)
        let (xHeads, bHeads, cHeads) = (call.x.shape[2], call.b.shape[2], call.c.shape[2])
        var (x, b, c) = (call.x.map { _ in 0.0 }, call.b.map { _ in 0.0 }, call.c.map { _ in 0.0 })
        var (xDeviations, bDeviations, cDeviations) = (x, b, c)
        var states = call.initialState?.map { _ in 0.0 }
        var stateDeviations = states
        func add(
            _ own: Double, _ place: Int, to bound: inout Tensor<Double>, _ other: inout Tensor<Double>, _ i: Int
        ) {
            let decayed = max(own, 0)
            bound.elements[i] += growth(place) * decayed
            other.elements[i] += longest[place] / 2 * decayed
        }
        for h in 0..<heads {
            let own = parts.heads[h]
            for token in 0..<call.batch * length {
                let place = token / length * heads + h
                let step = parts.steps.elements[token * heads + h]
                let xs = (token * xHeads + call.headMap.x[h]) * headDim
                let bs = (token * bHeads + call.headMap.b[h]) * stateDim
                let cs = (token * cHeads + call.headMap.c[h]) * stateDim
                let gs = (token * heads + h) * headDim
                let (gram, pulled) = diagonal(token, h)
                for p in 0..<headDim {
                    let own = own.x.elements[token * headDim + p] - step * gram * parts.pull.elements[gs + p]
                    add(own, place, to: &x, &xDeviations, xs + p)
                }
                for n in 0..<stateDim {
                    let i = token * stateDim + n
                    add(
                        own.b.elements[i] - step * pulled * call.c.elements[cs + n], place, to: &b, &bDeviations, bs + n
                    )
                    add(
                        own.c.elements[i] - step * pulled * call.b.elements[bs + n], place, to: &c, &cDeviations, cs + n
                    )
                }
            }
            if var bound = states, var other = stateDeviations {
                let size = headDim * stateDim
                let rows = (call.packing ?? .whole(batch: call.batch, length: length)).rows
                let rowOfSequence = rows.enumerated().flatMap { row, runs in runs.map { _ in row } }
                for s in 0..<bound.shape[0] {
                    let row = bound.shape[0] == rowOfSequence.count ? rowOfSequence[s] : s
                    for i in 0..<size {
                        let value = own.initialState.elements[s * size + i]
                        add(value, row * heads + h, to: &bound, &other, (s * heads + h) * size + i)
                    }
                }
                (states, stateDeviations) = (bound, other)
            }
        }
        exponents = ["grad_x": x, "grad_B": b, "grad_C": c]
        deviations = ["grad_x": xDeviations, "grad_B": bDeviations, "grad_C": cDeviations]
        exponents["grad_initial_states"] = states
        deviations["grad_initial_states"] = stateDeviations
    }

    /// C·B and g·x of one token and head.
    private func diagonal(_ token: Int, _ h: Int) -> (gram: Double, pulled: Double) {
        let (heads, headDim, stateDim) = (call.heads, call.headDim, call.stateDim)
        let bs = (token * call.b.shape[2] + call.headMap.b[h]) * stateDim
        let cs = (token * call.c.shape[2] + call.headMap.c[h]) * stateDim
        let xs = (token * call.x.shape[2] + call.headMap.x[h]) * headDim
        let gs = (token * heads + h) * headDim
        return (
            (0..<stateDim).reduce(0) { $0 + call.c.elements[cs + $1] * call.b.elements[bs + $1] },
            (0..<headDim).reduce(0) { $0 + parts.pull.elements[gs + $1] * call.x.elements[xs + $1] }
        )
    }

    /// The gradients of dt, A and dt_bias.
    private mutating func takeSteps() {
        let (length, heads, headDim) = (call.length, call.heads, call.headDim)
        var (dt, a, bias) = (call.dt.map { _ in 0.0 }, call.a.map { _ in 0.0 }, call.a.map { _ in 0.0 })
        var (dtExponents, aExponents, biasExponents) = (dt, a, bias)
        var (dtDeviations, aDeviations, biasDeviations) = (dt, a, bias)
        for row in 0..<call.batch {
            for h in 0..<heads {
                func token(_ t: Int) -> Int { (row * length + t) * heads + h }
                let (rate, sum) = (call.a.elements[h].magnitude, longest[row * heads + h] / 2)
                let growth = growth(row * heads + h)
                // M, the part of it that decays, and the sum of the squares of the terms.
                var (magnitude, decayed, squares) = (0.0, 0.0, 0.0)
                var (ofA, ofBias) = (0.0, 0.0)  // deviations of the sums over the chunk, whose errors are shared
                for t in (0..<length).reversed() {
                    let i = token(t)
                    if let end = ends[row * length + t] {
                        (magnitude, decayed, squares) = (
                            magnitude + end[h], decayed + end[h], squares + end[h] * end[h]
                        )
                    } else if (t + 1) % chunkSize == 0 {
                        // ⟨Φ, S⟩ is what reaches across the next token; without decay, the sum so
                        // far is no less.
                        let reach = rate > 0 ? parts.throughDecay.elements[token(t + 1)].magnitude / rate : magnitude
                        (magnitude, decayed, squares) = (reach, reach, reach * reach)
                    }
                    let (gram, pulled) = diagonal(row * length + t, h)
                    let (step, slope) = (parts.steps.elements[i], parts.slopes.elements[i])
                    var read = 0.0
                    for p in 0..<headDim {
                        read += parts.pull.elements[i * headDim + p] * outputs.y.elements[i * headDim + p]
                    }
                    let (direct, own) = (parts.direct.elements[i].magnitude, gram * pulled)
                    magnitude += read + step * direct
                    decayed += max(read + step * direct - 2 * step * own, 0)
                    squares += read * read + step * step * direct * direct
                    let crossing = parts.throughDecay.elements[i].magnitude
                    let pull = max(direct - own, 0)  // what decays in x · ∂x̄
                    let deviation = squares.squareRoot()
                    dt.elements[i] = (direct + rate * magnitude) * slope
                    dtExponents.elements[i] = growth * (pull + rate * decayed) * slope
                    dtDeviations.elements[i] = (rate * deviation + sum * (pull + crossing)) * slope
                    a.elements[h] += step * magnitude
                    aExponents.elements[h] += growth * step * decayed
                    bias.elements[h] += dt.elements[i]
                    biasExponents.elements[h] += dtExponents.elements[i]
                    ofA += step * (deviation + (rate > 0 ? sum * crossing / rate : 0))
                    ofBias += dtDeviations.elements[i]
                    if t % chunkSize == 0 {
                        aDeviations.elements[h] += ofA * ofA
                        biasDeviations.elements[h] += ofBias * ofBias
                        (ofA, ofBias) = (0, 0)
                    }
                }
            }
        }
        keep("grad_dt", dt, dtExponents, dtDeviations)
        keep("grad_A", a, aExponents, aDeviations.map { $0.squareRoot() })
        keep("grad_dt_bias", bias, biasExponents, biasDeviations.map { $0.squareRoot() })
    }

    private mutating func keep(
        _ name: String, _ sum: Tensor<Double>, _ exponent: Tensor<Double>, _ deviation: Tensor<Double>
    ) {
        (sums[name], exponents[name], deviations[name]) = (sum, exponent, deviation)
    }

    private static func ends(
        of call: SSDInputs<Double>, _ upstream: SSDUpstream<Double>, _ outputs: SSDOutputs<Double>
    ) -> [Int: [Double]] {
        let (heads, size) = (call.heads, call.headDim * call.stateDim)
        func products(_ gradient: Tensor<Double>?, _ state: Tensor<Double>, _ place: Int, _ h: Int) -> Double {
            guard let gradient else { return 0 }
            let first = (place * heads + h) * size
            return (first..<first + size).reduce(0) { $0 + gradient.elements[$1] * state.elements[$1] }
        }
        var ends: [Int: [Double]] = [:]
        var sequence = 0
        for (row, runs) in (call.packing ?? .whole(batch: call.batch, length: call.length)).rows.enumerated() {
            for (i, run) in runs.enumerated() {
                defer { sequence += 1 }
                guard !run.isEmpty else { continue }
                ends[row * call.length + run.upperBound - 1] = (0..<heads).map { h in
                    products(upstream.sequenceStates, outputs.sequenceStates, sequence, h)
                        + (i + 1 == runs.count ? products(upstream.finalState, outputs.finalState, row, h) : 0)
                }
            }
        }
        return ends
    }
}
