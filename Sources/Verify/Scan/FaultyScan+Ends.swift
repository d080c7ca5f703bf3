//  Faults before and after the scan: the step, the logarithms of the decays, the skip, the gate,
//  and what is stored.

import DualityCore
import DualityNumerics
import DualityReference

extension FaultyScan {
    /// Δ as the faulty kernel forms it, `[B, L, H]`.
    func effectiveSteps() -> Tensor<Double> {
        var i = 0
        return call.dt.map { dt in
            defer { i += 1 }
            let bias = call.dtBias?.elements[i % call.heads] ?? 0
            return step(dt, bias)
        }
    }

    /// The step of a padding token of a head: dt = 0.
    func paddingStep(head: Int) -> Double { step(0, call.dtBias?.elements[head] ?? 0) }

    private func step(_ dt: Double, _ bias: Double) -> Double {
        // In bfloat16 throughout: the bias, the sum, the softplus.
        let isNarrow = has(.dtBFloat16) && variant == 1
        func narrow(_ value: Double) -> Double { isNarrow ? NumberFormat.bf16.round(value) : value }
        var step = has(.dtBiasAfterSoftplus) ? dt : narrow(dt + narrow(bias))
        func clamped(_ step: Double) -> Double { min(max(step, call.limit.lowerBound), call.limit.upperBound) }
        if has(.dtLimitBeforeSoftplus) { step = clamped(step) }
        if call.softplus {
            let u = Float(step)
            if has(.softplusThresholdMissing), Float.exp(u) == .infinity {
                step = .infinity
            } else if has(.softplusNaive), u <= 20 {
                step = Double(Float.log(1 + Float.exp(u)))
            } else {
                step = narrow(Double.thresholdedSoftplus(step))
            }
        }
        if has(.dtBiasAfterSoftplus) { step += bias }
        if has(.softplusTwice) { step = Double.thresholdedSoftplus(step) }
        if has(.stepPreparedTwice) { step = Double.thresholdedSoftplus(step + bias) }
        if !(has(.dtLimitBeforeSoftplus) && variant == 0) { step = clamped(step) }
        return has(.dtBFloat16) ? NumberFormat.bf16.round(step) : step
    }

    /// z of every token of a row.
    func logDecays(of steps: [Double], rate: Double) -> [Double] {
        var z = steps.map { $0 * rate }
        if has(.aWithoutDt) { z = z.map { _ in rate } }
        if has(.decayOneTokenLate), let first = z.first { z = [variant == 0 ? 0 : first] + z.dropLast() }
        if has(.decayBFloat16) { z = z.map { Double.log(NumberFormat.bf16.round(Double.exp($0))) } }
        if has(.longCumulativeSums) && variant < 2 {
            // Between two tokens the differences telescope, so that each token may carry its own.
            var (narrow, exact) = (Float.zero, 0.0)
            var before = Float.zero
            for t in z.indices {
                exact += z[t]
                narrow = variant == 0 ? narrow + Float(z[t]) : Float(exact)
                z[t] = Double(narrow) - Double(before)
                before = narrow
            }
        }
        return z
    }

    /// The skip, the gate and the output's storage.
    func finish(_ result: inout ScanResult, steps: Tensor<Double>) {
        let (heads, headDim, xHeads) = (call.heads, call.headDim, call.x.shape[2])
        for i in result.y.elements.indices {
            let (token, head, p) = (i / (heads * headDim), i / headDim % heads, i % headDim)
            var skip = 0.0
            if let d = call.d {
                skip =
                    d.elements[d.shape.count == 2 ? head * headDim + p : head]
                    * call.x.elements[(token * xHeads + call.xMap[head]) * headDim + p]
                if has(.skipOnSteppedInput) { skip *= steps.elements[token * heads + head] }
                if sumsMagnitudes { skip = skip.magnitude }
            }
            var y = result.y.elements[i]
            if !has(.skipAfterGate) { y += skip }
            if let z = call.z?.elements[i] { y *= has(.gateSigmoid) ? Double.sigmoid(z) : Double.silu(z) }
            if sumsMagnitudes { y = y.magnitude }
            if has(.skipAfterGate) { y += skip }
            if has(.outputBFloat16) { y = NumberFormat.bf16.round(y) }
            if has(.overflowFloat16) { y = overflowed(y) }
            result.y.elements[i] = y
        }
        if has(.overflowFloat16) && variant == 1 {
            result.finalState = result.finalState.map(overflowed)
            result.sequenceStates = result.sequenceStates.map(overflowed)
        }
    }

    private func overflowed(_ value: Double) -> Double {
        value.magnitude > NumberFormat.f16.largest ? (value > 0 ? .infinity : -.infinity) : value
    }
}

extension ScanWalk {
    /// Puts the state after the tokens scanned so far in its place.
    func store(stateOf sequence: Int, to result: inout ScanResult) {
        let size = headDim * stateDim
        let first = (sequence * scan.call.heads + head) * size
        let isLast = scan.call.runs.last { $0.row == row }?.sequence == sequence
        let partial = scan.call.length % scan.chunkSize != 0
        var state = self.state
        if scan.has(.stateTakenAtChunk) && scan.call.ends[sequence].end % scan.chunkSize != 0 { state = entering }
        if isLast && partial {
            if scan.has(.lastChunkDropped) { state = entering }
            if scan.has(.padding) {
                let decay = Double.exp(paddingDecay)
                state = state.map { $0 * decay }
            }
        }
        result.sequenceStates.elements.replaceSubrange(first..<first + size, with: state)
    }

    /// Puts the rows of y in their places.
    func store(_ result: inout ScanResult) {
        let (heads, length) = (scan.call.heads, scan.call.length)
        for i in 0..<y.count / max(headDim, 1) {
            let first = ((row * length + start + i) * heads + head) * headDim
            for p in 0..<headDim { result.y.elements[first + p] = y[i * headDim + p] }
        }
    }
}
