//  The convolution form, for a system that does not change: constant Δ, B and C within a sequence.
//
//      k_j = e^(j ln a) (C · B)                                        j = 0 ... L-1
//      1. convolution        Y_t  = sum over j of k_j x̄_{t-j}           t = 1 ... L, x̄_s = 0 for s < 1
//      2. entering state     Y_t += e^(t ln a) S_0 C
//      3. leaving state      S_L  = e^(L ln a) S_0 + (sum over j of e^(j ln a) x̄_{L-j}) Bᵀ
//
//  The kernel is the same for all P channels. How the convolution of step 1 is done is the caller's
//  choice: term by term here, by FFT in DualityAnalysis. A selective system, where Δ, B or C depend
//  on the token, has no kernel and is refused.
//
//  Source: Mamba-2 (arXiv 2405.21060) section 2.1; Gu et al., S4 (arXiv 2111.00396) section 2.4.

import DualityCore

/// A causal convolution of every channel with one kernel:
/// `y[t, p] = sum over j <= t of kernel[j] x[t - j, p]`.
///
/// It is given the kernel `[L]`, x `[L, P]` and P, with L at least 1, and returns y `[L, P]`.
public typealias CausalConvolving<Scalar> = (_ kernel: [Scalar], _ x: [Scalar], _ channels: Int) throws(InputError) ->
    [Scalar]

extension HeadSequence {
    /// The convolution form. O(L P + P N) time besides the convolution.
    ///
    /// - Throws: `InputError` (`.value`) naming the operand that changes, and what `convolve`
    ///   throws.
    func convolution(_ convolve: CausalConvolving<Scalar>) throws(InputError) -> HeadResult<Scalar> {
        try requireConstant(logDecay, width: 1, "dt")
        try requireConstant(b, width: stateDim, "B")
        try requireConstant(c, width: stateDim, "C")
        guard length > 0 else { return HeadResult(y: [], states: checkpoints.map { _ in initialState }) }
        let rate = logDecay[0]
        func power(_ j: Int) -> Scalar { j == 0 ? 1 : .exp(Scalar(j) * rate) }

        // 1
        let gain = dot(c, b, stateDim)
        var y = try convolve((0..<length).map { power($0) * gain }, x, headDim)
        // 2
        for p in 0..<headDim {
            let read = initialState.withUnsafeBufferPointer { state in
                state.baseAddress.map { dot($0 + p * stateDim, c, stateDim) } ?? 0
            }
            for t in 0..<length { y[t * headDim + p] += power(t + 1) * read }
        }
        // 3
        let states = checkpoints.map { end in
            var state = initialState.map { power(end) * $0 }
            for p in 0..<headDim {
                var sum = Scalar.zero
                for j in 0..<end { sum += power(j) * x[(end - 1 - j) * headDim + p] }
                for n in 0..<stateDim { state[p * stateDim + n] += sum * b[n] }
            }
            return state
        }
        return HeadResult(y: y, states: states)
    }

    private func requireConstant(_ rows: [Scalar], width: Int, _ name: String) throws(InputError) {
        for i in stride(from: width, to: rows.count, by: 1) where rows[i] != rows[i - width] {
            throw InputError(
                .value, in: name, expected: "the same at every token, for the convolution form",
                found: "a change at token \(start + i / width)",
                remedy: "A system that depends on its input has no convolution kernel; use another form.")
        }
    }
}

/// The convolution term by term: O(L² P) time. Its Toeplitz matrix is the kernel itself, read
/// backwards along each row.
func convolveDirectly<Scalar: RealNumber>(_ kernel: [Scalar], _ x: [Scalar], _ channels: Int) -> [Scalar] {
    var y = [Scalar](repeating: .zero, count: x.count)
    for t in 0..<kernel.count {
        addProduct(
            kernel, as: MatrixLayout(start: t, row: 0, column: -1), times: x, as: .rows(width: channels),
            to: &y, as: .rows(from: t, width: channels), rows: 1, depth: t + 1, columns: channels)
    }
    return y
}
