//  The step that the recurrence takes, from the raw dt of the model.
//
//      u = dt + dtBias          Δ = softplus(u), or u itself above 20, or u where softplus is off
//      Δ = min(max(Δ, lo), hi)
//
//  The order is bias, softplus, clamp. Softplus is accurate for every u (Elementary.swift); the
//  official kernels evaluate ln(e^u + 1) in float32, which is 0 below u = -17.
//
//  Source: state-spaces/mamba, ops/triton/ssd_chunk_state.py, `_chunk_cumsum_fwd_kernel`.

import DualityCore

extension SSDInputs {
    /// The effective steps Δ, `[B, L, H]`, all at least zero.
    ///
    /// - Complexity: O(B L H).
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    public func effectiveSteps() -> Tensor<Scalar> {
        let lower = Scalar(dtLimit.lowerBound)
        let upper = Scalar(dtLimit.upperBound)
        var steps = dt
        let heads = self.heads
        for i in steps.elements.indices {
            var step = steps.elements[i]
            if let dtBias { step += dtBias.elements[i % heads] }
            if dtSoftplus { step = .thresholdedSoftplus(step) }
            if step < lower { step = lower }
            if step > upper { step = upper }
            steps.elements[i] = step
        }
        return steps
    }
}
