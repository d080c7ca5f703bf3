//  What is tried of Gated KalmaNet where a kernel is wrong.

import DualityCore
import DualityNumerics
import DualityReference

extension KalmanFault: FamilyFault {}

extension KalmanJudge {
    func diagnose(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], seeksPairs: Bool
    ) -> Diagnosis {
        // Kernels have chunks of their own.
        let attempts = KalmanFault.allCases.flatMap { fault in
            (fault.isOfChunks ? chunkSizes : chunkSizes.prefix(1) + []).map { size in
                FaultyKalman(operands: operands, fault: fault, chunkSize: size)
            }
        }
        return diagnose(found, expectations, by: attempts)
    }

    func narrower(_ choices: FamilyChoices<KalmanArithmetic>) -> [(KalmanFault, KalmanArithmetic)] {
        let base = choices.all[0]
        var trials: [(KalmanFault, KalmanArithmetic)] = []
        func add(
            _ fault: KalmanFault, _ paths: WritableKeyPath<KalmanArithmetic, NumberFormat>..., as format: NumberFormat
        ) {
            var arithmetic = base
            arithmetic.form = fault.isOfChunks ? .chunked(size: chunkSizes[0]) : .recurrent
            for path in paths where arithmetic[keyPath: path].holds(format) { arithmetic[keyPath: path] = format }
            if arithmetic.description != base.description { trials.append((fault, arithmetic)) }
        }
        if operands.epsilon != nil { add(.normBFloat16, \.normalized, \.norms, \.gated, as: .bf16) }
        if operands.iterations > 0 {
            add(.solutionBFloat16, \.solution, as: .bf16)
            add(.solverTF32, \.products, as: .tf32)
            add(.solverBFloat16, \.products, as: .bf16)
        }
        add(.chunkStateBFloat16, \.state, as: .bf16)
        add(.stateFloat16, \.state, as: .f16)
        add(.stateBFloat16, \.state, as: .bf16)
        return trials
    }
}
