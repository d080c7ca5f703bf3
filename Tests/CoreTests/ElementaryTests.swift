import TestSupport
import Testing

@testable import DualityCore

@Suite struct ElementaryTests {
    /// x, softplus, sigmoid and SiLU, correctly rounded from 60 digits.
    static let table: [[Double]] = [
        [-745, 0x0.0000000000001p-1022, 0x0.0000000000001p-1022, -0x0.00000000001aap-1022],
        [-700, 0x1.14f2b0fb9307fp-1010, 0x1.14f2b0fb9307fp-1010, -0x1.7aa3cdf7f304ep-1001],
        [-400, 0x1.e50c483c04dcdp-578, 0x1.e50c483c04dcdp-578, -0x1.7af1986ee3cc8p-569],
        [-104, 0x1.f1e6b68529e33p-151, 0x1.f1e6b68529e33p-151, -0x1.948b744c3208ap-144],
        [-87.5, 0x1.b2caeeaab824ap-127, 0x1.b2caeeaab824ap-127, -0x1.2938b926b3e11p-120],
        [-40, 0x1.39792499b1a24p-58, 0x1.39792499b1a24p-58, -0x1.87d76dc01e0adp-53],
        [-20.5, 0x1.57a3afeb357aap-30, 0x1.57a3afe79aea9p-30, -0x1.b849b960be7c8p-26],
        [-17, 0x1.639e30fa26825p-25, 0x1.639e307ea67b0p-25, -0x1.79d8138690e2bp-21],
        [-10, 0x1.7cd564c9e0d19p-15, 0x1.7cd32e41dd960p-15, -0x1.dc07f9d254fb8p-12],
        [-5, 0x1.b818da245a728p-8, 0x1.b69f67d638f8ep-8, -0x1.1223a0e5e39b9p-5],
        [-1, 0x1.40c7abfbec124p-2, 0x1.136561454ba86p-2, -0x1.136561454ba86p-2],
        [-0.5, 0x1.e5746fdb5c064p-2, 0x1.829a0565978dfp-2, -0x1.829a0565978dfp-3],
        [-0.001, 0x1.62a2aaea15bd9p-1, 0x1.ffbe76c90fd99p-2, -0x1.06034f40081d8p-11],
        [-1e-10, 0x1.62e42fef35ab7p-1, 0x1.ffffffff920c8p-2, -0x1.b7cdfd9d1d693p-35],
        [0, 0x1.62e42fefa39efp-1, 0x1.0000000000000p-1, 0x0.0p+0],
        [1e-10, 0x1.62e42ff011927p-1, 0x1.0000000036f9cp-1, 0x1.b7cdfd9dda4e3p-35],
        [0.001, 0x1.6325bd58ad4aep-1, 0x1.0020c49b78133p-1, 0x1.06466b1e2d220p-11],
        [0.5, 0x1.f2ba37edae032p-1, 0x1.3eb2fd4d34391p-1, 0x1.3eb2fd4d34391p-2],
        [1, 0x1.5031eafefb049p+0, 0x1.764d4f5d5a2bdp-1, 0x1.764d4f5d5a2bdp-1],
        [5, 0x1.406e06368916ap+2, 0x1.fc92c130538e1p-1, 0x1.3ddbb8be3438dp+2],
        [10, 0x1.40005f3559328p+3, 0x1.fffa0cb346f89p-1, 0x1.3ffc47f00c5b5p+3],
        [17, 0x1.1000000b1cf18p+4, 0x1.fffffe9c61cf8p-1, 0x1.0fffff4313f64p+4],
        [20, 0x1.400000008da43p+4, 0x1.ffffffee4b79bp-1, 0x1.3ffffff4ef2c1p+4],
        [20.5, 0x1.4800000055e8fp+4, 0x1.fffffff542e28p-1, 0x1.47fffff91ed92p+4],
        [40, 0x1.4000000000000p+5, 0x1.0000000000000p+0, 0x1.4000000000000p+5],
        [100, 0x1.9000000000000p+6, 0x1.0000000000000p+0, 0x1.9000000000000p+6],
        [700, 0x1.5e00000000000p+9, 0x1.0000000000000p+0, 0x1.5e00000000000p+9],
    ]

