//  The convolution form of a time-invariant system, by FFT.
//
//      y = irfft(rfft(k) ⊙ rfft(x))[0 ..< L],     both padded with zeros to n >= 2L - 1, where nothing wraps around
//
//  O(L log L) a channel. The error is about ε log n |k| |x| in each y, whatever the size of that y:
//  where the true value is small beside the rest, its digits are lost. The recurrence costs O(L N)
//  and loses none; this form is here because it shows that the time-invariant case of SSD is a
//  convolution.
//
//  Source: Gu et al., S4 (arXiv 2111.00396) section 2.4.

#if Analysis
    import DualityCore
    import DualityReference

    /// The causal convolution of every channel of x with one kernel,
    /// `y[t, p] = sum over j <= t of kernel[j] x[t - j, p]`.
    ///
    /// - Parameters:
    ///   - kernel: `[L]`.
    ///   - x: `[L, P]`.
    ///   - channels: P.
    /// - Returns: y, `[L, P]`.
    /// - Throws: `InputError` (`.shape`) when x is not `[L, P]`, (`.value`) when L is too large for
    ///   FFTW.
    /// - Complexity: O(P L log L).
    public func convolveByFFT<Scalar: AnalysisNumber>(
        _ kernel: [Scalar], _ x: [Scalar], _ channels: Int
    ) throws(InputError) -> [Scalar] {
        let length = kernel.count
        guard channels >= 0, x.count == length * channels else {
            throw InputError(
                .shape, in: "x", expected: "[\(length), \(channels)] numbers, as the kernel is long",
                found: "\(x.count)")
        }
        guard length > 0 else { return [] }
        let transform = try RealFFT<Scalar>(length: fastTransformLength(atLeast: 2 * length - 1))
        let response = try transform.forward(kernel)
        var y = x
        for p in 0..<channels {
            let channel = (0..<length).map { x[$0 * channels + p] }
            let filtered = try transform.inverse(transform.forward(channel) * response)
            for t in 0..<length { y[t * channels + p] = filtered[t] }
        }
        return y
    }

    extension SSDForm {
        /// Runs the operator in the convolution form, by FFT.
        ///
        /// - Throws: `InputError` (`.value`) when dt, B or C change within a sequence.
        /// - Complexity: O(B H P (L log L + N)).
        public static func convolutionByFFT<Scalar: AnalysisNumber>(
            _ inputs: SSDInputs<Scalar>, statesEvery interval: Int? = nil
        ) throws(InputError) -> SSDOutputs<Scalar> {
            try convolution(inputs, statesEvery: interval, by: convolveByFFT)
        }
    }
#endif
