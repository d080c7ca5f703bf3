//  A backward pass as a kernel runs it, with its roundings. fl is a rounding to the format of
//  matrix products.
//
//      chunked, from the last chunk to the first; Φ the gradient of the state that leaves the chunk, H the state that enters it
//      leaving state   ∂x̄_s = e_s fl(Φ) fl(B_s)              ∂B_s = e_s fl(Φ)ᵀ fl(x_s) Δ_s               e_s = exp(seg(end, s))
//      read-out        ∂C_t = exp(seg(t, 0)) fl(H)ᵀ fl(g_t)   Φ   <- exp(seg(end, 0)) Φ + sum of fl(g_t) fl(exp(seg(t, 0)) C_t)ᵀ
//      pairs           ∂x̄_s += fl(L K) fl(g_t)                K = fl(C)·fl(B)
//                      ∂B_s += fl(L X Δ_s) fl(C_t), ∂C_t += fl(L X Δ_s) fl(B_s)                          X = fl(g)·fl(x)
//
//  Φ and H are rounded to the format of chunk states before they are operands. The gradient of the
//  log decay of a token is the sum of the terms that reach across it or, where decays are
//  differences of running sums, the sum over the rest of the chunk of what enters minus what leaves
//  (docs/numerics.md, section 7).
//
//  The recurrent form keeps its states in their format, and R in that of sums. Source:
//  state-spaces/mamba, ops/triton/ssd_combined.py, `_mamba_chunk_scan_combined_bwd`, of which this
//  has the roundings and not the kernels.

import DualityCore
import DualityReference

extension KernelArithmetic {
    /// The gradients as a backward pass of this arithmetic gives them. Like `emulate`, it does not
    /// imitate `exponential` and `subnormals`.
    ///
    /// - Parameters:
    ///   - exact: the exact operands; they are rounded here, where the arithmetic says so.
    ///   - upstream: the exact upstream gradients, read as x is and, those of states, as states
    ///     are.
    /// - Returns: the kernel's numbers, widened: those of x, dt, B, C and z in the format of
    ///   inputs, of D and the bias in that of parameters.
    /// - Throws: `InputError` when dt, dtBias or A overflow their formats, or an upstream gradient
    ///   has the wrong shape.
    /// - Complexity: O(B H L Q (P + N)), about ten times slower than `SSDForm.gradients`.
    public func emulateGradients(
        _ exact: SSDInputs<Double>, upstream: SSDUpstream<Double>
    ) throws(InputError) -> SSDGradients<Double> {
        try upstream.check(exact)
        if accumulate == .f64 { return try emulateGradients(exact, upstream, in: Double.self) }
        return try emulateGradients(exact, upstream, in: Float.self)
    }

    private func emulateGradients<Scalar: RealNumber>(
        _ exact: SSDInputs<Double>, _ upstream: SSDUpstream<Double>, in scalar: Scalar.Type
    ) throws(InputError) -> SSDGradients<Double> {
        let inputs: SSDInputs<Scalar> = try rounded(exact).converted()
        let steps = effectiveSteps(of: inputs)
        let pull = SSDUpstream<Scalar>(
            y: upstream.y?.map { Scalar(self.inputs.round($0)) },
            finalState: upstream.finalState?.map { Scalar(state.round($0)) },
            sequenceStates: upstream.sequenceStates?.map { Scalar(state.round($0)) })
        let found = try ssdGradients(of: inputs, steps: steps, upstream: pull) {
            scanned(inputs, steps).y
        } ofHead: { run, head, g, finalState in
            let sequence = EmulatedSequence(inputs, steps: steps, run: run, head: head, arithmetic: self)
            return chunkSize.map { sequence.chunkedGradients(size: $0, g, finalState) }
                ?? sequence.recurrentGradients(g, finalState)
        }
        func stored(_ tensor: Tensor<Scalar>, _ format: NumberFormat) -> Tensor<Double> {
            round(tensor, to: format).converted()
        }
        var result = SSDGradients<Double>(zeroLike: exact)
        result.x = stored(found.x, self.inputs)
        result.dt = stored(found.dt, self.inputs)
        result.a = found.a.converted()
        result.b = stored(found.b, self.inputs)
        result.c = stored(found.c, self.inputs)
        result.d = found.d.map { stored($0, parameters) }
        result.z = found.z.map { stored($0, self.inputs) }
        result.dtBias = found.dtBias.map { stored($0, parameters) }
        result.initialState = found.initialState.converted()
        return result
    }
}

