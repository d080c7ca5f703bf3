import DualityCore
import Testing

@testable import DualityNumerics
@testable import DualityReference

@Suite struct EmulationFormatTests {
    /// The definition, from a table of every number of the format: the nearest, the one with the
    /// even pattern on a tie.
    struct Table {
        let format: NumberFormat
        /// All non-negative finite numbers, ascending; the index is the bit pattern.
        let numbers: [Double]

        init(_ format: NumberFormat) {
            self.format = format
            var numbers: [Double] = []
            var value = 0.0
            while value <= format.largest {
                numbers.append(value)
                value += format.spacing(at: value)
            }
            self.numbers = numbers
        }

        func round(_ value: Double) -> Double {
            if value.isNaN { return value }
            let magnitude = value.magnitude
            let next = numbers.partitioningIndex { $0 >= magnitude }
            // Past the largest number there would be one more, if the exponent range went on.
            let above = next < numbers.count ? numbers[next] : format.largest + format.spacing(at: format.largest)
            let below = next == 0 ? above : numbers[next - 1]
            let up: Bool
            if above - magnitude == magnitude - below {
                up = next % 2 == 0
            } else {
                up = above - magnitude < magnitude - below
            }
            var nearest = up ? above : below
            if nearest > format.largest { nearest = format.saturates ? format.largest : .infinity }
            return value.sign == .minus ? -nearest : nearest
        }
    }

    @Test(arguments: [NumberFormat.e4m3, .e5m2, .f16, .bf16])
    func everyNumberItsNeighboursAndItsTiesRoundAsTheTableSays(format: NumberFormat) {
        let table = Table(format)
        #expect(table.numbers.last == format.largest)
        #expect(table.numbers[1] == format.smallestSubnormal)
        var wrong: [Double] = []
        for (i, number) in table.numbers.enumerated() {
            let tie = number + format.spacing(at: number) / 2
            for magnitude in [number, number.nextUp, tie.nextDown, tie, tie.nextUp] + (i > 0 ? [number.nextDown] : []) {
                for value in [magnitude, -magnitude] where format.round(value) != table.round(value) {
                    wrong.append(value)
                }
            }
        }
        #expect(wrong.isEmpty, "\(format): \(wrong.count) wrong, the first \(wrong.prefix(3))")
    }

    /// float32, float16 and bfloat16 by the conversions of the language, on patterns of every size.
    @Test func theNarrowTypesOfTheLanguageAgree() {
        var random = RandomSource(seed: 1)
        var wrong: [(NumberFormat, Double)] = []
        for _ in 0..<400_000 {
            // Half of them any pattern at all, half of them near the formats' own range.
            let any = Double(bitPattern: random.next())
            let near =
                (random.uniform() - 0.5) * Double(sign: .plus, exponent: random.integer(in: -150...130), significand: 1)
            for value in [any, near] where !value.isNaN {
                if NumberFormat.f32.round(value) != Double(Float(value)) { wrong.append((.f32, value)) }
                if NumberFormat.bf16.round(value) != Double(Float(BFloat16(value))) { wrong.append((.bf16, value)) }
                #if !(os(macOS) && arch(x86_64))
                    if NumberFormat.f16.round(value) != Double(Float16(value)) { wrong.append((.f16, value)) }
                #endif
                if NumberFormat.f64.round(value) != value { wrong.append((.f64, value)) }
            }
        }
        #expect(wrong.isEmpty, "\(wrong.count) wrong, the first \(wrong.prefix(3))")
    }

    @Test func tf32KeepsTenBitsOfAFloat32() {
        var random = RandomSource(seed: 2)
        var wrong: [Float] = []
        for _ in 0..<200_000 {
            let value = Float(bitPattern: UInt32(truncatingIfNeeded: random.next()))
            guard value.isFinite else { continue }
            // In integers: round away the lower 13 bits, ties to even.
            let bits = UInt64(value.magnitude.bitPattern)
            let rounded = (bits + 0xfff + (bits >> 13 & 1)) & ~0x1fff
            let expected = Double(Float(bitPattern: UInt32(rounded)))
            if NumberFormat.tf32.round(Double(value)).magnitude != expected { wrong.append(value) }
        }
        #expect(wrong.isEmpty, "\(wrong.count) wrong, the first \(wrong.prefix(3))")
    }

    @Test func infinitiesNaNsAndZerosKeepTheirKind() {
        for format in NumberFormat.all {
            #expect(format.round(.nan).isNaN)
            #expect(format.round(-0.0).sign == .minus && format.round(-.leastNonzeroMagnitude).sign == .minus)
            #expect(format.round(.infinity) == (format.saturates ? format.largest : .infinity))
            #expect(format.round(-.infinity) == (format.saturates ? -format.largest : -.infinity))
            #expect(format.round(format.largest) == format.largest)
        }
        #expect(NumberFormat.e4m3.round(1e300) == 448)
        #expect(NumberFormat.e5m2.round(61439) == 57344 && NumberFormat.e5m2.round(61440) == .infinity)
    }

    @Test func theConstantsAreThoseOfTheFormats() {
        #expect(NumberFormat.f32.smallestSubnormal == Double(Float.leastNonzeroMagnitude))
        #expect(NumberFormat.f32.largest == Double(Float.greatestFiniteMagnitude))
        #expect(NumberFormat.f32.unitRoundoff == Double(Float.ulpOfOne) / 2)
        #expect(NumberFormat.f64.smallestSubnormal == .leastNonzeroMagnitude)
        #expect(NumberFormat.f64.unitRoundoff == .ulpOfOne / 2)
        #expect(NumberFormat.bf16.largest == Double(Float(BFloat16(bitPattern: 0x7f7f))))
        #expect(NumberFormat.e4m3.smallestSubnormal == 0x1p-9 && NumberFormat.e5m2.smallestSubnormal == 0x1p-16)
        #expect(NumberFormat.f32.holds(.bf16) && !NumberFormat.f16.holds(.bf16) && !NumberFormat.bf16.holds(.f16))
    }

    @Test func aNameIsUnderstoodAndAnUnknownOneIsAnsweredWithTheList() throws {
        #expect(try NumberFormat(named: "float16") == .f16)
        #expect(try NumberFormat(named: "BF16") == .bf16)
        let error = #expect(throws: InputError.self) { try NumberFormat(named: "int3") }
        #expect(error?.kind == .dtype && error?.expected.contains("tf32") == true)
    }
}

extension Array {
    /// The first index whose element satisfies `belongs`, in an array where all those come last.
    fileprivate func partitioningIndex(_ belongs: (Element) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if belongs(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
