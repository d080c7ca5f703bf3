//  One head on its way along one row of a faulty scan: the tokens of a chunk, the end of a chunk,
//  the states that are kept.
//
//      inside a chunk   T_t = a_t T_{t-1} + x̄_t B_tᵀ,   T = 0 before its first token
//      read out         y_t = T_t C_t + exp(ℓ_t) H C_t
//      between chunks   H <- exp(ℓ_end) H + T_end

import DualityCore
import DualityNumerics
import DualityReference

/// One head on its way along one row.
struct ScanWalk {
    let scan: FaultyScan
    let row: Int
    let head: Int
    let start: Int
    let headDim: Int
    let stateDim: Int
    /// z = ln a, `[L]` over the tokens of the row.
    let logDecay: [Double]
    /// x̄, `[tokens, P]`; B and C, `[tokens, N]`; rows counted from `start`.
    let x: [Double]
    let b: [Double]
    let c: [Double]
    /// Factors of x̄ that enter the weights of narrow products: the steps, `[tokens]`.
    let steps: [Double]
    let raw: [Double]
    /// What the last chunk is padded with decays by, in all.
    let paddingDecay: Double

    /// `[tokens, P]`
    var y: [Double]
    /// H and T, `[P, N]`.
    var entering: [Double]
    var own: [Double]
    /// T as the mask sees it, and as the chunk's state takes it; empty where they are T.
    var masked: [Double] = []
    var passed: [Double] = []
    /// The entering state as it is read.
    var read: [Double]
    /// ln of the decay since H was set, and up to the token before.
    var sum = 0.0
    var sumBefore = 0.0
    /// The float32 sum of the decays of all chunks so far, for a fault.
    var chunkSums = Float.zero
    /// The extra decay of a sequence that begins inside a chunk, for a fault.
    var lead = 0.0

    init(_ scan: FaultyScan, row: Int, tokens: Range<Int>, head: Int, steps: Tensor<Double>) {
        let call = scan.call
        self.scan = scan
        self.row = row
        self.head = head
        start = tokens.lowerBound
        (headDim, stateDim) = (call.headDim, call.stateDim)
        func magnitudes(_ values: [Double]) -> [Double] {
            scan.sumsMagnitudes ? values.map(\.magnitude) : values
        }
        func rows(_ tensor: Tensor<Double>, _ head: Int) -> [Double] {
            let (heads, width) = (tensor.shape[2], tensor.shape[3])
            var rows: [Double] = []
            rows.reserveCapacity(tokens.count * width)
            for t in tokens {
                let first = ((row * call.length + t) * heads + head) * width
                rows.append(contentsOf: tensor.elements[first..<first + width])
            }
            return magnitudes(rows)
        }
        let step = (0..<call.length).map { steps.elements[(row * call.length + $0) * call.heads + head] }
        logDecay = scan.logDecays(of: step, rate: call.a.elements[head])
        self.steps = Array(step[tokens])
        raw = rows(call.x, call.xMap[head])
        var x = raw
        let power = scan.has(.dtNotInX) ? 0 : scan.has(.dtTwiceInX) ? 2 : 1
        for i in x.indices {
            for _ in 0..<power { x[i] *= self.steps[i / call.headDim] }
        }
        self.x = magnitudes(x)
        b = rows(call.b, call.bMap[head])
        c = rows(call.c, call.cMap[head])
        y = [Double](repeating: 0, count: x.count)
        let zero = [Double](repeating: 0, count: call.headDim * call.stateDim)
        (entering, own, read) = (zero, zero, zero)
        if scan.has(.maskOffByOne) || scan.has(.maskMissesOwn) { masked = zero }
        if scan.has(.chunkStateOffByOne) || scan.has(.chunkStateMissesLast) { passed = zero }
        let missing = (scan.chunkSize - call.length % scan.chunkSize) % scan.chunkSize
        paddingDecay =
            scan.has(.padding) ? Double(missing) * scan.paddingStep(head: head) * call.a.elements[head] : 0
    }

    /// Begins a sequence.
    mutating func enter(_ initialState: Int?) {
        let size = headDim * stateDim
        if let initialState, let states = scan.call.initialState {
            let first = (initialState * scan.call.heads + head) * size
            entering = Array(states.elements[first..<first + size])
            if scan.sumsMagnitudes { entering = entering.map(\.magnitude) }
        }
        let chunkStart = start - start % scan.chunkSize
        if scan.has(.decayFromChunkStart) { lead = logDecay[chunkStart..<start].reduce(0, +) }
        read = stored(entering)
    }

    /// The entering state as a chunk reads it.
    private func stored(_ state: [Double]) -> [Double] {
        let format: NumberFormat? =
            scan.has(.chunkStatesBFloat16) ? .bf16 : scan.has(.chunkStatesFloat16) ? .f16 : nil
        guard let format else { return state }
        return state.map { format.round($0) }
    }

    private var stateFormat: NumberFormat? {
        scan.has(.stateBFloat16) ? .bf16 : scan.has(.stateFloat16) ? .f16 : nil
    }