extension EmulatedSequence {
    fileprivate func recurrentGradients(_ g: [Scalar], _ finalState: [Scalar]) -> HeadGradients<Scalar> {
        let size = headDim * stateDim
        var states = [initialState]  // as they are stored
        var read: [[Scalar]] = []  // as they are read, before that
        for t in 0..<length {
            let decay = Scalar.exp(logDecay[t])
            let next = (0..<size).map { i in
                let input = factor[t] * x[t * headDim + i / stateDim]
                return decay * states[t][i] + input * b[t * stateDim + i % stateDim]
            }
            read.append(next)
            states.append(next.map { arithmetic.round($0, to: arithmetic.state) })
        }
        var result = emptyGradients(finalState)
        var decayAfter = Scalar(1)
        for t in (0..<length).reversed() {
            let decay = Scalar.exp(logDecay[t])
            var crossing = Scalar.zero
            for i in 0..<size {
                let (p, n) = (t * headDim + i / stateDim, t * stateDim + i % stateDim)
                let r = decayAfter * result.initialState[i] + g[p] * c[n]
                result.initialState[i] = r
                result.x[p] += r * b[n]
                result.b[n] += factor[t] * x[p] * r
                result.c[n] += g[p] * read[t][i]
                crossing += r * states[t][i]
            }
            result.logDecay[t] = decay * crossing
            decayAfter = decay
        }
        for i in 0..<size { result.initialState[i] *= decayAfter }
        return result
    }

    private func emptyGradients(_ finalState: [Scalar]) -> HeadGradients<Scalar> {
        func zeros(_ count: Int) -> [Scalar] { [Scalar](repeating: .zero, count: count) }
        return HeadGradients(
            x: zeros(x.count), b: zeros(b.count), c: zeros(c.count), logDecay: zeros(length),
            initialState: finalState)
    }

    fileprivate func chunkedGradients(size: Int, _ g: [Scalar], _ finalState: [Scalar]) -> HeadGradients<Scalar> {
        let factors = MatrixFactors(x: x.map(asFactor), b: b.map(asFactor), c: c.map(asFactor))
        let pull = g.map(asFactor)
        var (chunks, entering): ([Range<Int>], [[Scalar]]) = ([], [])
        var (first, state) = (0, initialState)
        while first < length {
            let chunk = first..<first + min(size - (start + first) % size, length - first)
            chunks.append(chunk)
            entering.append(state)
            state = passed(state, over: chunk, runningSums(over: chunk), factors)
            first = chunk.upperBound
        }
        var result = emptyGradients(finalState)
        for (chunk, state) in zip(chunks, entering).reversed() {
            let decays = ChunkDecayTable(self, over: chunk)
            // What each token's decays pull on, as a sum of pairs: from the first of them to the
            // last.
            var reach = DecayPulls<Scalar>(count: chunk.count)
            addPairs(over: chunk, decays, factors, g, pull, reach: &reach, to: &result)
            passBack(from: state, over: chunk, decays, factors, g, pull, reach: &reach, to: &result)
            let pulls = arithmetic.decaySums == .segments ? reach.acrossTokens : reach.differences
            for (i, t) in chunk.enumerated() { result.logDecay[t] += pulls[i] }
        }
        return result
    }

    private func addPairs(
        over chunk: Range<Int>, _ decays: ChunkDecayTable<Scalar>, _ factors: MatrixFactors, _ g: [Scalar],
        _ pull: [Scalar], reach: inout DecayPulls<Scalar>, to result: inout HeadGradients<Scalar>
    ) {
        for (i, t) in chunk.enumerated() {
            for (j, s) in chunk.enumerated().prefix(i + 1) {
                var (gram, outer) = (Scalar.zero, Scalar.zero)
                for n in 0..<stateDim { gram += factors.c[t * stateDim + n] * factors.b[s * stateDim + n] }
                for p in 0..<headDim { outer += pull[t * headDim + p] * factors.x[s * headDim + p] }
                let decay = decays.between(j, i)
                let inner = asFactor(gram * decay)
                let weight = asFactor(outer * decay * factor[s])
                for p in 0..<headDim { result.x[s * headDim + p] += inner * pull[t * headDim + p] }
                for n in 0..<stateDim {
                    result.b[s * stateDim + n] += weight * factors.c[t * stateDim + n]
                    result.c[t * stateDim + n] += weight * factors.b[s * stateDim + n]
                }
                reach.add(gram * outer * decay * factor[s], from: j + 1, to: i)
            }
        }
    }

