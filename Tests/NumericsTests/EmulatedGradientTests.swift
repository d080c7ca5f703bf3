import DualityCore
import TestSupport
import Testing

@testable import DualityNumerics
@testable import DualityReference

/// Imitated backward passes are the gradients where nothing is rounded, and as far from them as
/// kernels are where much is.
@Suite struct EmulatedGradientTests {
    static let arithmetics: [(name: String, kernel: KernelArithmetic)] = {
        [SSDForm.recurrent, .chunked(size: 5), .chunked(size: 64), .quadratic].flatMap { form in
            KernelArithmetic.DecaySums.allCases.flatMap { sums in
                [nil, NumberFormat.f64].map { scaled in
                    var kernel = KernelArithmetic(.f64, form: form)
                    (kernel.decaySums, kernel.scaledInput) = (sums, scaled)
                    return ("\(form), \(sums), scaled \(scaled?.name ?? "no")", kernel)
                }
            }
        }
    }()

    @Test func inFloat64TheyAreTheGradients() throws {
        for seed in UInt64(0)..<5 {
            let (example, upstream) = try GradientErrorTests.example(seed)
            let exact = try SSDForm.recurrent.gradients(of: example.inputs, upstream: upstream)
            for (name, kernel) in Self.arithmetics {
                let found = try kernel.emulateGradients(example.inputs, upstream: upstream)
                #expect(found.named.map(\.name) == exact.named.map(\.name))
                for (a, b) in zip(found.named, exact.named) {
                    // Differences of sums lose digits of A's gradient where the decay is strong.
                    let isOfDecay = kernel.decaySums == .differences && ["dt", "A", "dt_bias"].contains(a.name)
                    let error = relativeL2(a.gradient.elements, b.gradient.elements)
                    #expect(error < (isOfDecay ? 1e-7 : 1e-10), "grad_\(a.name), \(name): \(error) on \(example)")
                }
            }
        }
    }

    @Test(arguments: ["mamba_ssm_f32", "mamba_ssm", "mamba_ssm,scaled=bf16,sums=segments", "mamba_ssm_step"])
    func theyAreInsideTheirBounds(text: String) throws {
        var ratios: [Double] = []
        for seed in UInt64(300)..<308 {
            let (example, upstream) = try GradientErrorTests.example(seed)
            var kernel = try KernelArithmetic(parsing: text)
            if case .chunked = kernel.form { kernel.form = .chunked(size: example.chunkSize) }
            let inputs = example.inputs
            let found = try GradientErrorTests.three(kernel.emulateGradients(inputs, upstream: upstream))
            let exact = try GradientErrorTests.three(SSDForm.recurrent.gradients(of: inputs, upstream: upstream))
            let bound = try GradientErrorTests.three(kernel.gradientErrorBound(for: inputs, upstream: upstream))
            let sigma = try GradientErrorTests.three(kernel.gradientRoundingSigma(for: inputs, upstream: upstream))
            for (i, name) in ["x", "B", "C"].enumerated() {
                let inBounds = ErrorBoundTests.worst(found[i], exact[i], bound[i])
                #expect(inBounds <= 1, "grad_\(name): error / bound \(inBounds) on \(example)")
                for j in exact[i].indices where exact[i][j] != 0 {
                    ratios.append((found[i][j] - exact[i][j]).magnitude / sigma[i][j])
                }
            }
        }
        let median = ratios.sorted()[ratios.count / 2]
        #expect((0.1...1.5).contains(median), "median error / sigma \(median)")
    }

    /// The official bfloat16 kernels' errors are on record; an imitation that forgot a rounding, or
    /// had one too many, is off by more.
    @Test(arguments: ConformanceCase.scans.filter { $0.dtype == "bf16" })
    func theyErrAsTheOfficialKernelsDo(on example: ConformanceCase) throws {
        let kernel = KernelArithmetic.mambaChunkScan(.bf16, chunkSize: example.chunkSize)
        let found = try kernel.emulateGradients(example.inputs(), upstream: example.upstream())
        for (name, error) in try example.errors(of: found) {
            let official = try #require(example.officialErrors["grad_\(name)"])
            // One number a head is chance.
            let range = ["A", "D", "dt_bias"].contains(name) ? 0.02...50 : 0.6...1.6
            #expect(range.contains(error / official), "grad_\(name): \(error), officially \(official)")
        }
    }
}
