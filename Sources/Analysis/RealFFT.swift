//  The discrete Fourier transform of real signals, of any length, through FFTW.
//
//      X_k = sum over j of x_j e^(-2 pi i j k / n)                  k = 0 ... n/2;  X_(n-k) is the conjugate of X_k
//      x_j = (1 / n) sum over k = 0 ... n-1 of X_k e^(2 pi i j k / n)
//
//  O(n log n) for every n, primes included; lengths of the form 2^a 3^b 5^c 7^d are the fastest.
//
//  Source: Frigo and Johnson 2005, "The design and implementation of FFTW3".

#if Analysis
    import DualityCore
    import Synchronization

    /// The lower half of the transform of a real signal: n / 2 + 1 complex numbers.
    public struct Spectrum<Scalar: RealNumber>: Sendable, Equatable {
        /// The length of the signal, n.
        public let length: Int
        /// Real parts, `[n / 2 + 1]`.
        public var real: [Scalar]
        /// Imaginary parts, `[n / 2 + 1]`; zero for k = 0 and, where n is even, for k = n / 2.
        public var imaginary: [Scalar]

        /// Absolute values, `[n / 2 + 1]`.
        public var magnitudes: [Scalar] { zip(real, imaginary).map { .sqrt($0 * $0 + $1 * $1) } }

        /// The frequencies in cycles a sample, `[n / 2 + 1]`, from 0 to at most 1/2.
        public var frequencies: [Double] { real.indices.map { Double($0) / Double(length) } }

        /// The spectrum of the circular convolution of two signals.
        ///
        /// - Precondition: the signals have one length.
        public static func * (a: Spectrum, b: Spectrum) -> Spectrum {
            precondition(a.length == b.length, "spectra of signals of one length")
            var product = a
            for k in a.real.indices {
                product.real[k] = a.real[k] * b.real[k] - a.imaginary[k] * b.imaginary[k]
                product.imaginary[k] = a.real[k] * b.imaginary[k] + a.imaginary[k] * b.real[k]
            }
            return product
        }
    }

    /// Transforms between real signals of one length and their spectra.
    ///
    /// Holds FFTW's plans and the memory they work in; not for use by several threads at once.
    public final class RealFFT<Scalar: AnalysisNumber> {
        /// The number of samples, n.
        public let length: Int
        private let signal: UnsafeMutablePointer<Scalar>
        private let spectrum: UnsafeMutablePointer<Scalar>
        private let forwardPlan: OpaquePointer
        private let inversePlan: OpaquePointer

        /// - Throws: `InputError` (`.value`) when `length` is not positive or is more than FFTW has
        ///   memory for.
        /// - Complexity: O(n).
        public init(length: Int) throws(InputError) {
            guard length >= 1, length <= Int(Int32.max) else {
                throw InputError(
                    .value, in: "length of a transform", expected: "1 ... \(Int32.max)", found: "\(length)")
            }
            self.length = length
            guard let signal = Scalar._allocate(length), let spectrum = Scalar._allocate(2 * (length / 2 + 1)) else {
                throw InputError(.value, in: "length of a transform", expected: "one that fits", found: "\(length)")
            }
            self.signal = signal
            self.spectrum = spectrum
            // FFTW makes plans one at a time; carrying them out needs no lock.
            let plans = planner.withLock { _ in
                (
                    Plan(Scalar._forwardPlan(length: length, signal, spectrum)),
                    Plan(Scalar._inversePlan(length: length, spectrum, signal))
                )
            }
            guard let forward = plans.0.pointer, let inverse = plans.1.pointer else {
                Scalar._free(signal)
                Scalar._free(spectrum)
                throw InputError(
                    .unsupported, in: "length of a transform", expected: "one FFTW has a plan for", found: "\(length)")
            }
            forwardPlan = forward
            inversePlan = inverse
        }

        deinit {
            planner.withLock { _ in
                Scalar._destroy(forwardPlan)
                Scalar._destroy(inversePlan)
            }
            Scalar._free(signal)
            Scalar._free(spectrum)
        }

        /// The spectrum of a signal.
        ///
        /// - Parameter samples: at most n; what is missing at the end counts as zero.
        /// - Throws: `InputError` (`.shape`) when there are more.
        /// - Complexity: O(n log n).
        public func forward(_ samples: [Scalar]) throws(InputError) -> Spectrum<Scalar> {
            guard samples.count <= length else {
                throw InputError(.shape, in: "signal", expected: "at most \(length) samples", found: "\(samples.count)")
            }
            for j in 0..<length { signal[j] = j < samples.count ? samples[j] : .zero }
            Scalar._execute(forwardPlan)
            let count = length / 2 + 1
            return Spectrum(
                length: length, real: (0..<count).map { spectrum[2 * $0] },
                imaginary: (0..<count).map { spectrum[2 * $0 + 1] })
        }

        /// The signal of a spectrum, `[n]`, with the factor 1 / n: `inverse(forward(x))` is x up to
        /// rounding.
        ///
        /// - Throws: `InputError` (`.shape`) when the spectrum is that of another length.
        /// - Complexity: O(n log n).
        public func inverse(_ transform: Spectrum<Scalar>) throws(InputError) -> [Scalar] {
            let count = length / 2 + 1
            guard transform.length == length, transform.real.count == count, transform.imaginary.count == count else {
                throw InputError(
                    .shape, in: "spectrum", expected: "\(count) numbers, of \(length) samples",
                    found: "\(transform.real.count), of \(transform.length)")
            }
            for k in 0..<count {
                spectrum[2 * k] = transform.real[k]
                spectrum[2 * k + 1] = transform.imaginary[k]
            }
            Scalar._execute(inversePlan)
            let scale = 1 / Scalar(length)
            return (0..<length).map { scale * signal[$0] }
        }
    }

    /// The smallest 2^a 3^b 5^c 7^d that is at least `length`.
    public func fastTransformLength(atLeast length: Int) -> Int {
        var candidate = max(length, 1)
        while true {
            var rest = candidate
            for factor in [2, 3, 5, 7] { while rest % factor == 0 { rest /= factor } }
            if rest == 1 { return candidate }
            candidate += 1
        }
    }

    /// FFTW's planner keeps what it learns in memory that all threads share.
    private let planner = Mutex(())

    /// A plan on its way out of the lock; it is owned by one object alone.
    private struct Plan: @unchecked Sendable {
        let pointer: OpaquePointer?
        init(_ pointer: OpaquePointer?) { self.pointer = pointer }
    }
#endif
