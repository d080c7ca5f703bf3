import DualityCore
import TestSupport
import Testing

@testable import DualityReference

@Suite struct DoubleDoubleTests {
    enum Function { case exp, expm1, log, log1p, sqrt, sin, cos, pow }
    typealias Pair = (Double, Double)

    static func evaluate(_ function: Function, _ x: DoubleDouble, _ y: DoubleDouble) -> DoubleDouble {
        switch function {
        case .exp: .exp(x)
        case .expm1: .expMinusOne(x)
        case .log: .log(x)
        case .log1p: .log(onePlus: x)
        case .sqrt: .sqrt(x)
        case .sin: .sin(x)
        case .cos: .cos(x)
        case .pow: .pow(x, y)
        }
    }

    @Test func theElementaryFunctionsHaveThirtyDigits() {
        for (function, x, y, expected) in Self.table {
            let found = Self.evaluate(function, DoubleDouble(ordered: x.0, x.1), DoubleDouble(ordered: y.0, y.1))
            let answer = DoubleDouble(ordered: expected.0, expected.1)
            let error = ((found - answer) / answer).double.magnitude
            // A sine next to a multiple of pi inherits the rounding of its argument's reduction.
            #expect(error < 2e-30, "\(function)(\(x), \(y)): relative error \(error)")
        }
    }

    /// Against 128-bit integers, which hold the operands and the sum exactly and the product too.
    @Test func sumsAndProductsErrInThe105thBit() throws {
        var random = RandomSource(seed: 5)
        var (worstSum, worstProduct, worstQuotient) = (0.0, 0.0, 0.0)
        for _ in 0..<100_000 {
            func integer(bits: Int) -> Int128 {
                var value = Int128(random.next() >> 1) << 63 | Int128(random.next() >> 1)
                value >>= Int128(126 - bits + random.integer(in: 0...bits - 2))
                return random.uniform() < 0.5 ? value : -value
            }
            func doubled(_ value: Int128) -> DoubleDouble {
                let high = Double(value)
                return DoubleDouble(ordered: high, Double(value - Int128(high)))
            }
            func exact(_ value: DoubleDouble) -> Int128 { Int128(value.high) + Int128(value.low) }

            let (a, b) = (integer(bits: 105), integer(bits: 105))
            let sum = doubled(a) + doubled(b)
            if a + b != 0 {
                worstSum = max(worstSum, Double(exact(sum) - (a + b)).magnitude / Double(a + b).magnitude)
            }
            let (c, d) = (integer(bits: 62), integer(bits: 62))
            guard c != 0, d != 0 else { continue }
            let product = doubled(c) * doubled(d)
            worstProduct = max(worstProduct, Double(exact(product) - c * d).magnitude / Double(c * d).magnitude)
            let quotient = doubled(c * d) / doubled(d)  // c, when c d fits two Doubles
            let difference = (quotient - doubled(c)).double.magnitude
            worstQuotient = max(worstQuotient, difference / Double(c).magnitude)
        }
        #expect(worstSum <= 0x1p-104, "sum: \(worstSum)")
        #expect(worstProduct <= 0x1p-103, "product: \(worstProduct)")
        #expect(worstQuotient <= 0x1p-101, "quotient, dividend rounded once: \(worstQuotient)")
    }

    @Test func infinitiesAndTheSmallestNumbersBehave() {
        let infinity = DoubleDouble.infinity
        #expect(infinity + 1 == infinity && infinity * -2 == -infinity && DoubleDouble(1) / infinity == 0)
        #expect((infinity - infinity).high.isNaN && (infinity * 0).high.isNaN)
        #expect(!(DoubleDouble(1e308) * 10).isFinite && (DoubleDouble(1) / 0) == infinity)
        #expect(DoubleDouble.exp(-1000) == 0 && DoubleDouble.exp(1000) == infinity)
        #expect(DoubleDouble.exp(-740).double == Double.exp(-740))
        #expect(DoubleDouble.log(0) == -infinity && DoubleDouble.log(-1).high.isNaN)
        #expect(DoubleDouble.log(DoubleDouble(Double.leastNonzeroMagnitude)).double == .log(.leastNonzeroMagnitude))
        #expect(DoubleDouble.sqrt(0) == 0 && DoubleDouble.sqrt(infinity) == infinity)
        #expect(DoubleDouble(Int.max) - DoubleDouble(Int.max - 1) == 1)
        #expect(DoubleDouble(Int.min) + DoubleDouble(Int.max) == -1)
    }

