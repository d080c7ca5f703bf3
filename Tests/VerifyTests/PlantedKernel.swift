import DualityCore
import DualityNumerics
import DualityReference

@testable import DualityVerify

/// A chunked kernel in float32, or with the roundings of a bfloat16 model, with one thing wrong.
/// Written out token by token from the equations, it shares nothing with the faulty scans that the
/// diagnosis runs.
struct PlantedKernel {
    /// nil for a right kernel.
    let fault: ScanFault?
    var chunk = 16
    /// Whether operands of products, states between chunks and y are rounded to bfloat16.
    var isBFloat16 = false
    /// Whether it is a kernel of single steps, which multiply in float32 and round y alone.
    var isStep = false
    private var isNarrow: Bool { isBFloat16 && !isStep }

    func has(_ fault: ScanFault) -> Bool { self.fault == fault }

    func bf16(_ value: Float) -> Float { Float(NumberFormat.bf16.round(Double(value))) }
    func half(_ value: Float) -> Float { Float(NumberFormat.f16.round(Double(value))) }
    /// An operand of a matrix product.
    func factor(_ value: Float) -> Float {
        if has(.productsTF32) { return Float(NumberFormat.tf32.round(Double(value))) }
        return isNarrow || has(.productsBFloat16) ? bf16(value) : value
    }

    func step(_ raw: Float, _ bias: Float?, _ call: ScanCall) -> Float {
        var u = raw
        if has(.stepNotPrepared) { return min(max(u, Float(call.limit.lowerBound)), Float(call.limit.upperBound)) }
        if let bias, !has(.dtBiasMissing), !has(.dtBiasAfterSoftplus) { u += has(.dtBiasTwice) ? bias + bias : bias }
        if has(.dtLimitBeforeSoftplus) { u = min(max(u, Float(call.limit.lowerBound)), Float(call.limit.upperBound)) }
        var step = u
        if call.softplus != has(.softplusUnwanted) && !has(.softplusMissing) {
            if has(.softplusNaive) {
                step = u > 20 ? u : Float.log(1 + Float.exp(u))
            } else if has(.softplusThresholdMissing) {
                step = u > 20 ? Float.log(1 + Float.exp(u)) : Float.softplus(u)
            } else {
                step = Float.thresholdedSoftplus(u)
            }
        }
        if let bias, has(.dtBiasAfterSoftplus) { step += bias }
        if has(.softplusTwice) { step = Float.thresholdedSoftplus(step) }
        if let bias, has(.stepPreparedTwice) { step = Float.thresholdedSoftplus(step + bias) }
        if !has(.dtLimitIgnored), !has(.dtLimitBeforeSoftplus) {
            step = min(max(step, Float(call.limit.lowerBound)), Float(call.limit.upperBound))
        }
        if has(.dtClampThousandth) { step = max(step, 0.001) }
        return has(.dtBFloat16) ? bf16(step) : step
    }

    func run(_ call: ScanCall) -> ScanResult {
        var result = ScanResult(like: call)
        for h in 0..<call.heads {
            for row in 0..<call.batch {
                if has(.resetByID), let ids = call.ids {
                    attend(call, ids, row, h, &result)
                } else {
                    scan(call, row, h, &result)
                }
            }
        }
        if has(.sequenceStatesShifted) {
            let size = call.heads * call.headDim * call.stateDim
            let states = result.sequenceStates.elements
            for i in states.indices { result.sequenceStates.elements[i] = states[(i + size) % states.count] }
        }
        return result
    }

