//  The gradients of a call in the parts they are made of, head by head, so that one part can be
//  left out or taken wrongly.
//
//      ∂x = Δ ∂x̄ + D g          ∂Δ = x·∂x̄ + A λ          ∂A = Σ Δ λ          ∂dt = ∂Δ dΔ/du
//
//  Each head is a call of its own without gate and skip; what it gives is split by what is known of
//  it: x·∂x̄ is x·∂x / Δ, and the rest of ∂Δ is A λ.

import DualityCore
import DualityNumerics
import DualityReference

struct GradientParts: Sendable {
    let inputs: SSDInputs<Double>
    /// g behind the gate: the gradient of y before it, `[B, L, H, P]`.
    let pull: Tensor<Double>
    /// Of each head: gradients of x, B, C and the initial state, without skip and gate.
    var heads: [SSDGradients<Double>]
    /// x·∂x̄ and A λ, `[B, L, H]`.
    var direct: Tensor<Double>
    var throughDecay: Tensor<Double>
    let slopes: Tensor<Double>
    let steps: Tensor<Double>
    private let gateGradient: Tensor<Double>?
    private let sigmoidGradient: Tensor<Double>?

    init(_ inputs: SSDInputs<Double>, _ upstream: SSDUpstream<Double>, ignoresGate: Bool = false) throws {
        self.inputs = inputs
        var pull =
            upstream.y ?? Tensor(repeating: 0, shape: [inputs.batch, inputs.length, inputs.heads, inputs.headDim])
        if let z = inputs.z {
            let ungated = try SSDForm.recurrent.evaluate(inputs.withoutEnds(keepsSkip: true)).y
            var (ofGate, ofSigmoid) = (pull, pull)
            for i in pull.elements.indices {
                let (g, gate) = (pull.elements[i], z.elements[i])
                let sigmoid = Double.sigmoid(gate)
                ofGate.elements[i] = g * ungated.elements[i] * sigmoid * (1 + gate * Double.sigmoid(-gate))
                ofSigmoid.elements[i] = g * ungated.elements[i] * sigmoid * Double.sigmoid(-gate)
                if !ignoresGate { pull.elements[i] = g * Double.silu(gate) }
            }
            (gateGradient, sigmoidGradient) = (ofGate, ofSigmoid)
        } else {
            (gateGradient, sigmoidGradient) = (nil, nil)
        }
        self.pull = pull
        steps = inputs.effectiveSteps()
        slopes = inputs.effectiveStepDerivatives()
        let plain = try inputs.withoutEnds(keepsSkip: false)
        var (direct, throughDecay) = (inputs.dt.map { _ in 0.0 }, inputs.dt.map { _ in 0.0 })
        var heads: [SSDGradients<Double>] = []
        for h in 0..<inputs.heads {
            // With the step given as it is, the gradient of dt is that of Δ.
            let one = try plain.head(h).withSteps(steps.head(h))
            let gradients = try SSDForm.recurrent.gradients(
                of: one,
                upstream: SSDUpstream(
                    y: pull.head(h), finalState: upstream.finalState.map { $0.head(h, axis: 1) },
                    sequenceStates: upstream.sequenceStates.map { $0.head(h, axis: 1) }))
            for i in 0..<inputs.batch * inputs.length {
                let step = steps.elements[i * inputs.heads + h]
                var sum = 0.0
                for p in 0..<inputs.headDim {
                    sum += one.x.elements[i * inputs.headDim + p] * gradients.x.elements[i * inputs.headDim + p]
                }
                let total = gradients.dt.elements[i]
                let part = step > 0 ? sum / step : total
                direct.elements[i * inputs.heads + h] = part
                throughDecay.elements[i * inputs.heads + h] = total - part
            }
            heads.append(gradients)
        }
        (self.direct, self.throughDecay, self.heads) = (direct, throughDecay, heads)
    }

