import TestSupport
import Testing

@testable import DualityCore

@Suite struct BFloat16Tests {
    @Test func everyPatternSurvivesWideningAndRounding() {
        for pattern in UInt16.min...UInt16.max {
            let value = BFloat16(bitPattern: pattern)
            let wide = Float(value)
            if wide.isNaN {
                for narrow in [BFloat16(wide), BFloat16(Double(wide))] {
                    #expect(Float(narrow).isNaN)
                    #expect(
                        narrow.bitPattern & 0x8000 == pattern & 0x8000,
                        "the sign of NaN 0x\(String(pattern, radix: 16))")
                }
                #expect(BFloat16(wide).bitPattern == pattern | 0x0040)
            } else if BFloat16(wide) != value || BFloat16(Double(wide)) != value {
                Issue.record("0x\(String(pattern, radix: 16)) became \(BFloat16(wide).bitPattern)")
            }
        }
    }

    /// Between every two neighbours: the middle goes to the even one, the next number on either
    /// side to the nearer one, and a float64 beside the middle is not rounded to float32 first
    /// (which would make it the middle).
    @Test(arguments: [1.0, -1.0]) func roundingIsToNearestTiesToEvenAndHappensOnce(sign: Double) {
        var wrong = 0
        for pattern: UInt16 in 0..<0x7f7f {
            let low = BFloat16(bitPattern: pattern | (sign < 0 ? 0x8000 : 0))
            let high = BFloat16(bitPattern: (pattern + 1) | (sign < 0 ? 0x8000 : 0))
            let middle = (Double(Float(low)) + Double(Float(high))) / 2
            let even = pattern % 2 == 0 ? low : high
            let (towardHigh, towardLow) = sign > 0 ? (middle.nextUp, middle.nextDown) : (middle.nextDown, middle.nextUp)
            let single = Float(middle)
            let correct =
                BFloat16(middle) == even && BFloat16(towardHigh) == high && BFloat16(towardLow) == low
                && BFloat16(single) == even
                && BFloat16(sign > 0 ? single.nextUp : single.nextDown) == high
                && BFloat16(sign > 0 ? single.nextDown : single.nextUp) == low
            if !correct { wrong += 1 }
        }
        #expect(wrong == 0, "\(wrong) of \(0x7f7f) intervals")
    }

    @Test func beyondTheLargestFiniteNumberIsInfinity() {
        let largest = Float(BFloat16(bitPattern: 0x7f7f))
        let limit = Float(0x1.ffp127)  // half a step beyond it: a tie, and infinity is the even one
        #expect(BFloat16(limit.nextDown) == BFloat16(bitPattern: 0x7f7f))
        #expect(BFloat16(limit) == BFloat16(Float.infinity))
        #expect(BFloat16(Double(limit).nextDown) == BFloat16(bitPattern: 0x7f7f))
        #expect(BFloat16(1e300) == BFloat16(Float.infinity))
        #expect(BFloat16(-1e300) == BFloat16(-Float.infinity))
        #expect(BFloat16(-Float.greatestFiniteMagnitude) == BFloat16(-Float.infinity))
        #expect(largest.isFinite)
    }

    @Test func belowTheSmallestNumberIsASignedZero() {
        let smallest = Double(Float(BFloat16(bitPattern: 1)))  // 2^-133
        #expect(BFloat16(smallest / 2).bitPattern == 0)
        #expect(BFloat16((smallest / 2).nextUp).bitPattern == 1)
        #expect(BFloat16(-smallest / 2).bitPattern == 0x8000)
        #expect(BFloat16(-Double.leastNonzeroMagnitude).bitPattern == 0x8000)
    }

    @Test func tensorsRoundAndWidenElementwise() {
        let tensor = Tensor<Float>([1, 1.00390625, 1.01171875, -2.5e38])
        let rounded = Tensor<BFloat16>(rounding: tensor)
        #expect(rounded.widened(to: Float.self).elements[..<3] == [1, 1, 1.015625])
        #expect(rounded.widened(to: Double.self).elements[3] == Double(Float(BFloat16(Float(-2.5e38)))))
    }
}
