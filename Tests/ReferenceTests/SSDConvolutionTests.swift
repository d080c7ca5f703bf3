import DualityCore
import TestSupport
import Testing

@testable import DualityReference

/// A system that does not change with time is a convolution, and only such a system is.
@Suite struct SSDConvolutionTests {
    /// Operands whose dt, B and C are those of the first token throughout.
    static func constant(_ shape: SSDShape) throws -> SSDInputs<Double> {
        let inputs = try shape.inputs()
        func held(_ tensor: Tensor<Double>) throws -> Tensor<Double> {
            let width = tensor.shape[2...].reduce(1, *)
            let row = tensor.shape[1] * width
            let elements = tensor.elements.indices.map { tensor.elements[$0 / row * row + $0 % width] }
            return try Tensor(shape: tensor.shape, elements: elements)
        }
        return try inputs.replacing(dt: held(inputs.dt), b: held(inputs.b), c: held(inputs.c))
    }

    @Test(arguments: [1, 2, 63, 64, 65, 300], [1e-8, 0.3, 40])
    func itIsTheRecurrence(length: Int, decay: Double) throws {
        let inputs = try Self.constant(SSDShape(length: length, decay: decay))
        let expected = try SSDForm.recurrent.evaluate(inputs, statesEvery: 10)
        let found = try SSDForm.convolution.evaluate(inputs, statesEvery: 10)
        let y = relativeL2(found.y.elements, expected.y.elements)
        let states = try relativeL2(
            #require(found.boundaryStates).elements, #require(expected.boundaryStates).elements)
        #expect(y < 1e-13, "\(y)")
        #expect(states < 1e-13, "\(states)")
        #expect(found.logDecay == expected.logDecay)
    }

    /// Each sequence of a row may be another system.
    @Test func packedSequencesHaveAKernelEach() throws {
        var inputs = try Self.constant(SSDShape(batch: 1, length: 30))
        var dt = inputs.dt
        for i in 17 * 4..<30 * 4 { dt.elements[i] += 1 }
        inputs = try inputs.replacing(dt: dt, packing: Packing(cumulativeLengths: [0, 17, 17, 30]))
        let expected = try SSDForm.recurrent.evaluate(inputs)
        let found = try SSDForm.convolution.evaluate(inputs)
        let errors = [
            relativeL2(found.y.elements, expected.y.elements),
            relativeL2(found.sequenceStates.elements, expected.sequenceStates.elements),
        ]
        #expect(errors.allSatisfy { $0 < 1e-13 }, "\(errors)")
    }

    @Test func aSelectiveSystemIsRefusedByTheOperandThatChanges() throws {
        let inputs = try Self.constant(SSDShape(length: 12))
        let dt = try inputs.replacing(dt: inputs.dt.nudged(at: [1, 5, 2]))
        let b = try inputs.replacing(b: inputs.b.nudged(at: [0, 7, 1, 3]))
        let c = try inputs.replacing(c: inputs.c.nudged(at: [0, 11, 0, 0]))
        for (changed, place, token) in [(dt, "dt", 5), (b, "B", 7), (c, "C", 11)] {
            let error = #expect(throws: InputError.self) { try SSDForm.convolution.evaluate(changed) }
            #expect(error?.kind == .value)
            #expect(error?.place == place)
            #expect(error?.found == "a change at token \(token)")
        }
    }
}

extension Tensor<Double> {
    fileprivate func nudged(at index: [Int]) -> Tensor {
        var tensor = self
        var offset = 0
        for (i, length) in zip(index, shape) { offset = offset * length + i }
        tensor.elements[offset] += 1e-3
        return tensor
    }
}