    /// The same source, three formats: what Double gets wrong is what is left of its 53 bits.
    @Test(arguments: [SSDForm.recurrent, .chunked(size: 16), .quadratic])
    func doubleIsItselfWithinItsRoundingOfTheWiderFormat(form: SSDForm) throws {
        let inputs = try SSDShape(batch: 1, length: 40, heads: 2, xHeads: 1, bHeads: 2, cHeads: 1, seed: 8).inputs()
        let wide = try form.evaluate(inputs.converted(to: DoubleDouble.self))
        let widest = try SSDForm.recurrent.evaluate(inputs.converted(to: DoubleDouble.self))
        let narrow = try form.evaluate(inputs)
        #expect(relativeDifference(wide.y, widest.y) < 1e-29, "\(relativeDifference(wide.y, widest.y))")
        let error = relativeDifference(narrow.y.converted(to: DoubleDouble.self), wide.y)
        #expect(error < 1e-14 && error > 1e-18, "Double: \(error)")
    }

    @Test func aCompensatedSumKeepsWhatCancels() {
        #expect([1, 1e100, 1, -1e100].compensatedSum() == 2)
        var sum = CompensatedSum()
        for _ in 0..<10 { sum.add(productOf: 0.1, 0.1) }
        sum.add(-0.1)
        // 0.1 is not a tenth: ten of its squares exceed it by this much.
        let tenth = DoubleDouble(0.1)
        let expected = (10 * tenth * tenth - tenth).double
        #expect((sum.value - expected).magnitude < 1e-32, "\(sum.value), expected \(expected)")
        #expect([Double.infinity, 1].compensatedSum() == .infinity)
    }

    /// max |a - b| / max |b|, with the difference taken in the wide format.
    private func relativeDifference(_ a: Tensor<DoubleDouble>, _ b: Tensor<DoubleDouble>) -> Double {
        let largest = b.elements.map(\.magnitude).max() ?? 0
        return ((zip(a.elements, b.elements).map { ($0 - $1).magnitude }.max() ?? 0) / largest).double
    }

