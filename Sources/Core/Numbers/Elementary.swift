//  The elementary functions of the layers, accurate over the whole range of their argument.
//
//      softplus(x) = ln(1 + e^x)          sigmoid(x) = 1 / (1 + e^-x)          silu(x) = x sigmoid(x)
//
//  Written so that nothing overflows and nothing cancels: e is only ever raised to a power <= 0,
//  and ln(1 + u) is evaluated as log1p. The naive ln(1 + e^x) loses every digit below x = -17 in
//  float32 (it returns 0) and about three digits at x = -10; spec: Mamba `softplus`, which also
//  returns x itself above 20.

extension RealNumber {
    /// `ln(1 + e^x)`, within a few ulp for every x, and never 0 where the answer is a normal
    /// number.
    @inlinable
    public static func softplus(_ x: Self) -> Self {
        // ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|)
        x > 0 ? x + log(onePlus: exp(-x)) : log(onePlus: exp(x))
    }

    /// The step size of the official kernels: softplus, but the argument itself above 20.
    ///
    /// The branch changes the result by at most e^-20 = 2.1e-9, which Double sees and the official
    /// code defines.
    @inlinable
    public static func thresholdedSoftplus(_ x: Self) -> Self {
        x > 20 ? x : softplus(x)
    }

    /// `1 / (1 + e^-x)`; underflows to 0 gracefully and reaches 1 exactly.
    @inlinable
    public static func sigmoid(_ x: Self) -> Self {
        if x >= 0 { return 1 / (1 + exp(-x)) }
        let e = exp(x)
        return e / (1 + e)
    }

    /// `x sigmoid(x)`, the gate and activation of every layer of the family (SiLU, swish).
    @inlinable
    public static func silu(_ x: Self) -> Self {
        x * sigmoid(x)
    }
}
