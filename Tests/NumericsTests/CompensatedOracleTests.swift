import DualityCore
import DualityNumerics
import DualityReference
import TestSupport
import Testing

/// The oracle that float64 is held against.
@Suite struct CompensatedOracleTests {
    /// What the compensated oracle returns is the exact answer rounded, and nothing else.
    @Test(arguments: UInt64(50)..<58) func theCompensatedOracleRoundsOnce(seed: UInt64) throws {
        let example = try ErrorBoundCase(seed: seed, widest: 8)
        let exact = try SSDForm.recurrent.evaluate(example.inputs.converted(to: DoubleDouble.self))
        func ulps(_ found: Tensor<Double>, _ exact: Tensor<DoubleDouble>) -> Double {
            var worst = 0.0
            for (a, b) in zip(found.elements, exact.elements) {
                worst = max(worst, (DoubleDouble(a) - b).magnitude.double / max(b.double.ulp, 1e-300))
            }
            return worst
        }
        let compensated = try example.inputs.oracle(summation: .compensated)
        let plain = try example.inputs.oracle(summation: .plain)
        let errors = [ulps(compensated.y, exact.y), ulps(compensated.sequenceStates, exact.sequenceStates)]
        #expect(errors.allSatisfy { $0 <= 0.5001 }, "\(errors) ulp on \(example)")
        #expect(ulps(plain.y, exact.y) > 0.5001, "plain sums: \(ulps(plain.y, exact.y)) ulp on \(example)")
    }
}
