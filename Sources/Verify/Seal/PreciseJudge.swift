//  Kinds whose outputs are also known in twice the digits: the definition evaluated in float64 and
//  in double-double (docs/numerics.md, section 6).

import DualityCore
import DualityReference

/// A kind that evaluates its definition in more than float64.
protocol PreciseJudge: KindJudge {
    /// The outputs by name, in float64 and in double-double rounded once at the end.
    func precise() throws -> (double: [String: Tensor<Double>], rounded: [String: Tensor<Double>])
}

extension ScanJudge: PreciseJudge {
    func precise() throws -> (double: [String: Tensor<Double>], rounded: [String: Tensor<Double>]) {
        func named(_ summation: Summation) throws -> [String: Tensor<Double>] {
            let result = ScanResult(try inputs.oracle(summation: summation))
            let pairs = outputs.compactMap { output in result[output.name].map { (output.name, $0) } }
            return Dictionary(uniqueKeysWithValues: pairs)
        }
        return try (named(.plain), named(.compensated))
    }
}

extension DeltaJudge: PreciseJudge {
    func precise() throws -> (double: [String: Tensor<Double>], rounded: [String: Tensor<Double>]) {
        func named<Scalar: RealNumber>(_ operands: DeltaOperands<Scalar>) throws -> [String: Tensor<Double>] {
            let result = operands.evaluate(.recurrent)
            let values = ["o": result.o, "final_state": result.state]
            var named: [String: Tensor<Double>] = [:]
            for output in outputs { named[output.name] = try values[output.name]?.converted().reshaped(output.shape) }
            return named
        }
        return try (named(operands), named(operands.converted(to: DoubleDouble.self)))
    }
}

extension KalmanJudge: PreciseJudge {
    func precise() throws -> (double: [String: Tensor<Double>], rounded: [String: Tensor<Double>]) {
        func named<Scalar: RealNumber>(_ operands: KalmanOperands<Scalar>) throws -> [String: Tensor<Double>] {
            let result = operands.evaluate(.recurrent)
            let values = ["o": result.o, "final_gram": result.gram, "final_memory": result.memory]
            var named: [String: Tensor<Double>] = [:]
            for output in outputs { named[output.name] = try values[output.name]?.converted().reshaped(output.shape) }
            return named
        }
        return try (named(operands), named(operands.converted(to: DoubleDouble.self)))
    }
}

extension GradientJudge: PreciseJudge {
    func precise() throws -> (double: [String: Tensor<Double>], rounded: [String: Tensor<Double>]) {
        let wide = SSDUpstream<DoubleDouble>(
            y: upstream.y?.converted(), finalState: upstream.finalState?.converted(),
            sequenceStates: upstream.sequenceStates?.converted())
        return try (named(inputs, upstream), named(inputs.converted(to: DoubleDouble.self), wide))
    }

    private func named<Scalar: RealNumber>(
        _ inputs: SSDInputs<Scalar>, _ upstream: SSDUpstream<Scalar>
    ) throws -> [String: Tensor<Double>] {
        let gradients = try SSDForm.recurrent.gradients(of: inputs, upstream: upstream)
        var named: [String: Tensor<Double>] = [
            "grad_x": gradients.x.converted(), "grad_dt": gradients.dt.converted(), "grad_A": gradients.a.converted(),
            "grad_B": gradients.b.converted(), "grad_C": gradients.c.converted(),
        ]
        named["grad_D"] = gradients.d?.converted()
        named["grad_z"] = gradients.z?.converted()
        named["grad_dt_bias"] = gradients.dtBias?.converted()
        if inputs.initialState != nil { named["grad_initial_states"] = gradients.initialState.converted() }
        return named
    }
}

extension DeltaGradientJudge: PreciseJudge {
    func precise() throws -> (double: [String: Tensor<Double>], rounded: [String: Tensor<Double>]) {
        let (operands, upstream) = (operands.operands, operands.upstream)
        func named<Scalar: RealNumber>(_ gradients: DeltaGradients<Scalar>) throws -> [String: Tensor<Double>] {
            var named = DeltaGradientCall.named(gradients, hasState: operands.initialState != nil)
            for output in outputs { named[output.name] = try named[output.name]?.reshaped(output.shape) }
            return named
        }
        let wide = operands.converted(to: DoubleDouble.self).gradients(upstream: upstream.converted())
        return try (named(operands.gradients(upstream: upstream)), named(wide))
    }
}

extension AttentionGradientJudge: PreciseJudge {
    func precise() throws -> (double: [String: Tensor<Double>], rounded: [String: Tensor<Double>]) {
        let (operands, pull) = (operands.operands, operands.pull)
        let wide = operands.converted(to: DoubleDouble.self).gradients(upstream: pull.converted())
        return (
            AttentionGradientCall.named(operands.gradients(upstream: pull)), AttentionGradientCall.named(wide)
        )
    }
}
