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
        narrower(
            choices.narrowest,
            [
                (.inverseTF32, \.inverse, .tf32), (.productsTF32, \.products, .tf32),
                (.inverseBFloat16, \.inverse, .bf16), (.chunkStateBFloat16, \.state, .bf16),
                (.productsBFloat16, \.products, .bf16), (.stateFloat16, \.state, .f16),
                (.stateBFloat16, \.state, .bf16),
            ])
    }
}
