import DualityCore
import TestSupport
import Testing

@testable import DualityNumerics
@testable import DualityReference

/// ∂x, ∂B and ∂C of right backward passes are inside their bound and a few of their sigmas, those
/// of wrong ones are not.
@Suite struct GradientErrorTests {
    /// A generated call and an upstream gradient exact in float32.
    static func example(_ seed: UInt64) throws -> (example: ErrorBoundCase, upstream: SSDUpstream<Double>) {
        let example = try ErrorBoundCase(seed: seed, widest: 16)
        var random = RandomSource(seed: ~seed)
        func normal(_ shape: [Int]) -> Tensor<Double> {
            Tensor(repeating: 0.0, shape: shape).map { _ in NumberFormat.f32.round(random.normal()) }
        }
        let inputs = example.inputs
        let states = [inputs.packing?.count ?? inputs.batch, inputs.heads, inputs.headDim, inputs.stateDim]
        let y = normal([inputs.batch, inputs.length, inputs.heads, inputs.headDim])
        return (example, SSDUpstream(y: y, sequenceStates: seed % 2 == 0 ? normal(states) : nil))
    }

    static func forms(_ example: ErrorBoundCase) -> [SSDForm] {
        [
            .recurrent, .chunked(size: example.chunkSize), .chunked(size: 5), .quadratic,
            .associative(tree: .balanced, leaf: 3),
        ]
    }

    /// The three gradients side by side.
    static func three(_ gradients: SSDGradients<some RealNumber>) -> [[Double]] {
        [gradients.x, gradients.b, gradients.c].map { $0.elements.map(\.double) }
    }

    static func three(_ sizes: SSDGradientErrorSizes) -> [[Double]] { sizes.named.map(\.sizes.elements) }

    @Test func theFormsAreInside() throws {
        var ratios: [Double] = []
        for seed in UInt64(0)..<40 {
            let (example, upstream) = try Self.example(seed)
            let inputs = example.inputs
            let exact = try Self.three(SSDForm.recurrent.gradients(of: inputs, upstream: upstream))
            let narrow = SSDUpstream<Float>(
                y: upstream.y?.converted(), sequenceStates: upstream.sequenceStates?.converted())
            for form in Self.forms(example) {
                let single = try Self.three(form.gradients(of: inputs.converted(), upstream: narrow))
                let kernel = KernelArithmetic(.f32, form: form)
                let bound = try Self.three(kernel.gradientErrorBound(for: inputs, upstream: upstream))
                let sigma = try Self.three(kernel.gradientRoundingSigma(for: inputs, upstream: upstream))
                let double = try Self.three(form.gradients(of: inputs, upstream: upstream))
                let ofDouble = try Self.three(
                    KernelArithmetic(.f64, form: form).gradientErrorBound(for: inputs, upstream: upstream))
                for (i, name) in ["x", "B", "C"].enumerated() {
                    let inBounds = ErrorBoundTests.worst(single[i], exact[i], bound[i])
                    #expect(inBounds < 1, "float32 \(form), grad_\(name): error / bound \(inBounds) on \(example)")
                    let inSigmas = ErrorBoundTests.worst(single[i], exact[i], sigma[i])
                    #expect(inSigmas <= 8, "float32 \(form), grad_\(name): \(inSigmas) sigma on \(example)")
                    let wide = ErrorBoundTests.worst(double[i], exact[i], ofDouble[i])
                    #expect(wide < 1, "float64 \(form), grad_\(name): error / bound \(wide) on \(example)")
                    for j in exact[i].indices where exact[i][j] != 0 {
                        ratios.append((single[i][j] - exact[i][j]).magnitude / sigma[i][j])
                    }
                }
            }
        }
        let median = ratios.sorted()[ratios.count / 2]
        #expect((0.2...1.5).contains(median), "median error / sigma \(median) of \(ratios.count)")
    }