    /// Arguments and values as unevaluated pairs, computed with 130 decimal digits.
    static let table: [(Function, Pair, Pair, Pair)] = [
        (.exp, (0x1.79ca10c924223p-67, 0x1.8bf3f6b6470d7p-121), (0, 0), (0x1.0000000000000p+0, 0x1.79ca10c924223p-67)),
        (.exp, (-0x1.4f8b588e368f1p-17, 0x1.da5202df8251bp-71), (0, 0), (0x1.fffeb07515653p-1, 0x1.a6e04cdcab33dp-58)),
        (.exp, (0x1.0624dd2f1a9fcp-10, -0x1.4a4048fa773f4p-66), (0, 0), (0x1.0041919b7ee34p+0, -0x1.8bebf75fab852p-55)),
        (.exp, (0x1.999999999999ap-4, -0x1.81011c81d694bp-58), (0, 0), (0x1.1aec7b35a00d4p+0, -0x1.926c86ac7b4ddp-54)),
        (.exp, (-0x1.62eb1c432ca58p-2, 0x1.4c950f19fa0ffp-56), (0, 0), (0x1.6a0773cd678a4p-1, -0x1.42394352a815cp-55)),
        (.exp, (0x1.0000000000000p-1, 0x1.ebe9c5db3c61ep-60), (0, 0), (0x1.a61298e1e069cp+0, -0x1.9b10c7bfc36f8p-55)),
        (.exp, (0x1.0000000000000p+0, 0x1.ebe9c5db3c61ep-59), (0, 0), (0x1.5bf0a8b145769p+1, 0x1.623c909f0db64p-53)),
        (.exp, (-0x1.4000000000000p+1, -0x1.33721ba905bd3p-57), (0, 0), (0x1.50385c094f425p-4, -0x1.95000da6d338ap-58)),
        (.exp, (0x1.4000000000000p+3, 0x1.33721ba905bd3p-55), (0, 0), (0x1.5829dcf950560p+14, -0x1.6a6d0fcccc923p-41)),
        (
            .exp, (-0x1.4200000000000p+5, -0x1.355e056ee0f99p-53), (0, 0),
            (0x1.e84430d66e9fap-59, 0x1.9afd29aebc7efp-114)
        ),
        (
            .exp, (0x1.62ccccccccccdp+6, -0x1.6efd6ce2ef3eap-49), (0, 0),
            (0x1.f4705bbffae46p+127, -0x1.f257810c5debfp+73)
        ),
        (
            .exp, (-0x1.9d33333333333p+6, -0x1.cb3941fc0a910p-49), (0, 0),
            (0x1.f553311167f80p-150, -0x1.8cb310db250f2p-209)
        ),
        (
            .exp, (0x1.2c1999999999ap+8, -0x1.87946072e0c75p-46), (0, 0),
            (0x1.ef839024b0119p+432, 0x1.5e680a6f40f2bp+374)
        ),
        (
            .exp, (-0x1.f400000000000p+8, -0x1.e0624b3818f79p-50), (0, 0),
            (0x1.9265e78d44381p-722, 0x1.bb3f225d327f0p-777)
        ),
        (
            .exp, (0x1.629999999999ap+9, -0x1.844e964de7648p-45), (0, 0),
            (0x1.1de42d6ad9444p+1023, 0x1.2a3c9d0467d17p+968)
        ),
        (
            .exp, (-0x1.2c5999999999ap+9, 0x1.8790889f5510ep-45), (0, 0),
            (0x1.4b8d2b952e24bp-867, -0x1.09c2fe4e16edap-921)
        ),
        (
            .log, (0x1.56e1fc2f8f359p-997, -0x0.000000043191ep-1022), (0, 0),
            (-0x1.5963447f87fb5p+9, -0x1.aacb3e7416565p-46)
        ),
        (.expm1, (0x1.2725dd1d243acp-60, 0), (0, 0), (0x1.2725dd1d243acp-60, 0x1.54484932d2e73p-121)),
        (.expm1, (-0x1.421f5f40d8376p-22, 0), (0, 0), (-0x1.421f5c16325dcp-22, -0x1.607a6d2951a23p-78)),
        (.expm1, (0x1.47ae147ae147bp-7, 0), (0, 0), (0x1.4952e9791133fp-7, -0x1.872a35304a94cp-61)),
        (.expm1, (-0x1.5c28f5c28f5c3p-2, 0), (0, 0), (-0x1.2725ae35e2895p-2, -0x1.8c96f48120669p-57)),
        (.expm1, (0x1.6666666666666p-2, 0), (0, 0), (0x1.ad200b20177b2p-2, -0x1.2ca2e8080a702p-56)),
        (.expm1, (-0x1.70a3d70a3d70ap-2, 0), (0, 0), (-0x1.359456515371fp-2, -0x1.345be70681f29p-56)),
        (.expm1, (0x1.8000000000000p+0, 0), (0, 0), (0x1.bda7fcc9f8a83p+1, -0x1.4123734e5782cp-53)),
        (.expm1, (-0x1.4000000000000p+5, 0), (0, 0), (-0x1.0000000000000p+0, 0x1.39792499b1a24p-58)),
        (.log, (0x1.79ca10c924223p-67, 0x1.8bf3f6b6470d7p-121), (0, 0), (-0x1.7069e2aa2aa5bp+5, 0x1.c8a210ae6e755p-51)),
        (.log, (0x1.3333333333333p-2, 0x1.be7e553d3e20fp-57), (0, 0), (-0x1.34378fcbda720p+0, -0x1.a9e20243fc5e7p-54)),
        (.log, (0x1.7ae147ae147aep-1, 0x1.a2af1685ffa69p-57), (0, 0), (-0x1.3454e4b8a9f90p-2, 0x1.278c890cfbda3p-59)),
        (.log, (0x1.851eb851eb852p-1, -0x1.d46ed8a79203cp-58), (0, 0), (-0x1.1905f8f46d038p-2, 0x1.1dcd9c53a9cfap-56)),
        (.log, (0x1.fffeb074a771dp-1, -0x1.85038950495a6p-55), (0, 0), (-0x1.4f8bc681e5856p-17, 0x1.d1557f5cea967p-71)),
        (.log, (0x1.000000006df38p+0, -0x1.6c8f41667ac0fp-58), (0, 0), (0x1.b7cdfe93124c1p-34, 0x1.3a5b76faa78b6p-88)),
        (.log, (0x1.7ff972474538fp+0, -0x1.bbbc71faacddep-58), (0, 0), (0x1.9f20c4b92ee84p-2, -0x1.9c5e5753472afp-58)),
        (.log, (0x1.828f5c28f5c29p+0, -0x1.1bf72e755b5f1p-58), (0, 0), (0x1.a6001282ab3d9p-2, -0x1.8188405f04d88p-56)),
        (.log, (0x1.0000000000000p+1, 0x1.ebe9c5db3c61ep-58), (0, 0), (0x1.62e42fefa39efp-1, 0x1.e9471c6eff903p-56)),
        (.log, (0x1.8000000000000p+1, 0x1.70ef54646d497p-57), (0, 0), (0x1.193ea7aad030bp+0, -0x1.92f7ab6dd0dbap-54)),
        (.log, (0x1.4000000000000p+3, 0x1.33721ba905bd3p-55), (0, 0), (0x1.26bb1bbb55516p+1, -0x1.ecdb2d7d7d4d1p-53)),
        (.log, (0x1.81cd6c8b43958p+13, 0x1.62cf86d9a6942p-43), (0, 0), (0x1.2d79559791e31p+3, -0x1.9aa7ddae95f48p-53)),
        (.log, (0x1.93e5939a08ceap+99, -0x1.e1b4bb3955555p+43), (0, 0), (0x1.144f69ff9ffc4p+6, 0x1.55f6abda3f99cp-49)),
        (
            .log, (0x1.23a516e82d9bap+1013, 0x1.50a9adc6565f8p+959), (0, 0),
            (0x1.5f24ec0a30a5fp+9, -0x1.7c51b79e53a7ap-45)
        ),
        (
            .log1p, (0x1.4484bfeebc2a0p-100, -0x1.e53c91480ea76p-154), (0, 0),
            (0x1.4484bfeebc2a0p-100, -0x1.e53c91480eaa9p-154)
        ),
        (
            .log1p, (-0x1.19799812dea11p-40, -0x1.9eb5430f1273ep-96), (0, 0),
            (-0x1.19799812df3bdp-40, 0x1.31f5e0291310cp-98)
        ),
        (
            .log1p, (0x1.0624dd2f1a9fcp-10, -0x1.82eb6518a3113p-66), (0, 0),
            (0x1.060354f8c3ebfp-10, 0x1.5d9be02c06792p-66)
        ),
        (
            .log1p, (-0x1.999999999999ap-4, 0x1.9723f37d9fb2bp-58), (0, 0),
            (-0x1.af8e8210a415dp-4, -0x1.bc403d1725ae9p-58)
        ),
        (
            .log1p, (-0x1.0000000000000p-2, -0x1.8987d17c304e5p-64), (0, 0),
            (-0x1.269621134db92p-2, -0x1.e2fc62f12b431p-56)
        ),
        (
            .log1p, (-0x1.3333333333333p-2, -0x1.9d4a12c39073fp-57), (0, 0),
            (-0x1.6d3c324e13f4fp-2, 0x1.d155331bbcfdbp-57)
        ),
        (.log1p, (0x1.f5c28f5c28f5cp-2, 0x1.4db4b83f6bf09p-57), (0, 0), (0x1.9858c46692177p-2, -0x1.16594a573df16p-57)),
        (.log1p, (0x1.0f5c28f5c28f6p-1, -0x1.e842d5d340666p-56), (0, 0), (0x1.b379629e6c2cbp-2, 0x1.7fcb8ae456be5p-60)),
        (
            .log1p, (-0x1.ccccccccccccdp-1, 0x1.9410e3daa7522p-56), (0, 0),
            (-0x1.26bb1bbb55516p+1, 0x1.ed9ff1663b654p-53)
        ),
        (.log1p, (0x1.4000000000000p+2, 0x1.ebe9c5db3c61ep-60), (0, 0), (0x1.cab0bfa2a2002p+0, 0x1.93c6e0fd9ad52p-55)),
        (.log1p, (0x1.2a05f20000000p+33, 0x1.ca213d840baf8p-29), (0, 0), (0x1.7069e2aa3184ep+4, 0x1.8c082c2c1a357p-50)),
        (
            .log1p, (-0x1.fffffca501acbp-1, 0x1.e267331e6d4a2p-55), (0, 0),
            (-0x1.01e3b843eae1dp+4, -0x1.27664f79df70ep-52)
        ),
        (.sqrt, (0x1.0000000000000p+1, 0x1.ebe9c5db3c61ep-58), (0, 0), (0x1.6a09e667f3bcdp+0, -0x1.b2f492dc37485p-54)),
        (
            .sqrt, (0x1.d0b15a491eb84p-931, 0x1.80d03da5e69a0p-985), (0, 0),
            (0x1.e7c5f127bd87ep-466, 0x1.43a4ba6909d11p-521)
        ),
        (.sqrt, (0x1.6666666666666p-1, 0x1.af1f070e643dep-55), (0, 0), (0x1.ac5eb3f7ab2f8p-1, -0x1.ea69e3d0dd598p-57)),
        (.sqrt, (0x1.e240c9fbe76c9p+16, -0x1.12254a95c01acp-38), (0, 0), (0x1.5f5d3b16948f6p+8, 0x1.6cf85aa940628p-47)),
        (
            .sqrt, (0x1.f5aa543c31387p+665, 0x1.2fa6dd14ff797p+611), (0, 0),
            (0x1.face6bc50001bp+332, -0x1.5606c9aad8ec4p+277)
        ),
        (
            .sin, (0x1.b7cdfd9d7bdbbp-34, -0x1.1e0131ce1ccacp-88), (0, 0),
            (0x1.b7cdfd9d7bdbbp-34, -0x1.1e0493301c9cbp-88)
        ),
        (.cos, (0x1.b7cdfd9d7bdbbp-34, -0x1.1e0131ce1ccacp-88), (0, 0), (0x1.0000000000000p+0, -0x1.79ca10c924223p-68)),
        (.sin, (0x1.3333333333333p-2, 0x1.9d4a12c39073fp-57), (0, 0), (0x1.2e9cd95baba34p-2, -0x1.e8b9e14b0fffbp-56)),
        (.cos, (0x1.3333333333333p-2, 0x1.9d4a12c39073fp-57), (0, 0), (0x1.e921dd42f09bap-1, 0x1.6440f958292d9p-55)),
        (.sin, (0x1.91eb851eb851fp-1, -0x1.1c4e7a201180fp-55), (0, 0), (0x1.69e4fd79ac743p-1, -0x1.665f086ebb56bp-55)),
        (.cos, (0x1.91eb851eb851fp-1, -0x1.1c4e7a201180fp-55), (0, 0), (0x1.6a2ecb934b59ap-1, -0x1.862a523d0238dp-58)),
        (.sin, (0x1.926e978d4fdf4p-1, -0x1.247ed78cb4955p-55), (0, 0), (0x1.6a41a99fd55b2p-1, -0x1.0514155fabe33p-56)),
        (.cos, (0x1.926e978d4fdf4p-1, -0x1.247ed78cb4955p-55), (0, 0), (0x1.69d21a9805fb3p-1, 0x1.a3b5918462815p-55)),
        (.sin, (0x1.8000000000000p+0, 0x1.2725dd1d243acp-61), (0, 0), (0x1.feb7a9b2c6d8bp-1, -0x1.0be83a0ed3c42p-56)),
        (.cos, (0x1.8000000000000p+0, 0x1.2725dd1d243acp-61), (0, 0), (0x1.21bd54fc5f9a7p-4, 0x1.d5fd010f527ddp-59)),
        (.sin, (0x1.921fb54442d18p+0, 0x1.883869c157861p-55), (0, 0), (0x1.0000000000000p+0, -0x1.d133a5b83eb88p-113)),
        (.cos, (0x1.921fb54442d18p+0, 0x1.883869c157861p-55), (0, 0), (0x1.5918b94267f5ap-56, -0x1.f1976b7ed8fbcp-110)),
        (.sin, (0x1.8000000000000p+1, 0x1.2725dd1d243acp-60), (0, 0), (0x1.210386db6d55bp-3, 0x1.17ebced57be64p-57)),
        (.cos, (0x1.8000000000000p+1, 0x1.2725dd1d243acp-60), (0, 0), (-0x1.fae04be85e5d2p-1, -0x1.853d31e779ffap-55)),
        (.sin, (-0x1.0000000000000p+2, -0x1.8987d17c304e5p-60), (0, 0), (0x1.837b9dddc1eaep-1, 0x1.cb4434845b04fp-55)),
        (.cos, (-0x1.0000000000000p+2, -0x1.8987d17c304e5p-60), (0, 0), (-0x1.4eaa606db24c1p-1, 0x1.ef6661e37e5e4p-56)),
        (.sin, (0x1.6000000000000p+4, 0x1.0e8d60056135dp-57), (0, 0), (-0x1.220a29f6eb9f8p-7, -0x1.0213447408e13p-63)),
        (.cos, (0x1.6000000000000p+4, 0x1.0e8d60056135dp-57), (0, 0), (-0x1.fffadd8d4acdap-1, -0x1.d061cd7908ba4p-61)),
        (.sin, (0x1.f440000000000p+9, 0x1.807fd38d76b28p-52), (0, 0), (0x1.fd948c50a7a0ep-1, -0x1.f86801d0b4280p-56)),
        (.cos, (0x1.f440000000000p+9, 0x1.807fd38d76b28p-52), (0, 0), (0x1.8dbff75eb6637p-4, 0x1.780d2b4a998c9p-58)),
        (.sin, (0x1.ffff000000000p+16, 0x1.89870cb847903p-45), (0, 0), (-0x1.268613f60bbfep-1, -0x1.04ece2164fd14p-56)),
        (.cos, (0x1.ffff000000000p+16, 0x1.89870cb847903p-45), (0, 0), (-0x1.a2cebbb513d99p-1, -0x1.16a87c1229539p-55)),
        (.sin, (-0x1.5b38ccccccccdp+16, 0x1.956e14c6a12c5p-39), (0, 0), (-0x1.177fcf99da129p-1, 0x1.0f4b359314b9dp-55)),
        (.cos, (-0x1.5b38ccccccccdp+16, 0x1.956e14c6a12c5p-39), (0, 0), (0x1.acfaf9e8a90f1p-1, 0x1.16c134c0f88e6p-55)),
        (
            .pow, (0x1.0000000000000p+1, 0x0.0p+0), (0x1.0000000000000p-1, 0x0.0p+0),
            (0x1.6a09e667f3bcdp+0, -0x1.bdd3413b26456p-54)
        ),
        (
            .pow, (0x1.312d000000000p+22, 0x0.0p+0), (-0x1.f800000000000p-1, 0x0.0p+0),
            (0x1.11469eda03845p-22, 0x1.24c5df8ea000bp-76)
        ),
        (
            .pow, (0x1.3880000000000p+13, 0x0.0p+0), (0x1.0000000000000p-5, 0x0.0p+0),
            (0x1.5561a91ba8144p+0, 0x1.eee3993e6259ap-55)
        ),
        (
            .pow, (0x1.999999999999ap-4, -0x1.999999999999ap-58), (0x1.e000000000000p+4, 0x0.0p+0),
            (0x1.4484bfeebc2a0p-100, -0x1.e72f6d3e432bfp-154)
        ),
        (
            .pow, (0x1.d333333333333p+2, 0x1.999999999999ap-53), (-0x1.9100000000000p+6, 0x0.0p+0),
            (0x1.68618ed70ecaep-288, 0x1.2b4b1f0497447p-345)
        ),
    ]
}
