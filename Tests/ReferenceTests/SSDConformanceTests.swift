import DualityCore
import TestSupport
import Testing

@testable import DualityReference

/// Agreement with the official implementation, on its own operands and answers.
@Suite struct SSDConformanceTests {
    static let forms: [SSDForm] = [
        .recurrent, .chunked(size: 1), .chunked(size: 16), .chunked(size: 61), .chunked(size: 256),
        .chunked(size: 1000), .quadratic, .associative(tree: .balanced, leaf: 1), .associative(tree: .left, leaf: 16),
        .associative(tree: .right, leaf: 5), .associative(tree: .random(seed: 3), leaf: 2),
    ]

    @Test func thereAreCases() {
        #expect(ConformanceCase.scans.count >= 20)
        #expect(ConformanceCase.steps.count >= 5)
    }

    /// bfloat16 operands are widened exactly, and then the answers in float64 are ours to reach
    /// too.
    @Test(arguments: ConformanceCase.scans, forms)
    func float64FindsTheAnswers(of example: ConformanceCase, form: SSDForm) throws {
        let file = try example.file()
        let outputs = try form.evaluate(example.inputs(as: Double.self))
        let y = try relativeL2(outputs.y.elements, file.tensor("y_f64", as: Double.self).elements)
        let state = try relativeL2(
            outputs.finalState.elements, file.tensor("final_states_f64", as: Double.self).elements)
        #expect(y < 1e-11, "y of \(example.name), \(form): \(y)")
        #expect(state < 1e-11, "final state of \(example.name), \(form): \(state)")
    }

    /// The official float32 kernels are within 1.0e-6 in their worst case, the chunked form as
    /// well; token by token the slowest heads, which average over all of the sequence, come to
    /// 1.2e-6.
    @Test(arguments: ConformanceCase.scans, forms)
    func float32IsAsNearAsTheOfficialKernels(to example: ConformanceCase, form: SSDForm) throws {
        let file = try example.file()
        let outputs = try form.evaluate(example.inputs(as: Float.self))
        let y = try relativeL2(outputs.y.elements, file.tensor("y_f64", as: Double.self).elements)
        let state = try relativeL2(
            outputs.finalState.elements, file.tensor("final_states_f64", as: Double.self).elements)
        #expect(y < 2e-6, "y of \(example.name), \(form): \(y)")
        #expect(state < 2e-6, "final state of \(example.name), \(form): \(state)")
    }

    /// Decoding is the same operator on one token after another.
    @Test(arguments: ConformanceCase.steps.filter { $0.isTied }, forms)
    func decodeStepsFindTheAnswers(of example: ConformanceCase, form: SSDForm) throws {
        let file = try example.file()
        let x: Tensor<Double> = try file.tensor("x")
        var state: Tensor<Double> = try file.tensor("state0")
        var y: [Double] = []
        for step in 0..<x.shape[0] {
            func token(_ name: String) throws -> Tensor<Double> {
                let all = try file.tensor(name, as: Double.self)
                let width = all.shape[1...].reduce(1, *)
                return try Tensor(
                    shape: [all.shape[1], 1] + all.shape[2...],
                    elements: Array(all.elements[step * width..<(step + 1) * width]))
            }
            let outputs = try form.evaluate(
                SSDInputs(
                    x: token("x"), dt: token("dt"), a: file.tensor("A"), b: token("B"), c: token("C"),
                    d: file.contains("D") ? file.tensor("D") : nil, z: file.contains("z") ? token("z") : nil,
                    dtBias: file.contains("dt_bias") ? file.tensor("dt_bias") : nil, initialState: state))
            y += outputs.y.elements
            state = outputs.finalState
        }
        let yError = try relativeL2(y, file.tensor("y_f64", as: Double.self).elements)
        let stateError = try relativeL2(state.elements, file.tensor("state_final_f64", as: Double.self).elements)
        #expect(yError < 1e-11, "y of \(example.name), \(form): \(yError)")
        #expect(stateError < 1e-11, "state of \(example.name), \(form): \(stateError)")
    }

    /// One decay a head is what makes a state space model dual to attention; the step of Mamba-1,
    /// with a decay for each channel and state dimension, is another operator and is turned away by
    /// name.
    @Test func aDecayPerChannelIsTurnedAway() throws {
        let example = try #require(ConformanceCase.steps.first { !$0.isTied })
        let file = try example.file()
        let dt: Tensor<Double> = try file.tensor("dt")
        let error = #expect(throws: InputError.self) {
            try SSDInputs<Double>(
                x: file.tensor("x"), dt: dt, a: file.tensor("A"), b: file.tensor("B"), c: file.tensor("C"))
        }
        #expect(error?.kind == .shape)
        #expect(error?.place == "dt")
    }
}