    /// Φ from one end of the chunk to the other, and what it and the entering state give.
    private func passBack(
        from state: [Scalar], over chunk: Range<Int>, _ decays: ChunkDecayTable<Scalar>, _ factors: MatrixFactors,
        _ g: [Scalar], _ pull: [Scalar], reach: inout DecayPulls<Scalar>, to result: inout HeadGradients<Scalar>
    ) {
        func operand(_ value: Scalar) -> Scalar { asFactor(arithmetic.round(value, to: arithmetic.chunkStates)) }
        let (leaving, entering) = (result.initialState.map(operand), state.map(operand))
        let kept = decays.fromStart(chunk.count - 1)
        var crossing = Scalar.zero
        for i in leaving.indices { crossing += result.initialState[i] * state[i] }
        reach.add(kept * crossing, from: 0, to: chunk.count - 1)
        var next = result.initialState.map { kept * $0 }
        for (i, t) in chunk.enumerated() {
            let (toEnd, fromStart) = (decays.between(i, chunk.count - 1), decays.fromStart(i))
            var (stored, readOut) = (Scalar.zero, Scalar.zero)
            for p in 0..<headDim {
                var sum = Scalar.zero
                for n in 0..<stateDim { sum += leaving[p * stateDim + n] * factors.b[t * stateDim + n] }
                result.x[t * headDim + p] += toEnd * sum
                stored += x[t * headDim + p] * sum
            }
            for n in 0..<stateDim {
                var (ofB, ofC) = (Scalar.zero, Scalar.zero)
                let scaled = asFactor(fromStart * factors.c[t * stateDim + n])
                for p in 0..<headDim {
                    ofB += leaving[p * stateDim + n] * factors.x[t * headDim + p]
                    ofC += entering[p * stateDim + n] * pull[t * headDim + p]
                    next[p * stateDim + n] += pull[t * headDim + p] * scaled
                }
                result.b[t * stateDim + n] += toEnd * factor[t] * ofB
                result.c[t * stateDim + n] += fromStart * ofC
                readOut += c[t * stateDim + n] * ofC
            }
            reach.add(toEnd * factor[t] * stored, from: i + 1, to: chunk.count - 1)
            reach.add(fromStart * readOut, from: 0, to: i)
        }
        result.initialState = next
    }
}

/// The decays between the tokens of a chunk, by whichever sum the kernel takes.
private struct ChunkDecayTable<Scalar: RealNumber> {
    private let sequence: EmulatedSequence<Scalar>
    private let chunk: Range<Int>
    private let sums: [Scalar]
    private let segments: [Scalar]  // from j + 1 to i, `[i, j]`
    private let fromFirst: [Scalar]  // from the chunk's first token to i

    init(_ sequence: EmulatedSequence<Scalar>, over chunk: Range<Int>) {
        self.sequence = sequence
        self.chunk = chunk
        sums = sequence.runningSums(over: chunk)
        let count = chunk.count
        var segments = [Scalar](repeating: .zero, count: count * count)
        var fromFirst = [Scalar](repeating: .zero, count: count)
        for i in 0..<count {
            var sum = Scalar.zero
            for j in (0...i).reversed() {
                segments[i * count + j] = sum
                sum += sequence.logDecay[chunk.lowerBound + j]
            }
            fromFirst[i] = sum
        }
        (self.segments, self.fromFirst) = (segments, fromFirst)
    }

    /// From after token `j` up to and with token `i`.
    func between(_ j: Int, _ i: Int) -> Scalar {
        i == j ? 1 : .exp(sequence.logDecay(segment: segments[i * chunk.count + j], sums[j], sums[i]))
    }

    /// Of the state that entered, up to and with token `i`.
    func fromStart(_ i: Int) -> Scalar {
        .exp(sequence.logDecay(segment: fromFirst[i], chunk.lowerBound == 0 ? sequence.lead : .zero, sums[i]))
    }
}

/// Terms of the loss by the tokens whose decays they contain.
private struct DecayPulls<Scalar: RealNumber> {
    /// For each token the terms that contain it, each added by itself.
    private(set) var acrossTokens: [Scalar]
    /// For each token the terms that end there, and those that begin after it.
    private var ending: [Scalar]
    private var beginning: [Scalar]

    init(count: Int) {
        acrossTokens = [Scalar](repeating: .zero, count: count)
        ending = acrossTokens
        beginning = acrossTokens
    }

    /// A term with the decays of tokens `first ... last`; none where `first` is after `last`, the
    /// diagonal of the pairs.
    mutating func add(_ term: Scalar, from first: Int, to last: Int) {
        ending[last] += term
        if first > 0 { beginning[first - 1] += term }
        if first <= last { for t in first...last { acrossTokens[t] += term } }
    }

    /// The same by way of the running sums: over the rest of the chunk, what ends minus what
    /// begins.
    var differences: [Scalar] {
        var sum = Scalar.zero
        return zip(ending, beginning).reversed().map { ending, beginning in
            sum += ending - beginning
            return sum
        }.reversed()
    }
}