    private func scan(_ call: ScanCall, _ row: Int, _ h: Int, _ result: inout ScanResult) {
        let (length, heads, headDim, stateDim) = (call.length, call.heads, call.headDim, call.stateDim)
        func number(_ tensor: Tensor<Double>, _ t: Int, _ head: Int, _ i: Int) -> Float {
            let (count, width) = (tensor.shape[2], tensor.shape[3])
            let value = Float(tensor.elements[((row * length + t) * count + head) * width + i])
            return has(.operandsBFloat16) ? bf16(value) : value
        }
        func map(_ count: Int) -> Int { has(.headMapTiled) ? h % count : h / (heads / count) }
        let (bHeads, cHeads) = (call.b.shape[2], call.c.shape[2])
        let bHead = has(.groupZeroOnly) ? 0 : map(bHeads)
        let cHead = has(.groupZeroOnly) ? 0 : map(cHeads)
        func x(_ t: Int, _ p: Int) -> Float { number(call.x, t, map(call.x.shape[2]), p) }
        func b(_ t: Int, _ n: Int) -> Float {
            has(.bcSwapped) ? number(call.c, t, cHead, n) : number(call.b, t, bHead, n)
        }
        func c(_ t: Int, _ n: Int) -> Float {
            has(.bcSwapped) ? number(call.b, t, bHead, n) : number(call.c, t, cHead, n)
        }

        var rate = Float(call.a.elements[h])
        if has(.aBFloat16Log) { rate = -Float.exp(bf16(Float.log(-rate))) }
        if has(.aBFloat16) { rate = bf16(rate) }
        if has(.aTakenAsLog) { rate = -Float.exp(rate) }
        if has(.aNegatedTwice) { rate = -rate }
        if has(.aLogNotExponentiated) { rate = Float.log(-rate) }
        let bias = call.dtBias.map { Float($0.elements[h]) }
        let steps = (0..<length).map { step(Float(call.dt.elements[(row * length + $0) * heads + h]), bias, call) }
        var z = steps.map { $0 * rate }
        if has(.aWithoutDt) { z = z.map { _ in rate } }
        if has(.decayOneTokenLate) { z = [0] + z.dropLast() }
        if has(.decayBFloat16) { z = z.map { Float.log(bf16(Float.exp($0))) } }
        var running: [Float] = []
        for value in z { running.append((running.last ?? 0) + value) }
        /// ln of the decay over tokens first ... last.
        func seg(_ first: Int, _ last: Int) -> Float {
            if first > last { return 0 }
            if has(.longCumulativeSums) { return running[last] - (first > 0 ? running[first - 1] : 0) }
            return z[first...last].reduce(0, +)
        }

        // Where the sequence of each token begins, and which it is.
        var runs = call.runs.filter { $0.row == row }
        if has(.noReset) {
            runs = [
                ScanRun(row: row, tokens: 0..<length, sequence: runs[0].sequence, initialState: runs[0].initialState)
            ]
        }
        let ends = call.runs.filter { $0.row == row }.map { ($0.sequence, $0.tokens.upperBound - 1) }
        let shift = has(.resetLate) ? 1 : has(.resetEarly) ? -1 : 0
        func run(of t: Int) -> ScanRun {
            runs.last { ($0.tokens.lowerBound == 0 ? 0 : $0.tokens.lowerBound + shift) <= t } ?? runs[0]
        }
        func begin(_ t: Int) -> Int {
            let first = run(of: t).tokens.lowerBound
            return first == 0 ? 0 : max(first + shift, 0)
        }
        func initial(_ t: Int) -> [Float] {
            let zero = [Float](repeating: 0, count: headDim * stateDim)
            let own = run(of: t)
            if has(.stateNotCleared), own.initialState == nil {
                return (0..<headDim * stateDim).map { Float(($0 * 7 + h * 3 + own.sequence) % 11) / 8 - 0.5 }
            }
            guard let states = call.initialState, !has(.initialStateIgnored) else { return zero }
            var index = own.initialState
            if has(.initialStateEverySequence) { index = row }
            if has(.initialStateWrongSequence) {
                let perSequence = states.shape[0] == call.sequences && call.sequences > 1
                if perSequence {
                    index = (own.sequence + 1) % call.sequences
                } else {
                    index = own.tokens.upperBound == length ? (runs.count == 1 ? (row + 1) % call.batch : row) : nil
                }
            }
            guard let index else { return zero }
            let first = (index * heads + h) * headDim * stateDim
            return (0..<headDim * stateDim).map { i in
                let place = has(.initialStateTransposed) ? i % stateDim * headDim + i / stateDim : i
                return Float(states.elements[first + place])
            }
        }
        func stored(_ value: Float) -> Float {
            has(.chunkStatesBFloat16) || isNarrow ? bf16(value) : has(.chunkStatesFloat16) ? half(value) : value
        }
        func kept(_ value: Float) -> Float {
            has(.stateBFloat16) ? bf16(value) : has(.stateFloat16) ? half(value) : value
        }
        func xbar(_ s: Int) -> Float { has(.dtNotInX) ? 1 : has(.dtTwiceInX) ? steps[s] * steps[s] : steps[s] }
        /// The state after token `last`, of a chunk that begins at `first` and is entered with
        /// `entering`.
        func state(_ first: Int, _ last: Int, _ entering: [Float]) -> [Float] {
            let start = begin(last)
            let from = max(first, start)
            let base = start >= first ? initial(last) : entering
            var decay = Float.exp(seg(from, last))
            if has(.stateNotDecayed) { decay = 1 }
            if has(.decayFromChunkStart) && start > first { decay = Float.exp(seg(first, last)) }
            var update = [Float](repeating: 0, count: headDim * stateDim)
            for s in from...last {
                let off =
                    has(.chunkStateOffByOne)
                    ? seg(s, last) : has(.chunkStateMissesLast) ? seg(s + 1, last - 1) : seg(s + 1, last)
                let weight = Float.exp(off) * xbar(s)
                for n in 0..<stateDim {
                    let scaled = factor(weight * b(s, n))
                    for p in 0..<headDim { update[p * stateDim + n] += scaled * factor(x(s, p)) }
                }
            }
            return base.indices.map { kept(decay * base[$0] + update[$0]) }
        }

        var entering = initial(0)
        var before = entering
        for first in stride(from: 0, to: length, by: chunk) {
            let chunkEnd = min(first + chunk, length) - 1
            for t in first...chunkEnd {
                let start = begin(t)
                let read = (start >= first ? initial(t) : has(.chunkStateStale) ? before : entering).map(stored)
                var decay = Float.exp(seg(max(first, start), t))
                if has(.readOutOffByOne) { decay = Float.exp(seg(max(first, start), t - 1)) }
                if has(.readOutNotDecayed) { decay = 1 }
                if has(.decayFromChunkStart) && start > first { decay = Float.exp(seg(first, t)) }
                if has(.chunkStateMissing) && first > 0 { decay = 0 }
                for p in 0..<headDim {
                    var y = Float.zero
                    if decay > 0 {
                        for n in 0..<stateDim { y += read[p * stateDim + n] * factor(c(t, n)) }
                        y *= decay
                    }
                    result.y.elements[((row * length + t) * heads + h) * headDim + p] = Double(y)
                }
                for s in max(first, start)...t {
                    if has(.readBeforeUpdate) && s == t { continue }
                    var gram = Float.zero
                    for n in 0..<stateDim { gram += factor(c(t, n)) * factor(b(s, n)) }
                    var exponent = seg(s + 1, t)
                    if has(.maskOffByOne) { exponent = seg(s, t) }
                    if has(.maskMissesOwn) { exponent = seg(s + 1, t - 1) }
                    if has(.readBeforeUpdate) { exponent = seg(s + 1, t - 1) }
                    let weight = factor(Float.exp(exponent) * gram * xbar(s))
                    for p in 0..<headDim {
                        let place = ((row * length + t) * heads + h) * headDim + p
                        result.y.elements[place] = Double(Float(result.y.elements[place]) + weight * factor(x(s, p)))
                    }
                }
                if has(.readBeforeUpdate) {
                    for p in 0..<headDim {
                        var y = Float.zero
                        for n in 0..<stateDim { y += read[p * stateDim + n] * c(t, n) }
                        let now = Float.exp(seg(max(first, start), t))
                        let then = Float.exp(seg(max(first, start), t - 1))
                        let place = ((row * length + t) * heads + h) * headDim + p
                        result.y.elements[place] += Double((then - now) * y)
                    }
                }
                if let (sequence, _) = ends.first(where: { $0.1 == t }) {
                    var left = state(first, t, entering)
                    let start = begin(t)
                    let held = start >= first ? initial(t) : entering
                    if has(.stateTakenEarly) { left = t > max(first, start) ? state(first, t - 1, entering) : held }
                    if has(.stateTakenAtChunk), (t + 1) % chunk != 0 { left = held }
                    if has(.stateTakenLate), t + 1 < length {
                        let decay = Float.exp(z[t + 1])
                        for i in left.indices {
                            left[i] = decay * left[i] + steps[t + 1] * x(t + 1, i / stateDim) * b(t + 1, i % stateDim)
                        }
                    }
                    store(call, left, sequence, row, h, steps, rate, bias, t, entering, &result)
                }
            }
            before = entering
            entering = state(first, chunkEnd, entering)
        }
        finish(call, row, h, steps, x, &result)
    }

    private func store(
        _ call: ScanCall, _ found: [Float], _ sequence: Int, _ row: Int, _ h: Int, _ steps: [Float], _ rate: Float,
        _ bias: Float?, _ t: Int, _ entering: [Float], _ result: inout ScanResult
    ) {
        var state = found
        let partial = call.length % chunk
        if t + 1 == call.length && partial != 0 {
            if has(.lastChunkDropped) { state = entering }
            if has(.padding) {
                for _ in partial..<chunk { state = state.map { $0 * Float.exp(step(0, bias, call) * rate) } }
            }
        }
        let size = call.headDim * call.stateDim
        let isFirst = call.runs.first { $0.row == row }?.sequence == sequence
        for i in 0..<size {
            let place = has(.stateTransposed) ? i % call.stateDim * call.headDim + i / call.stateDim : i
            result.sequenceStates.elements[(sequence * call.heads + h) * size + i] = Double(state[place])
            if isFirst || !has(.finalStateOfFirst) {
                result.finalState.elements[(row * call.heads + h) * size + i] = Double(state[place])
            }
        }
    }
}
