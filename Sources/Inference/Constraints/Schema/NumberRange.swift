//  Numbers within bounds, as an automaton over their digits.
//
//  A number is written without leading zeros and without exponent. While its digits are read, the
//  automaton knows how the digits so far compare with those of each bound; a longer integer part is
//  the larger number. Of minus zero nothing is heard.
//
//      multiples of m      the remainder r of the digits so far goes to (10 r + digit) mod m

import DualityCore

/// The numbers that one schema allows.
struct NumberRange: Equatable, Sendable {
    struct Bound: Equatable, Sendable {
        let value: Decimal
        let isExclusive: Bool
    }

    var isInteger = false
    var lower: Bound?
    var upper: Bound?
    /// Only multiples of these.
    var multiples: [Int] = []
    /// Whether `multiples` are what the schema says, and not the whole numbers among multiples of
    /// a fraction.
    var multiplesAreWhole = true

    static let multipleLimit = 3_000

    /// Raises the lower bound.
    mutating func limit(from bound: Bound) {
        guard let lower else {
            lower = bound
            return
        }
        if lower.value < bound.value || (lower.value == bound.value && bound.isExclusive) { self.lower = bound }
    }

    /// Lowers the upper bound.
    mutating func limit(to bound: Bound) {
        guard let upper else {
            upper = bound
            return
        }
        if bound.value < upper.value || (upper.value == bound.value && bound.isExclusive) { self.upper = bound }
    }

    var isUnbounded: Bool { lower == nil && upper == nil && multiples.isEmpty }

    func contains(_ value: Decimal) -> Bool {
        if isInteger && !value.isInteger { return false }
        if let lower, value < lower.value || (lower.isExclusive && value == lower.value) { return false }
        if let upper, upper.value < value || (upper.isExclusive && value == upper.value) { return false }
        return multiples.allSatisfy { value.isInteger && value.remainder(by: $0) == 0 }
    }

    /// The least common multiple of `multiples`, 1 without any.
    func commonMultiple(place: String) throws(InputError) -> Int {
        var result = 1
        for multiple in multiples {
            var (a, b) = (result, multiple)
            while b != 0 { (a, b) = (b, a % b) }
            result = result / a * multiple
            guard result <= Self.multipleLimit else {
                throw InputError(
                    .unsupported, in: place, expected: "multiples of at most \(Self.multipleLimit)",
                    found: "of \(result)")
            }
        }
        return result
    }

    /// The same range of float64 numbers with bounds that belong to it.
    ///
    /// Readers round: -11.98900000000000000001 is below -11.989, and equal to it once it is read.
    private var closed: NumberRange {
        if isInteger { return self }
        var result = self
        if let lower, lower.isExclusive, let next = Decimal(nextAbove: lower.value) {
            result.lower = Bound(value: next, isExclusive: false)
        }
        if let upper, upper.isExclusive, let next = Decimal(nextBelow: upper.value) {
            result.upper = Bound(value: next, isExclusive: false)
        }
        return result
    }

    /// - Returns: nil when no number is allowed.
    func automaton(place: String) throws(InputError) -> CharacterAutomaton? {
        let reader = Reader(closed, divisor: try commonMultiple(place: place))
        return try CharacterAutomaton.exploring(
            from: Reader.State(), place: place, limit: 600_000, edges: reader.edges, accepts: reader.accepts)
    }
}

/// Reads the digits of a number beside those of its bounds.
private struct Reader {
    enum Part { case start, sign, zero, integer, point, fraction }

    struct State: Hashable {
        var part = Part.start
        var isNegative = false
        var isZero = true
        /// Digits of the part, as far as they count.
        var length = 0
        var remainder = 0
        var lower = Comparison()
        var upper = Comparison()
    }

    /// How the digits so far compare with those of a bound.
    struct Comparison: Hashable {
        /// -1, 0, 1: below, alike, above.
        var order = 0
        /// Digits of the part that were compared; one more than the bound has stands for all
        /// beyond.
        var length = 0
        var isFraction = false
    }

    private let range: NumberRange
    private let divisor: Int
    private let integerDigits: Int

    init(_ range: NumberRange, divisor: Int) {
        self.range = range
        self.divisor = divisor
        integerDigits = max(
            JSONGrammar.integerDigits, range.lower?.value.integer.count ?? 0, range.upper?.value.integer.count ?? 0)
    }

