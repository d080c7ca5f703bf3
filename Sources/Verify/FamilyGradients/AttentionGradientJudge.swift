//  Softmax attention backwards: grad_q, grad_k, grad_v and grad_sinks of sum(o dout).
//
//  | tensor     | shape          | meaning                                                  |
//  |------------|----------------|----------------------------------------------------------|
//  | q, k, v, sinks | as for `attention`, with its options                                  |
//  | dout       | [B, L, H, V]   | what the loss says about o                               |
//  | grad_…     | as the operand | output; grad_k and grad_v are sums over the heads that share them |

import DualityCore
import DualityNumerics
import DualityReference

/// A call of the backward pass; its heads are those of keys.
struct AttentionGradientCall: FamilyOperands {
    let operands: AttentionOperands<Double>
    let pull: Tensor<Double>

    var heads: Int { operands.keyHeads }
    var sequences: [Range<Int>] { (0..<operands.batch).map { $0 * operands.length..<($0 + 1) * operands.length } }
    var tokens: Int { operands.batch * operands.length }
    var gates: Tensor<Double>? { nil }

    static func named<Scalar: RealNumber>(_ gradients: AttentionGradients<Scalar>) -> [String: Tensor<Double>] {
        var named: [String: Tensor<Double>] = [
            "grad_q": gradients.q.converted(), "grad_k": gradients.k.converted(), "grad_v": gradients.v.converted(),
        ]
        named["grad_sinks"] = gradients.sinks?.converted()
        return named
    }
}

struct AttentionGradientJudge: FamilyJudge {
    typealias Head = AttentionGradientPart
    typealias Fault = AttentionGradientFault

    let forward: AttentionJudge
    let operands: AttentionGradientCall
    let chunkSize: Int? = nil

    var inputFormat: NumberFormat { forward.inputFormat }
    var declaration: String? { forward.declaration }
    /// Nothing here is in chunks.
    var isStep: Bool { true }

    init(_ call: CallDescription, inputs source: any TensorSource, precision: DeclaredPrecision) throws {
        forward = try AttentionJudge(call, inputs: source, precision: precision)
        guard source.contains("dout") else {
            throw InputError(
                .missing, in: "\(source.place): dout", expected: "the gradient of a loss with respect to o",
                found: "none")
        }
        let pull = try finite(source, "dout")
        try pull.requireShape(forward.outputs[0].shape, "\(source.place): dout")
        let call = forward.call
        operands = AttentionGradientCall(
            operands: AttentionOperands(
                q: call.q, k: call.k, v: call.v, sinks: call.sinks, scale: call.scale, isCausal: call.isCausal,
                window: call.window, sinkTokens: call.sinkTokens), pull: pull)
    }

    var outputs: [OutputShape] {
        let (all, rows): (AttentionOperands<Double>, [Axis]) = (operands.operands, [.batch, .token, .head, .channel])
        return [("grad_q", all.q), ("grad_k", all.k), ("grad_v", all.v)].map {
            OutputShape(name: $0, shape: $1.shape, axes: rows)
        } + (all.sinks.map { [OutputShape(name: "grad_sinks", shape: $0.shape, axes: [.head])] } ?? [])
    }

    func choices(output: NumberFormat) -> FamilyChoices<AttentionArithmetic> {
        let all = forward.arithmetics(output: output)
        return FamilyChoices(all, sorts: all.count)
    }

    func remarks(_ results: [AttentionGradientPart]) -> [String] { [] }

    func diagnose(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], seeksPairs: Bool
    ) -> Diagnosis {
        diagnose(found, expectations, by: AttentionGradientFault.allCases.flatMap(attempts))
    }

    /// The numbers of a fault in each of its variants.
    func attempts(_ fault: AttentionGradientFault) -> [GradientAttempt<AttentionGradientFault>] {
        fault.variants.map { change in
            var choice = AttentionBackwardChoice()
            change(&choice)
            let faulty = FaultyAttentionGradients(operands: operands.operands, pull: operands.pull, choice: choice)
            return GradientAttempt(fault: fault) { faulty.outputs() }
        }
    }

    func narrower(_ choices: FamilyChoices<AttentionArithmetic>) -> [(AttentionGradientFault, AttentionArithmetic)] {
        let base = choices.narrowest
        return AttentionGradientFault.precision.compactMap { fault, path, format in
            guard base[keyPath: path].holds(format), base[keyPath: path] != format else { return nil }
            var arithmetic = base
            arithmetic[keyPath: path] = format
            return (fault, arithmetic)
        }
    }
}

/// What is expected of the gradients of heads that read one head of keys.
struct AttentionGradientPart: FamilyHead {
    private(set) var outputs: [FamilyNumbers]
    private(set) var arithmetic = AttentionArithmetic(.f32)

    init(_ call: AttentionGradientCall, _ h: Int, isWide: Bool) {
        let (operands, pull) = Self.part(call, h)
        outputs = [
            FamilyNumbers("grad_q", width: operands.keyDim, headAxis: 2),
            FamilyNumbers("grad_k", width: operands.keyDim, headAxis: 2),
            FamilyNumbers("grad_v", width: operands.valueDim, headAxis: 2),
        ]
        if operands.sinks != nil { outputs.append(FamilyNumbers("grad_sinks", width: operands.heads, headAxis: 0)) }
        let exact =
            isWide
            ? Self.numbers(operands.converted(to: DoubleDouble.self).gradients(upstream: pull.converted()))
            : Self.numbers(operands.gradients(upstream: pull))
        for i in outputs.indices { outputs[i].exact = exact[i] }
    }

    /// The heads that read head h of the keys.
    private static func part(
        _ call: AttentionGradientCall, _ h: Int
    ) -> (operands: AttentionOperands<Double>, pull: Tensor<Double>) {
        let all = call.operands
        let group = all.heads / all.keyHeads
        let heads = Array(h * group..<(h + 1) * group)
        var operands = all
        (operands.q, operands.sinks) = (all.q.selecting(heads, axis: 2), all.sinks?.selecting(heads, axis: 0))
        (operands.k, operands.v) = (all.k.selecting([h], axis: 2), all.v.selecting([h], axis: 2))
        return (operands, call.pull.selecting(heads, axis: 2))
    }

    /// In the order of the outputs.
    private static func numbers<Scalar: RealNumber>(_ gradients: AttentionGradients<Scalar>) -> [[Double]] {
        ([gradients.q, gradients.k, gradients.v] + (gradients.sinks.map { [$0] } ?? [])).map {
            $0.elements.map(\.double)
        }
    }

    mutating func add(_ call: AttentionGradientCall, _ h: Int, _ arithmetic: AttentionArithmetic) {
        self.arithmetic = arithmetic
        let (operands, pull) = Self.part(call, h)
        let bounds = Self.numbers(AttentionAdjointBound(operands, arithmetic, pull: pull).gradients)
        for i in outputs.indices { outputs[i].bound = bounds[i] }
        let products = call.operands.q.count * operands.keyCount
        let runs = FamilyLimits.seeds(h, isLarge: products > FamilyLimits.manyUpdates).map { seed in
            var walk = AttentionAdjointWalk(operands, arithmetic, seed: seed)
            return Self.numbers(walk.run(pull))
        }
        let floor = FamilyLimits.lostBelow(arithmetic.accumulate, [operands.q, operands.k, operands.v, pull])
        for i in outputs.indices { outputs[i].sample(runs.map { $0[i] }, floor: floor) }
    }
}
