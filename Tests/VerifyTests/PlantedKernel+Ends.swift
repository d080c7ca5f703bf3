import DualityCore
import DualityNumerics
import DualityReference

@testable import DualityVerify

extension PlantedKernel {
    /// Every two tokens of equal id see each other, whatever lies between.
    func attend(_ call: ScanCall, _ ids: Tensor<Int>, _ row: Int, _ h: Int, _ result: inout ScanResult) {
        let (length, heads, headDim, stateDim) = (call.length, call.heads, call.headDim, call.stateDim)
        func at(_ tensor: Tensor<Double>, _ t: Int, _ i: Int) -> Float {
            let (count, width) = (tensor.shape[2], tensor.shape[3])
            return Float(tensor.elements[((row * length + t) * count + h / (heads / count)) * width + i])
        }
        let bias = call.dtBias.map { Float($0.elements[h]) }
        let steps = (0..<length).map { step(Float(call.dt.elements[(row * length + $0) * heads + h]), bias, call) }
        let z = steps.map { $0 * Float(call.a.elements[h]) }
        let own = (0..<length).map { ids.elements[row * length + $0] }
        for t in 0..<length {
            var state = [Float](repeating: 0, count: headDim * stateDim)
            var decay: Float = 1
            for s in (0...t).reversed() {
                if own[s] == own[t] {
                    for p in 0..<headDim {
                        for n in 0..<stateDim {
                            state[p * stateDim + n] += factor(decay * steps[s] * at(call.b, s, n)) * at(call.x, s, p)
                        }
                    }
                }
                decay *= Float.exp(z[s])
            }
            if own[t] == own[0], let states = call.initialState {
                for i in state.indices {
                    state[i] += decay * Float(states.elements[(row * heads + h) * headDim * stateDim + i])
                }
            }
            for p in 0..<headDim {
                var y = Float.zero
                for n in 0..<stateDim { y += state[p * stateDim + n] * at(call.c, t, n) }
                result.y.elements[((row * length + t) * heads + h) * headDim + p] = Double(y)
            }
            let last = call.runs.firstIndex { $0.row == row && $0.tokens.upperBound - 1 == t }
            for i in state.indices {
                if let last {
                    result.sequenceStates.elements[(last * heads + h) * headDim * stateDim + i] = Double(state[i])
                }
                if t + 1 == length {
                    result.finalState.elements[(row * heads + h) * headDim * stateDim + i] = Double(state[i])
                }
            }
        }
        finish(call, row, h, steps, { at(call.x, $0, $1) }, &result)
    }

    /// Skip, gate and what y is stored in.
    func finish(
        _ call: ScanCall, _ row: Int, _ h: Int, _ steps: [Float], _ x: (Int, Int) -> Float, _ result: inout ScanResult
    ) {
        for t in 0..<call.length {
            for p in 0..<call.headDim {
                let place = ((row * call.length + t) * call.heads + h) * call.headDim + p
                var y = Float(result.y.elements[place])
                var skip = Float.zero
                if let d = call.d, !has(.skipMissing), !(has(.skipMissingSomeChannels) && p >= call.headDim / 2) {
                    skip = Float(d.elements[d.shape.count == 2 ? h * call.headDim + p : h]) * x(t, p)
                    if has(.skipOnSteppedInput) { skip *= steps[t] }
                }
                if !has(.skipAfterGate) { y += skip }
                if let z = call.z, !has(.gateMissing) {
                    let gate = Float(z.elements[place])
                    y *= has(.gateSigmoid) ? Float.sigmoid(gate) : Float.silu(gate)
                }
                if has(.skipAfterGate) { y += skip }
                if has(.overflowFloat16) && abs(y) > 65504 { y = y > 0 ? .infinity : -.infinity }
                result.y.elements[place] = Double(isBFloat16 || has(.outputBFloat16) ? bf16(y) : y)
            }
        }
    }
}
