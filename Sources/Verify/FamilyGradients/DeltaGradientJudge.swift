//  The gated delta rule backwards: grad_q, grad_k, grad_v, grad_g, grad_beta, grad_initial_state of
//  sum(o dout) + sum(final_state dfinal_state).
//
//  | tensor       | shape        | meaning                                        |
//  |--------------|--------------|------------------------------------------------|
//  | q, k, v, g, beta, initial_state, cu_seqlens | as for `gated_delta`, with its options |
//  | dout         | [B, L, H, V] | what the loss says about o                     |
//  | dfinal_state | [S, H, K, V] | what it says about the final states            |
//  | grad_…       | as the operand | output; grad_q and grad_k are sums over the heads that share them |
//
//  One of dout and dfinal_state may be absent.

import DualityCore
import DualityNumerics
import DualityReference

/// A call of the backward pass; its heads are those of keys.
struct DeltaGradientCall: FamilyOperands {
    let operands: DeltaOperands<Double>
    let upstream: DeltaUpstream<Double>

    var heads: Int { operands.keyHeads }
    var sequences: [Range<Int>] { operands.sequences }
    var tokens: Int { operands.tokens }
    var gates: Tensor<Double>? { operands.logDecay }

    /// The gradients by output, tokens or sequences outermost.
    static func named<Scalar: RealNumber>(
        _ gradients: DeltaGradients<Scalar>, hasState: Bool
    ) -> [String: Tensor<Double>] {
        var named: [String: Tensor<Double>] = [
            "grad_q": gradients.q.converted(), "grad_k": gradients.k.converted(), "grad_v": gradients.v.converted(),
            "grad_g": gradients.logDecay.converted(), "grad_beta": gradients.beta.converted(),
        ]
        if hasState { named["grad_initial_state"] = gradients.initialState.converted() }
        return named
    }
}

struct DeltaGradientJudge: FamilyJudge {
    typealias Head = DeltaGradientPart
    typealias Fault = DeltaGradientFault

    let forward: DeltaJudge
    let operands: DeltaGradientCall
    let outputs: [OutputShape]

    var chunkSize: Int? { forward.chunkSize }
    var inputFormat: NumberFormat { forward.inputFormat }
    var declaration: String? { forward.declaration }
    var isStep: Bool { false }

    init(_ call: CallDescription, inputs source: any TensorSource, precision: DeclaredPrecision) throws {
        forward = try DeltaJudge(call, inputs: source, precision: precision)
        let place = source.place
        let (o, state) = (forward.outputs[0].shape, forward.outputs[1].shape)
        let pull = source.contains("dout") ? try finite(source, "dout") : nil
        try pull?.requireShape(o, "\(place): dout")
        let leaving = source.contains("dfinal_state") ? try finite(source, "dfinal_state") : nil
        try leaving?.requireShape(state, "\(place): dfinal_state")
        guard pull != nil || leaving != nil else {
            throw InputError(
                .missing, in: "\(place): dout", expected: "the gradient of a loss with respect to o",
                found: "neither dout nor dfinal_state")
        }
        operands = DeltaGradientCall(
            operands: forward.operands,
            upstream: DeltaUpstream(o: try pull?.reshaped([o[0] * o[1], o[2], o[3]]), finalState: leaving))
        let (keys, rows): ([Int], [Axis]) = (forward.operands.q.shape, [.batch, .token, .head, .channel])
        var shapes = ["grad_q", "grad_k"].map {
            OutputShape(name: $0, shape: [o[0], o[1], keys[1], keys[2]], axes: rows)
        }
        shapes.append(OutputShape(name: "grad_v", shape: o, axes: rows))
        shapes += ["grad_g", "grad_beta"].map {
            OutputShape(name: $0, shape: Array(o.dropLast()), axes: [.batch, .token, .head])
        }
        if forward.operands.initialState != nil {
            let axes: [Axis] = [.sequence, .head, .state, .channel]
            shapes.append(OutputShape(name: "grad_initial_state", shape: state, axes: axes))
        }
        outputs = shapes
    }

    func choices(output: NumberFormat) -> FamilyChoices<DeltaArithmetic> { forward.choices(output: output) }

    func remarks(_ results: [DeltaGradientPart]) -> [String] {
        forward.remarks(growth: results.map(\.growth).max() ?? 1)
    }

    func diagnose(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], seeksPairs: Bool
    ) -> Diagnosis {
        let usual = DeltaGradientFault.allCases.flatMap { attempts($0, chunkSizes.first ?? FamilyLimits.usualChunk) }
        // Kernels have chunks of their own.
        let others = chunkSizes.dropFirst().flatMap { size in
            DeltaGradientFault.allCases.filter(\.isOfChunks).flatMap { attempts($0, size) }
        }
        return diagnose(found, expectations, by: usual, others)
    }

    func attempts(_ fault: DeltaGradientFault, _ size: Int) -> [GradientAttempt<DeltaGradientFault>] {
        fault.variants.map { change in
            var choice = DeltaBackwardChoice()
            change(&choice)
            let faulty = FaultyDeltaGradients(
                operands: operands.operands, upstream: operands.upstream, choice: choice, chunkSize: size)
            return GradientAttempt(fault: fault) { faulty.outputs() }
        }
    }

    func narrower(_ choices: FamilyChoices<DeltaArithmetic>) -> [(DeltaGradientFault, DeltaArithmetic)] {
        narrower(choices.narrowest, DeltaGradientFault.precision.map { ($0.fault, $0.path, $0.format) })
    }
}
