//  What is expected of the gradients of heads that read one q and k.

import DualityCore
import DualityNumerics
import DualityReference

struct DeltaGradientPart: FamilyHead {
    private(set) var outputs: [FamilyNumbers]
    private(set) var growth = 1.0
    private(set) var arithmetic = DeltaArithmetic(.f32, form: .recurrent)

    init(_ call: DeltaGradientCall, _ h: Int, isWide: Bool) {
        let (operands, upstream) = Self.part(call, h)
        let (keys, values) = (operands.keyDim, operands.valueDim)
        let gates = FamilyLimits.tokensOfGates * operands.heads
        outputs = [
            FamilyNumbers("grad_q", width: keys, headAxis: 2), FamilyNumbers("grad_k", width: keys, headAxis: 2),
            FamilyNumbers("grad_v", width: values, headAxis: 2), FamilyNumbers("grad_g", width: gates, headAxis: 2),
            FamilyNumbers("grad_beta", width: gates, headAxis: 2),
        ]
        if operands.initialState != nil {
            outputs.append(FamilyNumbers("grad_initial_state", width: values, headAxis: 1))
        }
        let exact =
            isWide
            ? Self.numbers(operands.converted(to: DoubleDouble.self).gradients(upstream: upstream.converted()))
            : Self.numbers(operands.gradients(upstream: upstream))
        for i in outputs.indices { outputs[i].exact = exact[i] }
    }

    /// The heads that read head h of the keys.
    private static func part(
        _ call: DeltaGradientCall, _ h: Int
    ) -> (operands: DeltaOperands<Double>, upstream: DeltaUpstream<Double>) {
        let all = call.operands
        let group = all.heads / all.keyHeads
        let heads = Array(h * group..<(h + 1) * group)
        let operands = DeltaOperands(
            q: all.q.selecting([h], axis: 1), k: all.k.selecting([h], axis: 1),
            v: all.v.selecting(heads, axis: 1), logDecay: all.logDecay.selecting(heads, axis: 1),
            beta: all.beta.selecting(heads, axis: 1), initialState: all.initialState?.selecting(heads, axis: 1),
            sequences: all.sequences, scale: all.scale, epsilon: all.epsilon)
        let upstream = DeltaUpstream(
            o: call.upstream.o?.selecting(heads, axis: 1),
            finalState: call.upstream.finalState?.selecting(heads, axis: 1))
        return (operands, upstream)
    }

    /// In the order of the outputs.
    private static func numbers<Scalar: RealNumber>(_ gradients: DeltaGradients<Scalar>) -> [[Double]] {
        [gradients.q, gradients.k, gradients.v, gradients.logDecay, gradients.beta, gradients.initialState]
            .map { $0.elements.map(\.double) }
    }

    mutating func add(_ call: DeltaGradientCall, _ h: Int, _ arithmetic: DeltaArithmetic) {
        self.arithmetic = arithmetic
        let (operands, upstream) = Self.part(call, h)
        let bounds = DeltaPartBound(operands, upstream, arithmetic)
        growth = bounds.growth
        let numbers = Self.numbers(bounds.gradients)
        for i in outputs.indices { outputs[i].bound = numbers[i] }
        let updates = call.operands.v.count * operands.keyDim
        let runs = FamilyLimits.seeds(h, isLarge: updates > FamilyLimits.manyUpdates).map { seed in
            Self.numbers(operands.imitatedGradients(upstream, arithmetic, seed: seed))
        }
        let floor = FamilyLimits.lostBelow(
            arithmetic.accumulate,
            [operands.q, operands.k, operands.v, upstream.o, upstream.finalState, operands.initialState])
        for i in outputs.indices { outputs[i].sample(runs.map { $0[i] }, floor: floor) }
    }
}