    // MARK: Comparing magnitudes

    private func advance(_ comparison: Comparison, by digit: UInt8, _ bound: NumberRange.Bound?) -> Comparison {
        guard let bound else { return comparison }
        var next = comparison
        let digits = comparison.isFraction ? bound.value.fraction : bound.value.integer
        if next.isFraction && next.order != 0 { return next }
        if next.order == 0 && (next.isFraction || next.length < digits.count) {
            let expected = next.length < digits.count ? digits[next.length] : 0
            next.order = digit < expected ? -1 : digit > expected ? 1 : 0
        }
        next.length = min(next.length + 1, digits.count + 1)
        return next
    }

    private func outcome(_ comparison: Comparison, _ bound: NumberRange.Bound) -> Int {
        let digits = comparison.isFraction ? bound.value.fraction : bound.value.integer
        if !comparison.isFraction && comparison.length != digits.count {
            return comparison.length < digits.count ? -1 : 1
        }
        if comparison.order != 0 { return comparison.order }
        if comparison.isFraction { return comparison.length < digits.count ? -1 : 0 }
        return bound.value.fraction.isEmpty ? 0 : -1
    }

    private func behindPoint(_ comparison: Comparison, _ bound: NumberRange.Bound?) -> Comparison {
        guard let bound else { return comparison }
        let digits = bound.value.integer
        let order = comparison.length < digits.count ? -1 : comparison.length > digits.count ? 1 : comparison.order
        return Comparison(order: order, length: 0, isFraction: true)
    }

    // MARK: States

    func accepts(_ state: State) -> Bool {
        guard [.zero, .integer, .fraction].contains(state.part), state.remainder == 0 else { return false }
        if state.isNegative && state.isZero { return false }
        if let lower = range.lower, !isAbove(state, state.lower, lower, 1) { return false }
        if let upper = range.upper, !isAbove(state, state.upper, upper, -1) { return false }
        return true
    }

    /// Whether the number is above a bound (direction 1) or below it (-1).
    private func isAbove(
        _ state: State, _ comparison: Comparison, _ bound: NumberRange.Bound, _ direction: Int
    ) -> Bool {
        if state.isNegative != bound.value.isNegative {
            // Of two signs the sign decides.
            return state.isNegative ? direction < 0 : direction > 0
        }
        let order = outcome(comparison, bound) * (state.isNegative ? -1 : 1) * direction
        return bound.isExclusive ? order > 0 : order >= 0
    }

    func edges(of state: State) -> [(scalars: ClosedRange<UInt32>, target: State)] {
        var result: [(scalars: ClosedRange<UInt32>, target: State)] = []
        if state.part == .start {
            var next = state
            (next.part, next.isNegative) = (.sign, true)
            result.append((0x2d...0x2d, next))
        }
        if !range.isInteger && divisor == 1, state.part == .zero || state.part == .integer {
            var next = state
            (next.part, next.length) = (.point, 0)
            next.lower = behindPoint(state.lower, range.lower)
            next.upper = behindPoint(state.upper, range.upper)
            result.append((0x2e...0x2e, next))
        }
        for digit in UInt8(0)...9 {
            guard let next = behind(digit, state) else { continue }
            let scalar = UInt32(digit) + 48
            if let last = result.last, last.target == next, last.scalars.upperBound + 1 == scalar {
                result[result.count - 1].scalars = last.scalars.lowerBound...scalar
            } else {
                result.append((scalar...scalar, next))
            }
        }
        return result
    }

    private func behind(_ digit: UInt8, _ state: State) -> State? {
        var next = state
        switch state.part {
        case .start, .sign: next.part = digit == 0 ? .zero : .integer
        case .zero: return nil
        case .integer: if state.length == integerDigits { return nil }
        case .point: next.part = .fraction
        case .fraction: if state.length == JSONGrammar.fractionDigits { return nil }
        }
        next.length = state.length + 1
        next.isZero = state.isZero && digit == 0
        if next.part != .fraction { next.remainder = (state.remainder * 10 + Int(digit)) % divisor }
        next.lower = advance(state.lower, by: digit, range.lower)
        next.upper = advance(state.upper, by: digit, range.upper)
        return next
    }
}
