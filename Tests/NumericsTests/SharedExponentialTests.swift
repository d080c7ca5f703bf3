import DualityCore
import DualityNumerics
import DualityReference
import TestSupport
import Testing

/// Exponentials of a table err together along a state, and sigma knows it.
@Suite struct SharedExponentialTests {
    /// A state of which the decay is all there is to see.
    static func inputs(decay: Double, length: Int, spread: Double) throws -> SSDInputs<Double> {
        var random = RandomSource(seed: 21)
        func normal(_ shape: [Int], _ scale: Double = 1) -> Tensor<Double> {
            Tensor(repeating: 0.0, shape: shape).map { _ in NumberFormat.bf16.round(scale * random.normal()) }
        }
        let steps = Tensor(repeating: 0.0, shape: [1, length, 2]).map { _ in
            NumberFormat.f32.round(decay * (1 + spread * random.uniform(in: -1...1)))
        }
        return try SSDInputs(
            x: normal([1, length, 2, 4]), dt: steps, a: Tensor([-1.0, -0.5]), b: normal([1, length, 1, 16]),
            c: normal([1, length, 1, 16]), initialState: normal([1, 2, 4, 16], 1e6), dtSoftplus: false)
    }

    static func worst(
        _ found: SSDOutputs<Double>, _ exact: SSDOutputs<Double>, _ sizes: SSDErrorSizes
    ) -> Double {
        func largest(_ a: Tensor<Double>, _ b: Tensor<Double>, _ size: Tensor<Double>) -> Double {
            a.elements.indices.map { (a.elements[$0] - b.elements[$0]).magnitude / size.elements[$0] }.max() ?? 0
        }
        return max(
            largest(found.y, exact.y, sizes.y), largest(found.finalState, exact.finalState, sizes.finalState))
    }

    /// Everything but the exponentials is as exact as float32 has it, so that they alone show.
    @Test(arguments: [(0.02, 0.5), (0.002, 0.9), (0.3, 0.9), (0.0005, 0.0)])
    func aStateDriftsAsItsExponentialsDo(decay: Double, spread: Double) throws {
        let inputs = try Self.inputs(decay: decay, length: 600, spread: spread)
        let exact = try SSDForm.recurrent.evaluate(inputs)
        var arithmetic = KernelArithmetic(.f32, form: .recurrent)
        arithmetic.scaledInput = nil
        arithmetic.exponential = .fast
        let sigma = try arithmetic.roundingSigma(for: inputs)
        let bound = try arithmetic.errorBound(for: inputs)
        for (i, exponential) in TableExponential.examples.enumerated() {
            let found = try FusedRecurrentKernel(exponential: exponential, isBFloat16: false)(inputs)
            #expect(Self.worst(found, exact, bound) < 1, "device \(i)")
            let ratio = Self.worst(found, exact, sigma)
            #expect(ratio < 6, "device \(i): \(ratio) sigma")
        }
    }

    /// Exponentials that are rounded at random do not explain such a drift.
    @Test func independentErrorsDoNotExplainIt() throws {
        let inputs = try Self.inputs(decay: 0.002, length: 600, spread: 0.9)
        let exact = try SSDForm.recurrent.evaluate(inputs)
        let sigma = try KernelArithmetic(.f32, form: .recurrent).roundingSigma(for: inputs)
        let found = try FusedRecurrentKernel(exponential: TableExponential(), isBFloat16: false)(inputs)
        let ratio = Self.worst(found, exact, sigma)
        #expect(ratio > 8, "\(ratio) sigma")
    }

    /// The devices are within two units of the last place, and lean to one side.
    @Test func theTablesAreAsGoodAsTheInstruction() {
        var random = RandomSource(seed: 4)
        for exponential in TableExponential.examples {
            var (largest, mean) = (0.0, 0.0)
            for _ in 0..<20_000 {
                let z = Float(-random.uniform(in: 0.001...0.1))
                let exact = Double.exp(Double(z))
                let error = (Double(exponential(z)) - exact) * 0x1p24
                largest = max(largest, error.magnitude)
                mean += error / 20_000
            }
            #expect(largest < 2, "\(largest)")
            #expect(mean.magnitude > 0.3, "\(mean)")
        }
    }

    @Test func aYThatIsStoredBeforeItsGateErrsByMore() throws {
        let inputs = try SSDShape(batch: 1, length: 40).inputs()
        let later = try KernelArithmetic(parsing: "mamba_ssm,form=chunked:16,gate=bf16,skip=bf16")
        let within = try KernelArithmetic(parsing: "mamba_ssm,form=chunked:16,gate=none")
        let exact = try SSDForm.recurrent.evaluate(inputs)
        let found = try later.emulate(inputs)
        #expect(try Self.worst(found, exact, later.errorBound(for: inputs)) < 1)
        #expect(try Self.worst(found, exact, later.roundingSigma(for: inputs)) < 8)
        #expect(try within.emulate(inputs).y != found.y)
    }
}
