//  One head of Gated KalmaNet token by token in float64, with one fault. Faults of chunks are told
//  by what they make of a token: G_i is e_i G_c + Σ e_ij k_j k_jᵀ, so that a decay that is missing
//  across chunks, say, adds (1 - e_i) G_c.

import DualityCore
import DualityNumerics
import DualityReference

struct FaultyKalmanHead {
    let head: KalmanHead<Double>
    let fault: KalmanFault
    let chunkSize: Int

    /// What a chunk remembers of its beginning.
    private struct Chunk {
        var entering: KalmanState<Double>
        /// What the tokens of the chunk have written, without decays.
        var written: KalmanState<Double>
        /// e^ℓ_i of each state.
        var (gram, memory) = (1.0, 1.0)

        init(_ state: KalmanState<Double>) {
            entering = state
            written = KalmanState(gram: state.gram.map { _ in 0 }, memory: state.memory.map { _ in 0 })
        }
    }

    /// - Returns: the final states as they are written.
    func run(_ tokens: Range<Int>, _ state: inout KalmanState<Double>, _ rows: inout [Double]) -> KalmanState<Double> {
        var (before, chunk) = (state, Chunk(state))
        for (i, t) in tokens.enumerated() {
            if i % chunkSize == 0 {
                if i > 0 { state = left(state, chunk) }
                if i > 0, fault == .chunkStateLost {
                    state = KalmanState(gram: state.gram.map { _ in 0 }, memory: state.memory.map { _ in 0 })
                }
                chunk = Chunk(state)
            }
            before = state
            advance(t, &state, &chunk)
            var seen = seen(state, chunk)
            let norms = (before: Self.norm(before.gram), now: norm(seen.gram, chunk))
            var solved = seen.gram
            if fault == .solvedBeforeUpdate || fault == .outputBeforeUpdate { solved = before.gram }
            if fault == .readBeforeUpdate || fault == .outputBeforeUpdate { seen.memory = before.memory }
            let norm =
                fault == .normBeforeUpdate || fault == .solvedBeforeUpdate || fault == .outputBeforeUpdate
                ? norms.before : norms.now
            read(t, gram: solved, norm: norm, memory: seen.memory, rows: &rows, row: i)
            store(&state)
        }
        if !tokens.isEmpty { state = left(state, chunk) }
        return fault == .finalStateMissesLast ? before : state
    }

    static func norm(_ gram: [Double]) -> Double { gram.reduce(0) { $0 + $1 * $1 }.squareRoot() }

    private func advance(_ t: Int, _ state: inout KalmanState<Double>, _ chunk: inout Chunk) {
        let decay = Double.exp(head.logDecay[t])
        let ofGram = head.decaysGram ? decay : 1
        let ofMemory = fault == .decayOfMemoryMissing ? 1 : decay
        let gate = head.gate[t]
        let (ofKey, ofValue): (Double, Double) =
            switch fault {
            case .betaOnKeysAlone: (gate, 1)
            case .betaOnValuesAlone: (1, gate)
            // Half of it on either side of both products.
            case .betaOnce: (gate.magnitude.squareRoot(), gate.magnitude.squareRoot())
            default: (gate, gate)
            }
        let key = (0..<head.keyDim).map { ofKey * head.k[t * head.keyDim + $0] }
        let value = (0..<head.valueDim).map { ofValue * head.v[t * head.valueDim + $0] }
        let decaysLater = fault == .decayAfterUpdate
        func move(_ state: inout [Double], _ written: inout [Double], _ decay: Double, _ b: [Double]) {
            for i in key.indices {
                for j in b.indices {
                    let (place, product) = (i * b.count + j, key[i] * b[j])
                    state[place] = decaysLater ? decay * (state[place] + product) : decay * state[place] + product
                    written[place] += product
                }
            }
        }
        move(&state.memory, &chunk.written.memory, ofMemory, value)
        if head.iterations > 0 { move(&state.gram, &chunk.written.gram, ofGram, key) }
        (chunk.gram, chunk.memory) = (chunk.gram * ofGram, chunk.memory * ofMemory)
    }

