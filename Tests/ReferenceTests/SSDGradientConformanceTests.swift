import DualityCore
import TestSupport
import Testing

@testable import DualityReference

/// Agreement with the gradients of float64 automatic differentiation, which are stored rounded to
/// float32.
@Suite struct SSDGradientConformanceTests {
    @Test(arguments: ConformanceCase.scans, SSDConformanceTests.forms)
    func float64FindsTheGradients(of example: ConformanceCase, form: SSDForm) throws {
        let gradients = try form.gradients(of: example.inputs(as: Double.self), upstream: example.upstream())
        let errors = try example.errors(of: gradients)
        #expect(errors.count >= 6, "the case has answers")
        for (name, error) in errors { #expect(error < 3e-7, "grad_\(name) of \(example.name), \(form): \(error)") }
    }

    /// The official float32 kernels are within 3.8e-6, but for one ∂A at 3.4e-5. Ours come to 1e-6
    /// element by element; the gradients of A, D and the bias are sums over all tokens, which
    /// cancel as they please.
    @Test(arguments: ConformanceCase.scans, SSDConformanceTests.forms)
    func float32IsAsNearAsTheOfficialKernels(to example: ConformanceCase, form: SSDForm) throws {
        let gradients = try form.gradients(of: example.inputs(as: Float.self), upstream: example.upstream())
        for (name, error) in try example.errors(of: gradients) {
            let limit = ["A", "D", "dt_bias"].contains(name) ? 1e-5 : 2e-6
            #expect(error < limit, "grad_\(name) of \(example.name), \(form): \(error)")
        }
    }
}
