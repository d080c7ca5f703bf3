//  What is tried of the gated delta rule where a kernel is wrong.

import DualityCore
import DualityNumerics
import DualityReference

extension DeltaFault: FamilyFault {}

extension DeltaJudge {
    func diagnose(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], seeksPairs: Bool
    ) -> Diagnosis {
        let usual = DeltaFault.allCases.filter { !isStep || !$0.isOfChunks }.map { fault in
            FaultyDelta(operands: operands, fault: fault, chunkSize: chunkSizes.first ?? FamilyLimits.usualChunk)
        }
        // Kernels have chunks of their own, and norms that are rounded step by step.
        var others = [FaultyDelta(operands: operands, fault: .normBFloat16, normsAreStepwise: true)]
        for size in chunkSizes.dropFirst() {
            others += DeltaFault.allCases.filter(\.isOfChunks).map {
                FaultyDelta(operands: operands, fault: $0, chunkSize: size)
            }
        }
        return diagnose(found, expectations, by: usual, others)
    }

    func narrower(_ choices: FamilyChoices<DeltaArithmetic>) -> [(DeltaFault, DeltaArithmetic)] {
        let base = choices.narrowest
        var trials: [(DeltaFault, DeltaArithmetic)] = []
        func add(_ fault: DeltaFault, _ path: WritableKeyPath<DeltaArithmetic, NumberFormat>, _ format: NumberFormat) {
            guard base[keyPath: path].holds(format), base[keyPath: path] != format else { return }
            var arithmetic = base
            arithmetic[keyPath: path] = format
            let forms = fault.isOfChunks ? chunkSizes.map { RecurrenceForm.chunked(size: $0) } : [.recurrent]
            for form in forms {
                arithmetic.form = form
                trials.append((fault, arithmetic))
            }
        }
        add(.inverseTF32, \.inverse, .tf32)
        add(.productsTF32, \.products, .tf32)
        add(.inverseBFloat16, \.inverse, .bf16)
        add(.chunkStateBFloat16, \.state, .bf16)
        add(.productsBFloat16, \.products, .bf16)
        add(.stateFloat16, \.state, .f16)
        add(.stateBFloat16, \.state, .bf16)
        return trials
    }
}
