//  `duality ssd --convolution`: how the convolution form convolves.
//
//      direct   term by term: O(L²) a channel, every digit of every y
//      fft      through FFTW: O(L log L) a channel, digits relative to the largest y (Analysis/SSDConvolutionByFFT.swift)
//
//  FFTW is not part of a plain build. Asked for there, the answer is how to get it, and not the
//  other sum.

import ArgumentParser
import DualityAnalysis
import DualityCore
import DualityReference

#if Analysis
    /// The numbers that `duality ssd` computes in: those that FFTW has routines for.
    typealias OperatorNumber = AnalysisNumber
#else
    typealias OperatorNumber = RealNumber
#endif

enum ConvolutionMethod: String, CaseIterable, ExpressibleByArgument {
    case direct
    case fft

    /// The convolution form by this method.
    func evaluate<Scalar: OperatorNumber>(
        _ inputs: SSDInputs<Scalar>, statesEvery interval: Int?
    ) throws(InputError) -> SSDOutputs<Scalar> {
        switch self {
        case .direct: return try SSDForm.convolution.evaluate(inputs, statesEvery: interval)
        case .fft:
            #if Analysis
                return try SSDForm.convolutionByFFT(inputs, statesEvery: interval)
            #else
                throw InputError(
                    .unsupported, in: "--convolution fft", expected: "a build with the trait Analysis",
                    found: "one without",
                    remedy: """
                        Install FFTW 3 and OpenBLAS (packages libfftw3-dev and libopenblas-dev) and build with: swift build \
                        -c release --product duality --traits Analysis. Or convolve directly, without --convolution.
                        """)
            #endif
        }
    }
}
