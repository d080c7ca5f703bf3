//  Numbers as a reader wants them.

import Foundation

/// How a number is written.
public enum Notation: Sendable {
    /// So many digits that count, in whichever notation is shorter: 0.0123, 1.2e-16, 81,920.
    case significant(Int)
    /// At most so many digits that count, without zeros at the end: 0.5, 0.03125.
    case short(Int)
    /// So many digits after the point.
    case fixed(Int)
    /// So many digits that count and a power of ten.
    case scientific(Int)
    /// A share, in per cent with so many digits after the point.
    case percent(Int)
}

/// A number as text.
public func text(_ number: Double, _ notation: Notation = .significant(3)) -> String {
    switch notation {
    case .significant(let digits):
        let size = number.magnitude
        guard size > 0, size.isFinite else { return size == 0 ? "0" : "\(number)" }
        if size < 1e-3 || size >= 1e6 { return text(number, .scientific(digits)) }
        let whole = Int(log10(size).rounded(.down)) + 1
        let fixed = text(number, .fixed(max(0, digits - whole)))
        return whole > 3 ? text(Int(number.rounded())) : fixed
    case .short(let digits): return String(format: "%.\(digits)g", number)
    case .fixed(let digits): return String(format: "%.\(digits)f", number)
    case .scientific(let digits): return scientific(number, digits)
    case .percent(let digits): return String(format: "%.\(digits)f %%", 100 * number)
    }
}

/// A whole number with a comma every three digits.
public func text(_ number: Int) -> String {
    let digits = Array(String(number.magnitude))
    let groups = stride(from: digits.count, to: 0, by: -3).map { String(digits[max(0, $0 - 3)..<$0]) }
    return (number < 0 ? "-" : "") + groups.reversed().joined(separator: ",")
}

/// 1.2e-5 without the zeros that C puts into exponents.
private func scientific(_ number: Double, _ digits: Int) -> String {
    if number == 0 { return "0" }
    let parts = String(format: "%.\(max(0, digits - 1))e", number).split(separator: "e")
    guard parts.count == 2, let exponent = Int(parts[1]) else { return "\(number)" }
    return "\(parts[0])e\(exponent)"
}
