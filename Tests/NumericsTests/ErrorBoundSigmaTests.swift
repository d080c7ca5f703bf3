import DualityCore
import TestSupport
import Testing

@testable import DualityNumerics
@testable import DualityReference

/// Errors in units of sigma, pooled.
struct SigmaRatios {
    private(set) var ratios: [Float] = []
    private(set) var worst = 0.0
    private(set) var worstPlace = ""

    mutating func add(_ found: Tensor<Double>, _ exact: Tensor<Double>, _ sigma: Tensor<Double>, of place: String) {
        for i in exact.elements.indices {
            let error = (found.elements[i] - exact.elements[i]).magnitude
            if error == 0 && exact.elements[i] == 0 { continue }  // nothing was ever put there
            let ratio = error / sigma.elements[i]
            ratios.append(Float(ratio))
            if !(ratio <= worst) { (worst, worstPlace) = (ratio.isNaN ? .infinity : ratio, place) }
        }
    }

    mutating func add(
        _ found: SSDOutputs<Double>, _ exact: SSDOutputs<Double>, _ sigma: SSDErrorSizes, of place: String
    ) {
        add(found.y, exact.y, sigma.y, of: place)
        add(found.sequenceStates, exact.sequenceStates, sigma.sequenceStates, of: place)
    }

    var median: Double {
        let sorted = ratios.sorted()
        return sorted.isEmpty ? 0 : Double(sorted[sorted.count / 2])
    }
}

@Suite struct ErrorBoundSigmaTests {
    @Test(arguments: ["recurrent", "chunked", "quadratic", "tree"])
    func theFormsInFloatPeakWhereNoiseDoes(name: String) throws {
        var ratios = SigmaRatios()
        for seed in UInt64(2000)..<2300 {
            let example = try ErrorBoundCase(seed: seed)
            let trees: [ScanTree] = [.balanced, .left, .right, .random(seed: seed)]
            let form: SSDForm =
                switch name {
                case "recurrent": .recurrent
                case "quadratic": .quadratic
                case "tree": .associative(tree: trees[Int(seed % 4)], leaf: 1 + Int(seed % 23))
                default: .chunked(size: example.chunkSize)
                }
            let narrow: SSDInputs<Float> = try example.inputs.converted()
            try ratios.add(
                form.evaluate(narrow).converted(), SSDForm.recurrent.evaluate(example.inputs),
                KernelArithmetic(.f32, form: form).roundingSigma(for: example.inputs), of: example.description)
        }
        #expect(ratios.worst <= 8, "\(name): \(ratios.worst) sigma on \(ratios.worstPlace)")
        #expect((0.2...1.5).contains(ratios.median), "\(name): median \(ratios.median) of \(ratios.ratios.count)")
    }

    /// A long sequence of ordinary operands: where the estimate has to be right on average, and not
    /// only safe.
    @Test(arguments: [
        SSDForm.recurrent, .chunked(size: 16), .chunked(size: 64), .chunked(size: 256), .chunked(size: 1024),
        .quadratic, .associative(tree: .balanced, leaf: 1), .associative(tree: .left, leaf: 16),
    ])
    func theSpreadIsThatOfTheErrors(form: SSDForm) throws {
        let inputs = try Self.longInputs()
        let narrow: SSDInputs<Float> = try inputs.converted()
        let exact = try SSDForm.recurrent.evaluate(inputs)
        let found: SSDOutputs<Double> = try form.evaluate(narrow).converted()
        let arithmetic = KernelArithmetic(.f32, form: form)
        let sigma = try arithmetic.roundingSigma(for: inputs)
        var ratios = SigmaRatios()
        ratios.add(found.y, exact.y, sigma.y, of: "y")
        let squares = ratios.ratios.reduce(0.0) { $0 + Double($1) * Double($1) }
        let rms = (squares / Double(ratios.ratios.count)).squareRoot()
        #expect((0.4...1.3).contains(rms), "\(form): RMS of error / sigma \(rms)")
        #expect(ratios.worst <= 6, "\(form): \(ratios.worst) sigma")
        let bound = try arithmetic.errorBound(for: inputs)
        let ratio = ErrorBoundTests.worst(found, exact, bound)
        #expect(ratio < 1, "\(form): error / bound \(ratio)")
    }

    /// Chunks of 16 to 1024 tokens differ by less than a factor of two in the error they make.
    @Test func theChunkSizeHardlyMatters() throws {
        let inputs = try Self.longInputs()
        let narrow: SSDInputs<Float> = try inputs.converted()
        let exact = try SSDForm.recurrent.evaluate(inputs)
        let errors = try [16, 64, 256, 1024].map { size in
            try relativeL2(SSDForm.chunked(size: size).evaluate(narrow).y.elements, exact.y.elements)
        }
        #expect((errors.max() ?? 0) < 2 * (errors.min() ?? 0), "\(errors)")
    }