    /// The gradients by their names in files, with a fault or without.
    func assembled(_ fault: String?) throws -> [String: Tensor<Double>] {
        var result: [String: Tensor<Double>] = [:]
        var x = inputs.x.map { _ in 0.0 }
        var (b, c) = (inputs.b.map { _ in 0.0 }, inputs.c.map { _ in 0.0 })
        var a = inputs.a.map { _ in 0.0 }
        var d = inputs.d.map { $0.map { _ in 0.0 } }
        var states = inputs.initialState.map { $0.map { _ in 0.0 } }
        let map = inputs.headMap
        func isSummed(_ h: Int, _ list: [Int]) -> Bool {
            switch fault {
            case "grad-of-first-head-only": list.firstIndex(of: list[h]) == h
            case "grad-of-last-head-only": list.lastIndex(of: list[h]) == h
            default: true
            }
        }
        for h in 0..<inputs.heads {
            let own = heads[h]
            if isSummed(h, map.b) { b.addHead(map.b[h], own.b) }
            if isSummed(h, map.c) { c.addHead(map.c[h], own.c) }
            let ofX = gradientOfX(head: h, fault, skip: &d)
            if isSummed(h, map.x) { x.addHead(map.x[h], ofX) }
            a.elements[h] = own.a.elements[0]
            if fault == "grad-a-misses-dt" {
                let rate = inputs.a.elements[h]
                a.elements[h] = stride(from: h, to: throughDecay.count, by: inputs.heads).reduce(0) {
                    $0 + (rate == 0 ? 0 : throughDecay.elements[$1] / rate)
                }
            }
            if fault == "grad-a-is-of-a-log" { a.elements[h] *= inputs.a.elements[h] }
            var ofState = own.initialState
            if fault == "grad-initial-state-not-decayed" { undecay(&ofState, head: h) }
            states?.setHead(h, axis: 1, to: ofState)
        }
        let dt = gradientOfSteps(fault)
        result["grad_x"] = x
        result["grad_dt"] = dt
        result["grad_A"] = a
        (result["grad_B"], result["grad_C"]) = (b, c)
        if fault == "grad-b-and-c-swapped" {
            guard b.shape == c.shape else { throw unsuited }
            (result["grad_B"], result["grad_C"]) = (c, b)
        }
        result["grad_D"] = d
        result["grad_z"] = fault == "grad-z-of-sigmoid" ? sigmoidGradient : gateGradient
        result["grad_initial_states"] = states
        if let bias = inputs.dtBias {
            var sums = bias.map { _ in 0.0 }
            let count = fault == "grad-dt-bias-of-one-row" ? dt.count / max(inputs.batch, 1) : dt.count
            for i in 0..<count { sums.elements[i % inputs.heads] += dt.elements[i] }
            result["grad_dt_bias"] = sums
        }
        return result
    }

    /// The gradient of a head's x, `[B, L, P]`; adds what it gives to that of D.
    private func gradientOfX(head h: Int, _ fault: String?, skip d: inout Tensor<Double>?) -> Tensor<Double> {
        var ofX = heads[h].x
        for i in ofX.elements.indices {
            let token = i / inputs.headDim
            let (step, p) = (steps.elements[token * inputs.heads + h], i % inputs.headDim)
            if fault == "grad-x-misses-dt" { ofX.elements[i] = step > 0 ? ofX.elements[i] / step : 0 }
            if let weights = inputs.d {
                let g = pull.elements[(token * inputs.heads + h) * inputs.headDim + p]
                let place = weights.shape.count == 2 ? h * inputs.headDim + p : h
                let source = (token * inputs.x.shape[2] + inputs.headMap.x[h]) * inputs.headDim + p
                d?.elements[place] += g * inputs.x.elements[source]
                if fault != "grad-x-misses-d" { ofX.elements[i] += weights.elements[place] * g }
            }
        }
        return ofX
    }

    /// The gradient of dt, `[B, L, H]`.
    private func gradientOfSteps(_ fault: String?) -> Tensor<Double> {
        var dt = direct
        for i in dt.elements.indices {
            var step = fault == "grad-dt-misses-x-term" ? 0 : direct.elements[i]
            if fault != "grad-dt-misses-a-term" { step += throughDecay.elements[i] }
            dt.elements[i] = step * (fault == "grad-dt-misses-softplus" ? 1 : slopes.elements[i])
        }
        return dt
    }

    private var unsuited: InputError {
        InputError(.unsupported, in: "fault", expected: "operands it is about", found: "others")
    }

    /// Divides the gradient of the initial state of one head by the decay of the first token of
    /// each sequence.
    private func undecay(_ gradient: inout Tensor<Double>, head: Int) {
        let starts = (inputs.packing ?? .whole(batch: inputs.batch, length: inputs.length)).rows.enumerated().flatMap {
            row, runs in runs.map { (row, $0.lowerBound) }
        }
        let size = inputs.headDim * inputs.stateDim
        let perSequence = gradient.shape[0] == starts.count
        for s in 0..<gradient.shape[0] {
            let start = perSequence ? starts[s] : (s, 0)
            guard start.1 < inputs.length else { continue }
            let step = steps.elements[(start.0 * inputs.length + start.1) * inputs.heads + head]
            let decay = Double.exp(step * inputs.a.elements[head])
            for i in 0..<size { gradient.elements[s * size + i] /= decay }
        }
    }

