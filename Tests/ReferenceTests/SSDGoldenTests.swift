import DualityCore
import TestSupport
import Testing

@testable import DualityReference

/// A three-token example that can be followed by hand.
@Suite struct SSDGoldenTests {
    static func inputs() throws -> SSDInputs<Double> {
        try SSDInputs(
            x: Tensor(shape: [1, 3, 1, 2], elements: [1, -2, 0.5, 1, -1, 3]),
            dt: Tensor(shape: [1, 3, 1], elements: [0, 1, -1]), a: Tensor([-0.75]),
            b: Tensor(shape: [1, 3, 1, 2], elements: [1, 0, 0.5, -1, 2, 1]),
            c: Tensor(shape: [1, 3, 1, 2], elements: [1, 1, -1, 2, 0.5, 0.25]),
            d: Tensor([0.1]), dtBias: Tensor([-0.5]))
    }

    @Test(arguments: [SSDForm.recurrent, .chunked(size: 1), .chunked(size: 2), .chunked(size: .max), .quadratic])
    func everyFormGivesTheHandComputedNumbers(form: SSDForm) throws {
        let outputs = try form.evaluate(Self.inputs())
        let y = [
            0.5740769841801067, -1.1481539683602133, -1.3959308044759304, -1.8785233119486726, -0.2536060041186172,
            0.858978605715675,
        ]
        let state = [0.0028715397461287484, -0.6201670959667265, 1.2345911124411952, -0.233267802019691]
        #expect(maximumDifference(outputs.y.elements, y) <= 1e-15, "\(outputs.y.elements)")
        #expect(maximumDifference(outputs.finalState.elements, state) <= 1e-15, "\(outputs.finalState.elements)")
        #expect(maximumDifference(outputs.logDecay.elements, [-1.2371754347572244]) <= 1e-15)
    }

    @Test func theStepsAreBiasedSoftplussedAndClamped() throws {
        let steps = try Self.inputs().effectiveSteps()
        #expect(
            maximumDifference(steps.elements, [0.4740769841801067, 0.9740769841801067, 0.2014132779827524]) <= 1e-16,
            "\(steps.elements)")
    }
}