    /// Kernels with narrow formats, whose roundings are large and few.
    @Test(arguments: [
        "mamba_ssm_f32", "mamba_ssm_f32,products=tf32", "mamba_ssm", "mamba_ssm,scaled=bf16,sums=segments",
        "mamba_ssm,inputs=f16,products=f16,chunks=f16,out=f16", "mamba_ssm_step", "mamba_ssm_step,state=bf16",
        "mamba_ssm_step,state=f16", "mamba_ssm,chunks=f32",
    ])
    func theEmulationsPeakWhereNoiseDoes(text: String) throws {
        var ratios = SigmaRatios()
        for seed in UInt64(3000)..<3080 {
            let example = try ErrorBoundCase(seed: seed, format: seed % 4 == 0 ? .f32 : .bf16, widest: 32)
            var arithmetic = try KernelArithmetic(parsing: text)
            if case .chunked = arithmetic.form { arithmetic.form = .chunked(size: example.chunkSize) }
            guard let emulated = try? arithmetic.emulate(example.inputs) else { continue }  // dt overflows float16
            // Half precision promises nothing beyond its range.
            let bound = try arithmetic.errorBound(for: example.inputs)
            guard bound.y.elements.allSatisfy(\.isFinite) else { continue }
            try ratios.add(
                emulated, SSDForm.recurrent.evaluate(example.inputs), arithmetic.roundingSigma(for: example.inputs),
                of: example.description)
        }
        #expect(ratios.worst <= 8, "\(text): \(ratios.worst) sigma on \(ratios.worstPlace)")
        #expect((0.15...1.5).contains(ratios.median), "\(text): median \(ratios.median) of \(ratios.ratios.count)")
    }

    @Test(arguments: ConformanceCase.scans) func theOfficialKernelsPeakWhereNoiseDoes(of example: ConformanceCase)
        throws
    {
        let file = try example.file()
        guard file.contains("y_triton") else { return }
        let inputs: SSDInputs<Double> = try example.inputs()
        let format = try NumberFormat(named: example.dtype)
        let arithmetic = KernelArithmetic.mambaChunkScan(format, chunkSize: example.chunkSize)
        let sigma = try arithmetic.roundingSigma(for: inputs)
        var ratios = SigmaRatios()
        try ratios.add(file.tensor("y_triton"), file.tensor("y_f64"), sigma.y, of: "y")
        try ratios.add(
            file.tensor("final_states_triton"), file.tensor("final_states_f64"), sigma.finalState, of: "state")
        #expect(ratios.worst <= 8, "\(example.name): \(ratios.worst) sigma in \(ratios.worstPlace)")
        #expect((0.1...1.5).contains(ratios.median), "\(example.name): median \(ratios.median)")
    }

    @Test(arguments: ConformanceCase.steps.filter { $0.dtype == "bf16" })
    func theOfficialStepsPeakWhereNoiseDoes(of example: ConformanceCase) throws {
        let file = try example.file()
        let state = try NumberFormat(named: #require(example.stateDtype))
        let sigma = try KernelArithmetic.mambaStateUpdate(.bf16, state: state).roundingSigma(for: example.stepInputs())
        var ratios = SigmaRatios()
        func add(_ name: String, _ sigma: Tensor<Double>) throws {
            // [steps, b, …] and [b, steps, …] hold the same numbers where b = 1.
            let shape = sigma.shape
            try ratios.add(
                file.tensor("\(name)_triton", as: Double.self).reshaped(shape),
                file.tensor("\(name)_f64", as: Double.self).reshaped(shape), sigma, of: name)
        }
        try add("y", sigma.y)
        try add("state_final", sigma.finalState)
        #expect(ratios.worst <= 8, "\(example.name): \(ratios.worst) sigma in \(ratios.worstPlace)")
    }

    /// Errors that repeat token after token add up as they are: a constant step, constant B and C,
    /// constant x.
    @Test(
        arguments: [1e-8, 1e-5, 1e-3, 0.1],
        [
            SSDForm.recurrent, .chunked(size: 64), .quadratic, .associative(tree: .left, leaf: 1),
            .associative(tree: .right, leaf: 3), .associative(tree: .balanced, leaf: 8),
            .associative(tree: .random(seed: 3), leaf: 2),
        ])
    func timeInvariantOperandsAreNoExcuse(decay: Double, form: SSDForm) throws {
        var random = RandomSource(seed: 77)
        func constant(_ shape: [Int]) -> Tensor<Double> {
            let width = shape[shape.count - 1]
            let row = (0..<width).map { _ in NumberFormat.f32.round(random.normal()) }
            var i = 0
            return Tensor(repeating: 0.0, shape: shape).map { _ in
                defer { i += 1 }
                return row[i % width]
            }
        }
        let (length, step) = (400, Double(Float(0.0123)))
        let inputs = try SSDInputs<Double>(
            x: constant([1, length, 1, 4]), dt: Tensor(repeating: step, shape: [1, length, 1]),
            a: Tensor([NumberFormat.f32.round(-decay / step)]), b: constant([1, length, 1, 16]),
            c: constant([1, length, 1, 16]), dtSoftplus: false)
        var ratios = SigmaRatios()
        try ratios.add(
            form.evaluate(inputs.converted(to: Float.self)).converted(), SSDForm.recurrent.evaluate(inputs),
            KernelArithmetic(.f32, form: form).roundingSigma(for: inputs), of: "decay \(decay)")
        #expect(ratios.worst <= 8, "\(form), decay \(decay): \(ratios.worst) sigma")
    }

    /// L = 2048 with memories from one token to thousands.
    static func longInputs() throws -> SSDInputs<Double> {
        let (length, heads, headDim, stateDim) = (2048, 3, 16, 64)
        var random = RandomSource(seed: 9)
        func normal(_ shape: [Int]) -> Tensor<Double> {
            Tensor(repeating: 0.0, shape: shape).map { _ in NumberFormat.f32.round(random.normal()) }
        }
        return try SSDInputs(
            x: normal([1, length, heads, headDim]), dt: normal([1, length, heads]), a: Tensor([-0.05, -1, -16]),
            b: normal([1, length, 1, stateDim]), c: normal([1, length, 1, stateDim]), d: Tensor([1.0, 0.5, 0.25]),
            dtBias: Tensor([-4.5, -3.25, -2].map { NumberFormat.f32.round($0) }))
    }
}
