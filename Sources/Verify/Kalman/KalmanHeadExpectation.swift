//  What is expected of one head of Gated KalmaNet.

import DualityCore
import DualityNumerics
import DualityReference

extension KalmanOperands<Double>: FamilyOperands {
    var gates: Tensor<Double>? { logDecay }
}

struct KalmanHeadExpectation: FamilyHead {
    private(set) var outputs: [FamilyNumbers]
    /// The largest condition of G + λ I behind a sequence.
    private(set) var condition = 0.0
    private(set) var arithmetic = KalmanArithmetic(.f32, form: .recurrent)

    init(_ operands: KalmanOperands<Double>, _ h: Int, isWide: Bool) {
        outputs = [
            FamilyNumbers("o", width: operands.valueDim, headAxis: 2),
            FamilyNumbers("final_gram", width: operands.keyDim, headAxis: 1),
            FamilyNumbers("final_memory", width: operands.valueDim, headAxis: 1),
        ]
        for i in outputs.indices { outputs[i].judgesUnbounded = false }
        let head = operands.head(h)
        let wide = isWide ? operands.converted(to: DoubleDouble.self).head(h) : nil
        for (s, tokens) in operands.sequences.enumerated() {
            var state = operands.entering(s, h)
            var o: [Double]
            if let wide {
                var precise = KalmanState(
                    gram: state.gram.map { DoubleDouble($0) }, memory: state.memory.map { DoubleDouble($0) })
                o = wide.evaluate(.recurrent, tokens, state: &precise).map(\.double)
                state = KalmanState(gram: precise.gram.map(\.double), memory: precise.memory.map(\.double))
            } else {
                o = head.evaluate(.recurrent, tokens, state: &state)
            }
            for (i, numbers) in [o, state.gram, state.memory].enumerated() { outputs[i].exact += numbers }
            guard !tokens.isEmpty else { continue }
            let own = KalmanBound.condition(of: state.gram, operands.keyDim, ridge: operands.ridge)
            condition = max(condition, own)
        }
    }

    mutating func add(_ operands: KalmanOperands<Double>, _ h: Int, _ arithmetic: KalmanArithmetic) {
        self.arithmetic = arithmetic
        let head = operands.head(h)
        let (normalizes, gates) = (operands.epsilon != nil, operands.beta != nil)
        var bounds = KalmanBound(head, arithmetic, normalizes: normalizes, gates: gates)
        for (s, tokens) in operands.sequences.enumerated() {
            let sizes = bounds.sizes(tokens, state: operands.entering(s, h))
            for (i, bound) in [sizes.o, sizes.state.gram, sizes.state.memory].enumerated() {
                outputs[i].bound += bound
            }
        }
        let products = Double(operands.q.count) * Double(operands.keyDim) * Double(operands.iterations)
        let runs = FamilyLimits.seeds(h, isLarge: products > FamilyLimits.manyProducts).map { seed in
            var walk = KalmanWalk(head, arithmetic, normalizes: normalizes, gates: gates, seed: seed)
            var run = [[Double]](repeating: [], count: 3)
            for (s, tokens) in operands.sequences.enumerated() {
                let (o, state) = walk.run(tokens, state: operands.entering(s, h))
                for (i, numbers) in [o, state.gram, state.memory].enumerated() { run[i] += numbers }
            }
            return run
        }
        let floor = arithmetic.accumulate.smallestNormal
        for i in outputs.indices { outputs[i].sample(runs.map { $0[i] }, floor: floor) }
    }
}
