//  Sets of characters, as sorted ranges of scalars.
//
//  Dialects differ in what \d, \w and \s mean beyond ASCII (ECMA 262 says ASCII, Python and others
//  say Unicode). A constraint must satisfy whoever checks the answer, so that a class holds what
//  all of them hold, and a negated class what none of the plain ones hold.

/// Sets of Unicode scalars.
enum CharacterClasses {
    typealias Ranges = [ClosedRange<UInt32>]

    static let digit: Ranges = [0x30...0x39]
    static let word: Ranges = [0x30...0x39, 0x41...0x5a, 0x5f...0x5f, 0x61...0x7a]
    static let space: Ranges = [
        0x09...0x0d, 0x20...0x20, 0xa0...0xa0, 0x1680...0x1680, 0x2000...0x200a, 0x2028...0x2029, 0x202f...0x202f,
        0x205f...0x205f, 0x3000...0x3000,
    ]
    /// What `.` does not match.
    static let lineEnds: Ranges = [0x0a...0x0a, 0x0d...0x0d, 0x2028...0x2029]

    static let notDigit = complement(digit + scalars { $0.contains(.number) })
    static let notWord = complement(word + scalars { $0.contains(.letter) || $0.contains(.number) })
    static let notSpace = complement(space + [0x1c...0x1f, 0x85...0x85, 0xfeff...0xfeff])

    /// Sorted, and neighbours joined.
    static func union(_ ranges: Ranges) -> Ranges {
        var result: Ranges = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = result.last, range.lowerBound <= last.upperBound || range.lowerBound == last.upperBound + 1 {
                result[result.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                result.append(range)
            }
        }
        return result
    }

    /// All scalars but these.
    static func complement(_ ranges: Ranges) -> Ranges {
        var result: Ranges = []
        var next: UInt32 = 0
        for range in union(ranges + [0xd800...0xdfff]) {
            if range.lowerBound > next { result.append(next...range.lowerBound - 1) }
            next = range.upperBound + 1
        }
        if next <= 0x10ffff { result.append(next...0x10ffff) }
        return result
    }

    private static func scalars(_ belongs: (ScalarClass) -> Bool) -> Ranges {
        var result: Ranges = []
        for (value, raw) in UnicodeClasses.table.enumerated() where belongs(ScalarClass(rawValue: raw)) {
            let value = UInt32(value)
            if let last = result.last, last.upperBound + 1 == value {
                result[result.count - 1] = last.lowerBound...value
            } else {
                result.append(value...value)
            }
        }
        return result
    }
}