    /// Moves over some tokens.
    mutating func scan(_ tokens: Range<Int>) {
        if let format = stateFormat, scan.variant < 2 { return step(tokens, format) }
        if scan.productFormat != nil { return multiply(tokens) }
        for t in tokens {
            token(t)
            if (t + 1) % scan.chunkSize == 0 { pass(after: t) }
        }
    }

    /// Token by token with a rounded state.
    private mutating func step(_ tokens: Range<Int>, _ format: NumberFormat) {
        for t in tokens {
            let (decay, i) = (Double.exp(logDecay[t]), t - start)
            for p in 0..<headDim {
                var total = 0.0
                for n in 0..<stateDim {
                    let place = p * stateDim + n
                    let next = decay * entering[place] + x[i * headDim + p] * b[i * stateDim + n]
                    let kept = format.round(next)
                    total += (scan.variant == 0 ? next : kept) * c[i * stateDim + n]
                    entering[place] = kept
                }
                y[i * headDim + p] = total
            }
        }
    }

    /// One token of a chunk.
    private mutating func token(_ t: Int) {
        let (decay, i) = (Double.exp(logDecay[t]), t - start)
        sumBefore = sum
        sum += logDecay[t]
        let exponent = scan.has(.readOutOffByOne) ? sumBefore : sum
        var weight = scan.has(.readOutNotDecayed) ? 1 : Double.exp(exponent + lead)
        if scan.has(.chunkStateMissing) && t >= scan.chunkSize { weight = 0 }
        let late = scan.has(.readBeforeUpdate)
        let width = stateDim
        let (offByOne, missesOwn) = (scan.has(.maskOffByOne), scan.has(.maskMissesOwn))
        let (passesOffByOne, passesLast) = (scan.has(.chunkStateOffByOne), scan.has(.chunkStateMissesLast))
        for p in 0..<headDim {
            let input = x[i * headDim + p]
            if late { y[i * headDim + p] = dot(own, p, c, i, count: width) + weight * dot(read, p, c, i, count: width) }
            let undecayed = missesOwn ? dot(own, p, c, i, count: width) : 0
            if passesLast {
                for n in 0..<width { passed[p * width + n] = own[p * width + n] + input * b[i * width + n] }
            }
            update(&own, p, decay: decay, input: input, b, i, count: width)
            if passesOffByOne { update(&passed, p, decay: decay, input: decay * input, b, i, count: width) }
            if late { continue }
            var inside: Double
            if offByOne {
                update(&masked, p, decay: decay, input: decay * input, b, i, count: width)
                inside = dot(masked, p, c, i, count: width)
            } else {
                inside = dot(own, p, c, i, count: width)
                if missesOwn { inside += (1 - decay) * undecayed }
            }
            y[i * headDim + p] = inside + (weight == 0 ? 0 : weight * dot(read, p, c, i, count: width))
        }
    }

    /// The end of a chunk.
    private mutating func pass(after t: Int) {
        let before = entering
        entering = state
        read = stored(scan.has(.chunkStateStale) ? before : entering)
        chunkSums += Float(sum)
        (sum, sumBefore, lead) = (0, 0, 0)
        for i in own.indices { own[i] = 0 }
        for i in masked.indices { masked[i] = 0 }
        for i in passed.indices { passed[i] = 0 }
    }

    /// The state after the last token.
    var state: [Double] {
        var exponent = sum + lead
        if scan.has(.longCumulativeSums) && scan.variant == 2 {
            // Between chunks, as the difference of two sums over all of them.
            exponent = Double(chunkSums + Float(sum)) - Double(chunkSums)
        }
        let decay = scan.has(.stateNotDecayed) ? 1 : Double.exp(exponent)
        let update = passed.isEmpty ? own : passed
        let state = entering.indices.map { decay * entering[$0] + update[$0] }
        guard let format = stateFormat else { return state }
        return state.map { format.round($0) }
    }
}

/// `state[n] = decay state[n] + input b[n]` over one row of a state.
@inline(__always)
private func update(
    _ state: inout [Double], _ row: Int, decay: Double, input: Double, _ b: [Double], _ token: Int, count: Int
) {
    state.withUnsafeMutableBufferPointer { state in
        b.withUnsafeBufferPointer { b in
            for n in 0..<count {
                state[row * count + n] = decay * state[row * count + n] + input * b[token * count + n]
            }
        }
    }
}

/// Sum over n of `state[n] c[n]` over one row of a state.
@inline(__always)
private func dot(_ state: [Double], _ row: Int, _ c: [Double], _ token: Int, count: Int) -> Double {
    state.withUnsafeBufferPointer { state in
        c.withUnsafeBufferPointer { c in
            var sums = (0.0, 0.0, 0.0, 0.0)
            let (s, v) = (row * count, token * count)
            var n = 0
            while n + 4 <= count {
                sums.0 += state[s + n] * c[v + n]
                sums.1 += state[s + n + 1] * c[v + n + 1]
                sums.2 += state[s + n + 2] * c[v + n + 2]
                sums.3 += state[s + n + 3] * c[v + n + 3]
                n += 4
            }
            while n < count {
                sums.0 += state[s + n] * c[v + n]
                n += 1
            }
            return (sums.0 + sums.1) + (sums.2 + sums.3)
        }
    }
}
