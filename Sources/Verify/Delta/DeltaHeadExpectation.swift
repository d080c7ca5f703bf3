//  What is expected of one head of the gated delta rule.

import DualityCore
import DualityNumerics
import DualityReference

extension DeltaOperands<Double>: FamilyOperands {
    var tokens: Int { v.shape[0] }
    var gates: Tensor<Double>? { logDecay }
}

struct DeltaHeadExpectation: FamilyHead {
    private(set) var outputs: [FamilyNumbers]
    private(set) var growth = 1.0
    private(set) var arithmetic = DeltaArithmetic(.f32, form: .recurrent)

    init(_ operands: DeltaOperands<Double>, _ h: Int, isWide: Bool) {
        outputs = [
            FamilyNumbers("o", width: operands.valueDim, headAxis: 2),
            FamilyNumbers("final_state", width: operands.valueDim, headAxis: 1),
        ]
        let head = operands.head(h)
        let wide = isWide ? operands.converted(to: DoubleDouble.self).head(h) : nil
        for (s, tokens) in operands.sequences.enumerated() {
            var state = operands.entering(s, h)
            if let wide {
                var precise = state.map { DoubleDouble($0) }
                outputs[0].exact += wide.evaluate(.recurrent, tokens, state: &precise).map(\.double)
                state = precise.map(\.double)
            } else {
                outputs[0].exact += head.evaluate(.recurrent, tokens, state: &state)
            }
            outputs[1].exact += state
        }
    }

    mutating func add(_ operands: DeltaOperands<Double>, _ h: Int, _ arithmetic: DeltaArithmetic) {
        self.arithmetic = arithmetic
        let head = operands.head(h)
        let normalizes = operands.epsilon != nil
        var bounds = DeltaBound(head, arithmetic, normalizes: normalizes)
        for (s, tokens) in operands.sequences.enumerated() {
            let sizes = bounds.sizes(tokens, state: operands.entering(s, h))
            outputs[0].bound += sizes.o
            outputs[1].bound += sizes.state
        }
        growth = bounds.growth
        let updates = operands.v.count * operands.keyDim
        let runs = FamilyLimits.seeds(h, isLarge: updates > FamilyLimits.manyUpdates).map { seed in
            var walk = DeltaWalk(head, arithmetic, normalizes: normalizes, seed: seed)
            var (rows, ends) = ([Double](), [Double]())
            for (s, tokens) in operands.sequences.enumerated() {
                let run = walk.run(tokens, state: operands.entering(s, h))
                rows += run.o
                ends += run.state
            }
            return [rows, ends]
        }
        for i in outputs.indices { outputs[i].sample(runs.map { $0[i] }) }
    }
}
