//  From the gradient of the effective step back to the raw one.
//
//      u = dt + dtBias          v = softplus(u), or u itself above 20, or u where softplus is off          Δ = clamp(v)
//
//      dΔ/du = [lo <= v <= hi] sigmoid(u),  1 in place of sigmoid(u) where v is u itself
//      ∂dt   = ∂Δ dΔ/du
//      ∂dtBias = sum of ∂dt over batch and tokens
//
//  At the border of the clamp the derivative is that of the inside, as autograd has it
//  (torch.clamp).
//
//  Source: state-spaces/mamba, ops/triton/ssd_chunk_state.py, `_chunk_cumsum_bwd_kernel`.

import DualityCore

extension SSDInputs {
    /// dΔ/du for every step, `[B, L, H]`.
    ///
    /// - Complexity: O(B L H).
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    public func effectiveStepDerivatives() -> Tensor<Scalar> {
        let lower = Scalar(dtLimit.lowerBound)
        let upper = Scalar(dtLimit.upperBound)
        var derivatives = dt
        let heads = self.heads
        for i in derivatives.elements.indices {
            var u = derivatives.elements[i]
            if let dtBias { u += dtBias.elements[i % heads] }
            let value = dtSoftplus ? Scalar.thresholdedSoftplus(u) : u
            let inside = lower <= value && value <= upper
            let slope = dtSoftplus && u <= 20 ? Scalar.sigmoid(u) : 1
            derivatives.elements[i] = inside ? slope : .zero
        }
        return derivatives
    }
}

extension SSDGradients {
    /// ∂dt and ∂dtBias from ∂Δ, `[B, L, H]`.
    mutating func setStep(of inputs: SSDInputs<Scalar>, from stepGradient: Tensor<Scalar>) {
        let derivatives = inputs.effectiveStepDerivatives()
        for i in stepGradient.elements.indices {
            dt.elements[i] = stepGradient.elements[i] * derivatives.elements[i]
            dtBias?.elements[i % inputs.heads] += dt.elements[i]
        }
    }
}
