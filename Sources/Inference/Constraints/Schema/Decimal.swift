//  A decimal number as digits, exactly: bounds of a schema are not rounded.

/// A finite decimal number.
struct Decimal: Equatable, Sendable {
    /// False for zero.
    let isNegative: Bool
    /// Digits before the point, without leading zeros; `[0]` when there are none.
    let integer: [UInt8]
    /// Digits behind the point, without trailing zeros.
    let fraction: [UInt8]

    /// More digits than this on one side of the point are refused.
    static let digitLimit = 400

    /// Reads a JSON number; nil for one with more than 400 digits on a side, and for what is none.
    init?(_ literal: String) {
        var text = Substring(literal)
        let hasSign = text.first == "-"
        if hasSign { text.removeFirst() }
        let parts = text.split(separator: "e", omittingEmptySubsequences: false).flatMap {
            $0.split(separator: "E", omittingEmptySubsequences: false)
        }
        let exponent = parts.count == 1 ? 0 : Int(parts[1])
        let sides = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count <= 2, sides.count <= 2, let exponent, exponent.magnitude <= 2 * Self.digitLimit else {
            return nil
        }
        var digits = sides.joined().utf8.map { $0 &- 48 }
        guard !digits.isEmpty, digits.count <= 4 * Self.digitLimit, digits.allSatisfy({ $0 < 10 }) else { return nil }
        var point = sides[0].utf8.count + exponent
        if point < 0 { digits.insert(contentsOf: repeatElement(0, count: -point), at: 0) }
        point = max(point, 0)
        if point > digits.count { digits += repeatElement(0, count: point - digits.count) }
        let integer = Array(digits[..<point].drop { $0 == 0 })
        var fraction = Array(digits[point...])
        while fraction.last == 0 { fraction.removeLast() }
        guard integer.count <= Self.digitLimit, fraction.count <= Self.digitLimit else { return nil }
        self.integer = integer.isEmpty ? [0] : integer
        self.fraction = fraction
        isNegative = hasSign && !(integer.isEmpty && fraction.isEmpty)
    }

    /// The shortest decimal of the float64 number above another, itself rounded.
    init?(nextAbove other: Decimal) { self.init(other.double.nextUp.description) }

    /// The shortest decimal of the float64 number below another, itself rounded.
    init?(nextBelow other: Decimal) { self.init(other.double.nextDown.description) }

    private var double: Double {
        let digits = { (digits: [UInt8]) in String(decoding: digits.map { $0 + 48 }, as: UTF8.self) }
        return Double("\(isNegative ? "-" : "")\(digits(integer)).\(digits(fraction))0") ?? .nan
    }

    var isZero: Bool { integer == [0] && fraction.isEmpty }
    var isInteger: Bool { fraction.isEmpty }

    /// Whether the magnitude is below that of another.
    private func isSmaller(than other: Decimal) -> Bool {
        if integer.count != other.integer.count { return integer.count < other.integer.count }
        if integer != other.integer { return integer.lexicographicallyPrecedes(other.integer) }
        return fraction.lexicographicallyPrecedes(other.fraction)
    }

    static func < (a: Decimal, b: Decimal) -> Bool {
        if a.isNegative != b.isNegative { return a.isNegative }
        return a.isNegative ? b.isSmaller(than: a) : a.isSmaller(than: b)
    }

    /// The smallest whole number of which every whole multiple of this number is a multiple: the
    /// numerator in lowest terms. Nil for zero, negative numbers and those beyond `limit`.
    func wholeMultiple(limit: Int) -> Int? {
        guard !isNegative, !isZero, integer.count + fraction.count < 18 else { return nil }
        var numerator = (integer + fraction).reduce(0) { $0 * 10 + Int($1) }
        var denominator = fraction.reduce(1) { value, _ in value * 10 }
        for prime in [2, 5] {
            while numerator % prime == 0, denominator % prime == 0 {
                numerator /= prime
                denominator /= prime
            }
        }
        return numerator <= limit ? numerator : nil
    }

    /// The remainder of the integer part's magnitude.
    func remainder(by divisor: Int) -> Int {
        integer.reduce(0) { ($0 * 10 + Int($1)) % divisor }
    }
}