    /// bfloat16 operands and gradients, float32 between them.
    @Test func narrowOperandsAreInside() throws {
        func narrow(_ tensor: Tensor<Double>) -> Tensor<Float> { tensor.map { Float(NumberFormat.bf16.round($0)) } }
        for seed in UInt64(100)..<120 {
            let (example, upstream) = try Self.example(seed)
            let inputs = example.inputs
            var kernel = KernelArithmetic(.f32, form: .chunked(size: example.chunkSize))
            kernel.inputs = .bf16
            let read = try SSDInputs<Float>(
                x: narrow(inputs.x), dt: narrow(inputs.dt), a: inputs.a.converted(), b: narrow(inputs.b),
                c: narrow(inputs.c), d: inputs.d?.converted(), z: inputs.z.map(narrow),
                dtBias: inputs.dtBias?.converted(), initialState: inputs.initialState?.converted(),
                packing: inputs.packing, headMap: inputs.headMap, dtSoftplus: inputs.dtSoftplus,
                dtLimit: inputs.dtLimit)
            let found = try Self.three(
                kernel.form.gradients(
                    of: read,
                    upstream: SSDUpstream(
                        y: upstream.y.map(narrow), sequenceStates: upstream.sequenceStates?.converted()))
            ).map { $0.map { NumberFormat.bf16.round($0) } }
            let exact = try Self.three(SSDForm.recurrent.gradients(of: inputs, upstream: upstream))
            let bound = try Self.three(kernel.gradientErrorBound(for: inputs, upstream: upstream))
            let sigma = try Self.three(kernel.gradientRoundingSigma(for: inputs, upstream: upstream))
            for (i, name) in ["x", "B", "C"].enumerated() {
                let ratio = ErrorBoundTests.worst(found[i], exact[i], bound[i])
                let sigmas = ErrorBoundTests.worst(found[i], exact[i], sigma[i])
                #expect(ratio < 1 && sigmas <= 8, "grad_\(name): \(ratio) of the bound, \(sigmas) sigma on \(example)")
            }
        }
    }

    /// Faults that touch these gradients, each far outside in float32.
    @Test(arguments: [
        SSDGradientFault.none, .forgetsTheStepInTheInput, .readsTheStateBeforeTheUpdate, .decaysWithItsOwnToken,
        .decaysTheFinalState, .forgetsTheFinalState, .forgetsTheSkip, .keepsOneHeadOfAGroup,
        .forgetsThatTheGateComesLast,
    ])
    func aFaultIsOutside(fault: SSDGradientFault) throws {
        let inputs = try SSDShape(batch: 1, length: 20, bHeads: 2, decay: 0.4, seed: 6).inputs()
        var random = RandomSource(seed: 12)
        func normal(_ shape: [Int]) -> Tensor<Double> {
            Tensor(repeating: 0.0, shape: shape).map { _ in random.normal() }
        }
        let upstream = SSDUpstream(
            y: normal([1, 20, inputs.heads, inputs.headDim]),
            finalState: normal([1, inputs.heads, inputs.headDim, inputs.stateDim]))
        let found = try Self.three(plainGradients(of: inputs, upstream: upstream, fault: fault))
        let exact = try Self.three(SSDForm.recurrent.gradients(of: inputs, upstream: upstream))
        let bound = try Self.three(
            KernelArithmetic(.f32, form: .chunked(size: 8)).gradientErrorBound(for: inputs, upstream: upstream))
        let ratio = (0..<3).map { ErrorBoundTests.worst(found[$0], exact[$0], bound[$0]) }.max() ?? 0
        if fault == .none { #expect(ratio < 1e-6, "\(ratio)") } else { #expect(ratio > 10, "\(fault): \(ratio)") }
    }
}

@Suite struct SSDHeadsTests {
    /// Every head alone is what it is among the others: outputs, bounds and sigmas, bit for bit.
    @Test func headsAloneAreTheHeadsOfAll() throws {
        var inputs = try SSDShape(length: 21, heads: 4, xHeads: 2, bHeads: 4, cHeads: 1).inputs()
        inputs = try inputs.replacing(headMap: HeadMap(x: [1, 0, 1, 1], b: [3, 3, 0, 1], c: [0, 0, 0, 0]))
        let kernel = KernelArithmetic(.f32, form: .chunked(size: 8))
        let (all, bound, sigma) = try (
            SSDForm.recurrent.evaluate(inputs), kernel.errorBound(for: inputs), kernel.roundingSigma(for: inputs)
        )
        for range in [0..<1, 1..<3, 3..<4] {
            let some = try inputs.heads(range)
            #expect(some.heads == range.count)
            let (y, itsBound, itsSigma) = try (
                SSDForm.recurrent.evaluate(some), kernel.errorBound(for: some), kernel.roundingSigma(for: some)
            )
            for (part, whole) in [(y.y, all.y), (itsBound.y, bound.y), (itsSigma.y, sigma.y)] {
                for row in 0..<2 {
                    for t in 0..<21 {
                        for (i, head) in range.enumerated() {
                            for p in 0..<5 { #expect(part[row, t, i, p] == whole[row, t, head, p]) }
                        }
                    }
                }
            }
        }
        #expect(throws: InputError.self) { try inputs.heads(2..<5) }
        #expect(throws: InputError.self) { try inputs.heads(1..<1) }
    }
}