    /// The states as the token sees them.
    private func seen(_ state: KalmanState<Double>, _ chunk: Chunk) -> KalmanState<Double> {
        func sum(_ state: [Double], _ entering: [Double], _ written: [Double], _ decay: Double) -> [Double] {
            switch fault {
            case .crossDecayMissing: state.indices.map { state[$0] + (1 - decay) * entering[$0] }
            case .insideDecayMissing: state.indices.map { decay * entering[$0] + written[$0] }
            default: state
            }
        }
        return both(state, chunk, sum)
    }

    /// The states behind a chunk.
    private func left(_ state: KalmanState<Double>, _ chunk: Chunk) -> KalmanState<Double> {
        func sum(_ state: [Double], _ entering: [Double], _ written: [Double], _ decay: Double) -> [Double] {
            switch fault {
            case .chunkStateUndecayed: state.indices.map { state[$0] + (1 - decay) * entering[$0] }
            case .keysNotDecayed: state.indices.map { decay * entering[$0] + written[$0] }
            case .chunkStateBFloat16: state.map { NumberFormat.bf16.round($0) }
            default: state
            }
        }
        return both(state, chunk, sum)
    }

    private func both(
        _ state: KalmanState<Double>, _ chunk: Chunk, _ sum: ([Double], [Double], [Double], Double) -> [Double]
    ) -> KalmanState<Double> {
        let gram =
            head.iterations > 0 ? sum(state.gram, chunk.entering.gram, chunk.written.gram, chunk.gram) : state.gram
        return KalmanState(
            gram: gram, memory: sum(state.memory, chunk.entering.memory, chunk.written.memory, chunk.memory))
    }

    private func norm(_ gram: [Double], _ chunk: Chunk) -> Double {
        let norm = Self.norm(gram)
        switch fault {
        case .normSquared: return norm * norm
        case .normOfChunkStart: return Self.norm(chunk.entering.gram)
        case .normCrossTermMissing, .normCrossTermOnce:
            var cross = 0.0
            for i in gram.indices {
                let entering = chunk.gram * chunk.entering.gram[i]
                cross += entering * (gram[i] - entering)
            }
            let left = norm * norm - (fault == .normCrossTermOnce ? 1 : 2) * cross
            return max(left, 0).squareRoot()
        default: return norm
        }
    }

    private func store(_ state: inout KalmanState<Double>) {
        func round(_ state: inout [Double], _ format: NumberFormat) {
            for i in state.indices { state[i] = format.round(state[i]) }
        }
        switch fault {
        case .stateBFloat16, .stateFloat16:
            round(&state.gram, fault == .stateBFloat16 ? .bf16 : .f16)
            round(&state.memory, fault == .stateBFloat16 ? .bf16 : .f16)
        case .gramBFloat16: round(&state.gram, .bf16)
        case .memoryBFloat16: round(&state.memory, .bf16)
        default: break
        }
    }

    private func read(
        _ t: Int, gram: [Double], norm: Double, memory: [Double], rows: inout [Double], row: Int
    ) {
        let (keys, values) = (head.keyDim, head.valueDim)
        let query = Array(head.q[t * keys..<(t + 1) * keys])
        var y = query
        if head.iterations > 0 {
            let solver = FaultySolver(
                gram: gram, norm: norm, ridge: head.ridge, iterations: head.iterations, fault: fault)
            var x = solver.solve(query)
            if fault == .solutionBFloat16 { x = x.map { NumberFormat.bf16.round($0) } }
            let alpha = head.alpha[t]
            y = query.indices.map { i in
                switch fault {
                case .alphaReversed: x[i] + alpha * (query[i] - x[i])
                case .alphaAdded: query[i] + alpha * x[i]
                default: query[i] + alpha * (x[i] - query[i])
                }
            }
        }
        for m in 0..<keys {
            let factor = head.scale * y[m]
            for j in 0..<values {
                rows[row * values + j] +=
                    factor * (fault == .memoryTransposed ? memory[j * values + m] : memory[m * values + j])
            }
        }
    }
}
