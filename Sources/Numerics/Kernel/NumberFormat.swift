//  The binary floating-point formats that kernels store, multiply and accumulate in.
//
//      value = ± m 2^e,   m in [1, 2) with p significant bits,   or 0 <= m < 1 with e = emin (subnormal)
//
//  | name | p  | emin  | largest finite | unit roundoff 2^-p | beyond the largest |
//  |------|----|-------|----------------|--------------------|--------------------|
//  | f64  | 53 | -1022 | 1.8e308        | 1.1e-16            | infinity           |
//  | f32  | 24 | -126  | 3.4e38         | 6.0e-8             | infinity           |
//  | tf32 | 11 | -126  | 3.4e38         | 4.9e-4             | infinity           |
//  | bf16 | 8  | -126  | 3.4e38         | 3.9e-3             | infinity           |
//  | f16  | 11 | -14   | 65504          | 4.9e-4             | infinity           |
//  | e4m3 | 4  | -6    | 448            | 6.3e-2             | 448 (saturates)    |
//  | e5m2 | 3  | -14   | 57344          | 1.3e-1             | infinity           |
//
//  Rounding is to nearest, ties to even, and happens once: a Double goes straight to the format,
//  not through float32. e4m3 has no infinities; what is too large becomes its largest number, as
//  the conversion instructions of GPUs do it.
//
//  Source: IEEE 754-2019 sections 3.3 and 4.3; OCP 8-bit Floating Point Specification (OFP8) 1.0,
//  sections 5.1 and 5.2.

import DualityCore
import DualityReference

/// A binary floating-point format: its precision, its range, and how a number is rounded to it.
public struct NumberFormat: Sendable, Hashable {
    /// The name used in files and on the command line.
    public let name: String
    /// Significant bits, the implicit one included: p.
    public let significantBits: Int
    /// The exponent of the smallest normal number, emin.
    public let minimumExponent: Int
    /// The largest finite number.
    public let largest: Double
    /// Whether numbers beyond the largest become the largest. If not they become infinity.
    public let saturates: Bool

    /// The largest relative error of rounding a number to the nearest of the format: 2^-p.
    public let unitRoundoff: Double
    /// The smallest positive normal number, 2^emin.
    public let smallestNormal: Double
    /// The smallest positive number, 2^(emin - p + 1).
    public let smallestSubnormal: Double

    private init(
        _ name: String, significantBits p: Int, minimumExponent: Int, largest: Double, saturates: Bool = false
    ) {
        self.name = name
        significantBits = p
        self.minimumExponent = minimumExponent
        self.largest = largest
        self.saturates = saturates
        unitRoundoff = powerOfTwo(-p)
        smallestNormal = powerOfTwo(minimumExponent)
        smallestSubnormal = powerOfTwo(minimumExponent) * powerOfTwo(1 - p)
    }

    /// IEEE binary64.
    public static let f64 = NumberFormat(
        "f64", significantBits: 53, minimumExponent: -1022, largest: .greatestFiniteMagnitude)
    /// IEEE binary32.
    public static let f32 = NumberFormat("f32", significantBits: 24, minimumExponent: -126, largest: 0x1.fffffep127)
    /// The operands of matrix products that take float32 numbers and drop 13 of their bits.
    public static let tf32 = NumberFormat("tf32", significantBits: 11, minimumExponent: -126, largest: 0x1.ffcp127)
    /// The upper half of a binary32.
    public static let bf16 = NumberFormat("bf16", significantBits: 8, minimumExponent: -126, largest: 0x1.fep127)
    /// IEEE binary16.
    public static let f16 = NumberFormat("f16", significantBits: 11, minimumExponent: -14, largest: 65504)
    /// OCP E4M3, the variant without infinities.
    public static let e4m3 = NumberFormat(
        "e4m3", significantBits: 4, minimumExponent: -6, largest: 448, saturates: true)
    /// OCP E5M2.
    public static let e5m2 = NumberFormat("e5m2", significantBits: 3, minimumExponent: -14, largest: 57344)

    /// Every format, widest first.
    public static let all: [NumberFormat] = [.f64, .f32, .tf32, .bf16, .f16, .e4m3, .e5m2]

    /// The format of a name, `f32` as well as `float32` or `fp32`.
    ///
    /// - Throws: `InputError` (`.dtype`) listing the names there are.
    public init(named name: String) throws(InputError) {
        let plain = name.lowercased()
        let aliases = [
            "float64": "f64", "fp64": "f64", "double": "f64", "float32": "f32", "fp32": "f32", "float": "f32",
            "bfloat16": "bf16", "float16": "f16", "fp16": "f16", "half": "f16", "fp8e4m3": "e4m3", "fp8_e4m3": "e4m3",
            "float8_e4m3fn": "e4m3", "fp8e5m2": "e5m2", "fp8_e5m2": "e5m2", "float8_e5m2": "e5m2",
        ]
        guard let format = Self.all.first(where: { $0.name == aliases[plain] ?? plain }) else {
            throw InputError(
                .dtype, in: "number format", expected: "one of " + Self.all.map(\.name).joined(separator: ", "),
                found: "\"\(name)\"")
        }
        self = format
    }

    /// The nearest number of the format, ties to even; the sign of zero and NaN are kept.
    public func round(_ value: Double) -> Double {
        let magnitude = value.magnitude
        var nearest: Double
        if magnitude >= smallestNormal {
            if significantBits == 53 || !(magnitude < .infinity) { return saturates ? saturated(value) : value }
            // Adding just under half of the last kept bit, and one more where that bit is odd,
            // carries into it exactly when rounding up is right; a carry out of the significand
            // raises the exponent, as it should.
            let dropped = UInt64(53 - significantBits)
            let bits = magnitude.bitPattern
            let carry = (1 << (dropped - 1)) - 1 + (bits >> dropped & 1)
            nearest = Double(bitPattern: ((bits + carry) >> dropped) << dropped)
            if nearest > largest { nearest = saturates ? largest : .infinity }
        } else if significantBits == 53 || value.isNaN {
            return value
        } else {
            // Beside 1.5 2^52 smallest subnormals the last bit of a Double is one of them.
            let anchor = smallestSubnormal * 0x1.8p52
            nearest = (magnitude + anchor) - anchor
        }
        return value.sign == .minus ? -nearest : nearest
    }

    /// A number beyond the format, or an infinity, in a format without infinities.
    private func saturated(_ value: Double) -> Double {
        value.isNaN ? value : value.sign == .minus ? -largest : largest
    }

    /// Whether the format holds every number of another.
    public func holds(_ other: NumberFormat) -> Bool {
        significantBits >= other.significantBits && largest >= other.largest
            && smallestSubnormal <= other.smallestSubnormal
    }

    /// The spacing of the format's numbers at `value`: twice the largest error of rounding to
    /// nearest there.
    public func spacing(at value: Double) -> Double {
        let magnitude = value.magnitude
        guard magnitude >= smallestNormal else { return smallestSubnormal }
        guard magnitude < .infinity else { return .infinity }
        return magnitude.binade * (2 * unitRoundoff)
    }
}

extension NumberFormat: CustomStringConvertible {
    public var description: String { name }
}

extension NumberFormat: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        do {
            try self.init(named: container.decode(String.self))
        } catch let error as InputError {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: error.description)
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(name)
    }
}

/// 2^exponent, exactly; subnormal exponents included.
private func powerOfTwo(_ exponent: Int) -> Double {
    Double(sign: .plus, exponent: exponent, significand: 1)
}
