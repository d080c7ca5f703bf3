import Duality
import TestSupport
import Testing

/// A kernel's tensors in memory get the verdict that their file would get.
@Suite struct KernelVerificationTests {
    private func call() throws -> (inputs: [String: Tensor<Float>], y: Tensor<Float>, states: Tensor<Float>) {
        let shape = SSDShape(batch: 1, length: 24, heads: 2, xHeads: 2, bHeads: 2, cHeads: 2)
        let operands: SSDInputs<Float> = try shape.inputs().converted()
        let outputs = try SSDForm.recurrent.evaluate(operands)
        var inputs = ["x": operands.x, "dt": operands.dt, "A": operands.a, "B": operands.b, "C": operands.c]
        inputs["D"] = operands.d
        inputs["z"] = operands.z
        inputs["dt_bias"] = operands.dtBias
        inputs["initial_states"] = operands.initialState
        return (inputs, outputs.y, outputs.finalState)
    }

    @Test func aRightKernelPasses() throws {
        let (inputs, y, states) = try call()
        let report = try verify(outputs: ["y": y, "final_states": states], inputs: inputs)
        #expect(report.verdict == .pass, "\(report.problems)")
        #expect(report.outputs.count == 2)
    }

    @Test func aForgottenBiasIsNamed() throws {
        var (inputs, y, states) = try call()
        inputs["dt_bias"] = inputs["dt_bias"]?.map { $0 + 1 }
        let report = try verify(outputs: ["y": y, "final_states": states], inputs: inputs)
        #expect(report.verdict == .fail)
        y.elements[3] = .nan
        states = try Tensor(shape: [1], elements: [0])
        #expect(try verify(outputs: ["y": y, "final_states": states], inputs: inputs).verdict == .fail)
    }

    @Test func aPrecisionThatIsNoneIsRefused() throws {
        #expect(throws: InputError.self) { try verify(outputs: [:], inputs: [:], precision: "quite exact") }
    }
}
