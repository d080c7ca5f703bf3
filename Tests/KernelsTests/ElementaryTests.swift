import DualityCore
import DualityKernels
import Testing

/// exp, softplus and SiLU against float64, and what they do at the ends of the range.
@Suite struct ElementaryTests {
    /// The largest distance in units of the last place of the exact result.
    private func worst(_ found: [Float], _ exact: [Double]) -> Double {
        zip(found, exact).map { abs(Double($0) - $1) / Double(Float($1).ulp) }.max() ?? 0
    }

    private func apply(_ function: (UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int64) -> Void, _ x: [Float])
        -> [Float]
    {
        let y = Memory<Float>(x.count)
        defer { keep(y) }
        function(x, y.pointer, x.count.wide)
        return y.elements
    }

    private static let wide = (0..<40_001).map { Float(-87 + 175.5 * Double($0) / 40_000) }
    private static let narrow = (0..<40_001).map { Float(-80 + 110 * Double($0) / 40_000) }

    @Test(arguments: Table.all)
    func exponentialsAreWithinAUnit(table: Table) {
        let error = worst(apply(table.kernels.exp, Self.wide), Self.wide.map { Double.exp(Double($0)) })
        #expect(error <= 1, "\(error) ulp")
    }

    @Test(arguments: Table.all)
    func softplusIsWithinTwoUnits(table: Table) {
        let exact = Self.narrow.map { $0 > 20 ? Double($0) : Double.log(onePlus: Double.exp(Double($0))) }
        let error = worst(apply(table.kernels.softplus, Self.narrow), exact)
        #expect(error <= 2, "\(error) ulp")
    }

    @Test(arguments: Table.all)
    func siluIsWithinThreeUnits(table: Table) {
        let exact = Self.narrow.map { Double($0) / (1 + Double.exp(-Double($0))) }
        let error = worst(apply(table.kernels.silu, Self.narrow), exact)
        #expect(error <= 3, "\(error) ulp")
    }

    @Test(arguments: Table.all)
    func theEndsOfTheRangeAreRight(table: Table) {
        let x: [Float] = [
            .infinity, -.infinity, 0, -0.0, 89, -104, 300, -300, Float.leastNormalMagnitude / 8, 88.72, -87.4, -100,
        ]
        let e = apply(table.kernels.exp, x)
        #expect(e.prefix(8) == [.infinity, 0, 1, 1, .infinity, 0, .infinity, 0])
        #expect(e[8] == 1 && e[9].isFinite && e[10] > 0 && e[11] > 0 && e[11] < Float.leastNormalMagnitude)
        let s = apply(table.kernels.softplus, x)
        #expect(s[0] == .infinity && s[1] == 0 && s[6] == 300 && s[7] == 0)
        let u = apply(table.kernels.silu, [300, -300, 0])
        #expect(u == [300, 0, 0])
        for function in [table.kernels.exp, table.kernels.softplus, table.kernels.silu] {
            #expect(apply(function, [1, .nan, 1])[1].isNaN)
        }
    }

    @Test(arguments: Table.vector, [1, 15, 16, 17, 100])
    func everyTableHasTheBitsOfTheScalarOne(table: Table, count: Int) {
        let x = random(count, seed: 20, scale: 20)
        for function in [\dk_kernels.exp, \dk_kernels.softplus, \dk_kernels.silu] {
            let found = apply(table.kernels[keyPath: function], x)
            let expected = apply(Table.scalar.kernels[keyPath: function], x)
            #expect(differences(found, expected) == 0)
        }
    }

    @Test(arguments: Table.all)
    func bfloat16RoundsAsTheFormatDoes(table: Table) {
        var x = random(1000, seed: 21)
        x += [
            .nan, .infinity, -.infinity, 3.4e38, -0.0, Float.leastNormalMagnitude / 8, 1.00390625, 1.01171875,
            Float(bitPattern: 0x7f80_0001),
        ]
        let y = Memory<UInt16>(x.count)
        table.kernels.f32_to_bf16(x, y.pointer, x.count.wide)
        #expect(y.elements == x.map { BFloat16($0).bitPattern })
        let back = Memory<Float>(x.count)
        defer { keep(y, back) }
        table.kernels.bf16_to_f32(y.pointer, back.pointer, x.count.wide)
        #expect(back.elements.map(\.bitPattern) == y.elements.map { UInt32($0) << 16 })
    }
}