    /// The sums of the magnitudes of the terms of every gradient, and what differences of sums do
    /// to them.
    ///
    /// - Parameter longestChunk: of a kernel that works with the running sums of its chunks; nil
    ///   for one that does not.
    static func magnitudes(
        of inputs: SSDInputs<Double>, _ upstream: SSDUpstream<Double>, longestChunk: Int?
    ) throws -> (sums: [String: Tensor<Double>], differenced: DifferencedDecays?) {
        func magnitude(_ tensor: Tensor<Double>) -> Tensor<Double> { tensor.map(\.magnitude) }
        var pull =
            upstream.y ?? Tensor(repeating: 0, shape: [inputs.batch, inputs.length, inputs.heads, inputs.headDim])
        var (gateSums, gateFactors): (Tensor<Double>?, Tensor<Double>?) = (nil, nil)
        if let z = inputs.z {
            let ungated = try inputs.withoutEnds(keepsSkip: true).magnitudes().y
            var (sums, factors) = (ungated, ungated)
            for i in sums.elements.indices {
                let gate = z.elements[i]
                factors.elements[i] =
                    (pull.elements[i] * Double.sigmoid(gate) * (1 + gate.magnitude * Double.sigmoid(-gate))).magnitude
                sums.elements[i] *= factors.elements[i]
                pull.elements[i] *= Double.silu(gate)
            }
            (gateSums, gateFactors) = (sums, factors)
        }
        let positive = try SSDInputs(
            x: magnitude(inputs.x), dt: inputs.dt, a: inputs.a, b: magnitude(inputs.b), c: magnitude(inputs.c),
            d: inputs.d.map(magnitude), dtBias: inputs.dtBias, initialState: inputs.initialState.map(magnitude),
            packing: inputs.packing, headMap: inputs.headMap, dtSoftplus: inputs.dtSoftplus, dtLimit: inputs.dtLimit)
        let positiveUpstream = SSDUpstream(
            y: magnitude(pull), finalState: upstream.finalState.map(magnitude),
            sequenceStates: upstream.sequenceStates.map(magnitude))
        let parts = try GradientParts(positive, positiveUpstream)
        var sums = try parts.assembled(nil)
        var dt = parts.direct
        for i in dt.elements.indices {
            dt.elements[i] =
                (parts.direct.elements[i].magnitude + parts.throughDecay.elements[i].magnitude)
                * parts.slopes.elements[i]
        }
        sums["grad_dt"] = dt
        sums["grad_A"] = sums["grad_A"].map(magnitude)
        if let bias = inputs.dtBias {
            var total = bias.map { _ in 0.0 }
            for i in dt.elements.indices { total.elements[i % inputs.heads] += dt.elements[i] }
            sums["grad_dt_bias"] = total
        }
        sums["grad_z"] = gateSums
        let plain = try positive.withoutEnds(keepsSkip: false)
        let differenced = try longestChunk.map { size throws(InputError) in
            try DifferencedDecays(parts, of: plain, positiveUpstream, gate: gateFactors, chunkSize: size)
        }
        return (sums, differenced)
    }
}

extension Tensor<Double> {
    /// Adds a tensor whose axis 2 has length 1 to index `head` of that axis.
    fileprivate mutating func addHead(_ head: Int, _ part: Tensor<Double>) {
        let outer = shape[0] * shape[1]
        let inner = shape[3]
        for i in 0..<outer {
            for j in 0..<inner { elements[(i * shape[2] + head) * inner + j] += part.elements[i * inner + j] }
        }
    }
}

extension SSDInputs<Double> {
    /// The call without its gate, and without its skip if that is not kept.
    fileprivate func withoutEnds(keepsSkip: Bool) throws(InputError) -> SSDInputs<Double> {
        try SSDInputs(
            x: x, dt: dt, a: a, b: b, c: c, d: keepsSkip ? d : nil, dtBias: dtBias, initialState: initialState,
            packing: packing, headMap: headMap, dtSoftplus: dtSoftplus, dtLimit: dtLimit)
    }

    /// The call with its steps given as they are.
    fileprivate func withSteps(_ steps: Tensor<Double>) throws(InputError) -> SSDInputs<Double> {
        try SSDInputs(
            x: x, dt: steps, a: a, b: b, c: c, initialState: initialState, packing: packing, headMap: headMap,
            dtSoftplus: false)
    }
}