    /// |found - exact| in units of the last place, where a unit never shrinks below the spacing of subnormals (times |x| for SiLU,
    /// a product with a factor that may be subnormal).
    static func ulps(_ found: Double, _ exact: Double, epsilon: Double, smallest: Double, factor: Double = 1) -> Double
    {
        (found - exact).magnitude / max(exact.magnitude * epsilon, smallest * max(factor.magnitude, 1))
    }

    @Test func float64IsWithinAFewUlpOfTheExactValues() {
        var worst = 0.0
        for row in Self.table {
            let x = row[0]
            for (found, exact) in [(Double.softplus(x), row[1]), (Double.sigmoid(x), row[2]), (Double.silu(x), row[3])]
            {
                let error = Self.ulps(
                    found, exact, epsilon: Double.ulpOfOne, smallest: .leastNonzeroMagnitude, factor: x)
                worst = max(worst, error)
            }
        }
        #expect(worst < 4, "\(worst) ulp")
    }

    /// Against float64, which the table ties to the exact values, on a fine grid.
    @Test func float32IsWithinAFewUlpEverywhere() {
        var worst: (Double, Float) = (0, 0)
        for i in -14000...14000 {
            let x = Float(i) / 128 + Float(i % 7) / 8192  // -109.4 ... 109.4
            let pairs = [
                (Float.softplus(x), Double.softplus(Double(x)), 1.0),
                (Float.sigmoid(x), Double.sigmoid(Double(x)), 1.0),
                (Float.silu(x), Double.silu(Double(x)), Double(x)),
            ]
            for (found, exact, factor) in pairs {
                let error = Self.ulps(
                    Double(found), exact, epsilon: Double(Float.ulpOfOne),
                    smallest: Double(Float.leastNonzeroMagnitude),
                    factor: factor)
                if error > worst.0 { worst = (error, x) }
            }
        }
        #expect(worst.0 < 4, "\(worst.0) ulp at \(worst.1)")
    }

    @Test func nothingOverflowsAndNothingIsNaN() {
        for x in stride(from: -745.0, through: 700, by: 0.25) + [-1e308, 1e308, -.infinity, .infinity] {
            #expect(Double.softplus(x) >= max(x, 0) && !Double.softplus(x).isNaN)
            #expect(0...1 ~= Double.sigmoid(x))
            if x.isFinite { #expect(Double.silu(x).isFinite && Double.silu(x) >= -0.2784645427610738) }
        }
        #expect(Float.softplus(1e38) == 1e38 && Float.softplus(-1e38) == 0)
        #expect(Float.sigmoid(1e38) == 1 && Float.sigmoid(-1e38) == 0)
    }

    @Test func softplusAndSigmoidNeverDecrease() {
        var softplus = -Double.infinity
        var sigmoid = -Double.infinity
        for x in stride(from: -745.0, through: 700, by: 1.0 / 64) {
            #expect(Double.softplus(x) >= softplus, "softplus at \(x)")
            #expect(Double.sigmoid(x) >= sigmoid, "sigmoid at \(x)")
            (softplus, sigmoid) = (Double.softplus(x), Double.sigmoid(x))
        }
    }

    @Test func theThresholdedSoftplusIsTheIdentityAboveTwenty() {
        #expect(Double.thresholdedSoftplus(20) == Double.softplus(20))
        #expect(Double.thresholdedSoftplus(20.0.nextUp) == 20.0.nextUp)
        #expect(Float.thresholdedSoftplus(-30) == Float.softplus(-30))
    }
}

private func + (sequence: StrideThrough<Double>, more: [Double]) -> [Double] { Array(sequence) + more }
