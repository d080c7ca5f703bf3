//  How characters are written as bytes: UTF-8, and the inside of a JSON string.
//
//  A spelling is a list of forms. A form covers a range of scalars and writes (scalar - offset) as
//  digits of some bits each, a byte a digit, with fixed bytes between:
//
//      UTF-8, three bytes    1110dddd 10dddddd 10dddddd           4, 6, 6 bits
//      \uXXXX                \ u x x x x                          4, 4, 4, 4 bits
//      a pair of surrogates  \ u d [8-b] x x \ u d [c-f] x x      2, 4, 4, 2, 4, 4 bits of s - 0x10000
//
//  An automaton over characters becomes one over bytes by giving every state a tree of such digits.

/// A way to write characters as bytes.
struct Spelling: Sendable {
    enum Level: Sendable {
        /// Any of these bytes; they mean the same.
        case fixed([UInt8])
        /// The next `bits` bits: digit d is any of the bytes `bytes[d]`.
        case digit(bits: Int, bytes: [[UInt8]])
    }

    struct Form: Sendable {
        let scalars: ClosedRange<UInt32>
        let offset: UInt32
        let levels: [Level]

        init(_ scalars: ClosedRange<UInt32>, offset: UInt32 = 0, _ levels: [Level]) {
            self.scalars = scalars
            self.offset = offset
            self.levels = levels
        }
    }

    let forms: [Form]

    private static func bits(_ count: Int, from first: UInt8) -> Level {
        .digit(bits: count, bytes: (0..<1 << count).map { [first + UInt8($0)] })
    }

    private static func hexadecimal(_ count: Int = 4, from first: Int = 0) -> Level {
        .digit(
            bits: count,
            bytes: (first..<first + 1 << count).map { digit in
                let text = String(digit, radix: 16)
                return Array(Set(text.utf8).union(text.uppercased().utf8)).sorted()
            })
    }

    private static let several = [
        Form(0x80...0x7ff, [bits(5, from: 0xc0), bits(6, from: 0x80)]),
        Form(0x800...0xffff, [bits(4, from: 0xe0), bits(6, from: 0x80), bits(6, from: 0x80)]),
        Form(0x10000...0x10ffff, [bits(3, from: 0xf0)] + Array(repeating: bits(6, from: 0x80), count: 3)),
    ]

    /// ASCII, for automata that read nothing else.
    static let ascii = Spelling(forms: [Form(0...0x7f, [bits(7, from: 0)])])

    /// UTF-8.
    static let utf8 = Spelling(forms: [Form(0...0x7f, [bits(7, from: 0)])] + several)

    /// The inside of a JSON string: UTF-8, and all escapes (RFC 8259, section 7).
    static let json: Spelling = {
        var forms = several
        for plain in [0x20...0x21, 0x23...0x5b, 0x5d...0x7f] as [ClosedRange<UInt32>] {
            forms.append(Form(plain, [bits(7, from: 0)]))
        }
        let short: [(UInt32, Character)] = [
            (0x22, "\""), (0x5c, "\\"), (0x2f, "/"), (8, "b"), (12, "f"), (10, "n"), (13, "r"), (9, "t"),
        ]
        for (scalar, letter) in short {
            forms.append(Form(scalar...scalar, offset: scalar, [fixed("\\"), fixed(letter)]))
        }
        let digits = hexadecimal()
        forms.append(Form(0...0xffff, [fixed("\\"), fixed("u"), digits, digits, digits, digits]))
        let surrogate = [fixed("\\"), fixed("u"), .fixed(Array("Dd".utf8))]
        forms.append(
            Form(
                0x10000...0x10ffff, offset: 0x10000,
                surrogate + [hexadecimal(2, from: 8), digits, digits]
                    + surrogate + [hexadecimal(2, from: 12), digits, digits]))
        return Spelling(forms: forms)
    }()

    private static func fixed(_ character: Character) -> Level { .fixed([character.asciiValue!]) }
}

extension ByteAutomaton {
    /// The texts of an automaton over characters, spelled in bytes.
    ///
    /// - Complexity: O(edges) times the digits of a character.
    init(_ automaton: CharacterAutomaton, spelling: Spelling) {
        var speller = Speller(states: automaton.edges.count)
        for (state, edges) in automaton.edges.enumerated() {
            speller.edges[state] = speller.edges(of: edges, spelling)
        }
        for (state, edges) in speller.edges.enumerated() {
            append(edges, accepts: state < automaton.accepts.count && automaton.accepts[state])
        }
    }
}

/// Builds the trees of digits; equal ones are shared.
private struct Speller {
    typealias Edge = ByteAutomaton.Edge

    /// First the states of the automaton, then the nodes between them.
    var edges: [[Edge]]
    private var numbers: [[Edge]: Int32] = [:]
    /// Nodes behind which every digit leads to one state.
    private var whole: [Whole: Int32] = [:]
    private let stateCount: Int

    private struct Whole: Hashable {
        let form: Int
        let level: Int
        let target: Int
    }

    init(states: Int) {
        stateCount = states
        edges = Array(repeating: [], count: states)
    }

    private mutating func node(_ own: [Edge]) -> Int32 {
        if let number = numbers[own] { return number }
        let number = Int32(edges.count)
        edges.append(own)
        numbers[own] = number
        return number
    }

    mutating func edges(of state: [CharacterAutomaton.Edge], _ spelling: Spelling) -> [Edge] {
        var targets: [(byte: UInt8, target: Int32)] = []
        for (number, form) in spelling.forms.enumerated() {
            let covered = state.compactMap { edge -> CharacterAutomaton.Edge? in
                guard edge.scalars.overlaps(form.scalars) else { return nil }
                let scalars = edge.scalars.clamped(to: form.scalars)
                return .init(
                    scalars: scalars.lowerBound - form.offset...scalars.upperBound - form.offset, target: edge.target)
            }
            if !covered.isEmpty { targets += branches(form.levels[...], number, 0, covered) }
        }
        return joined(targets)
    }

    /// The bytes that begin the values of `covered` from `low` on, with what is behind them.
    private mutating func branches(
        _ levels: ArraySlice<Spelling.Level>, _ form: Int, _ low: UInt32, _ covered: [CharacterAutomaton.Edge]
    ) -> [(byte: UInt8, target: Int32)] {
        let rest = levels.dropFirst()
        let width = UInt32(rest.reduce(0) { if case .digit(let bits, _) = $1 { $0 + bits } else { $0 } })
        switch levels.first! {
        case .fixed(let bytes):
            guard let target = target(rest, form: form, low: low, width: width, covered: covered) else { return [] }
            return bytes.map { ($0, target) }
        case .digit(_, let bytes):
            var result: [(byte: UInt8, target: Int32)] = []
            for (digit, spellings) in bytes.enumerated() {
                let first = low + UInt32(digit) << width
                let last = first + (1 << width - 1)
                let inside = covered.count == 1 ? covered : covered.filter { $0.scalars.overlaps(first...last) }
                guard let edge = inside.first, edge.scalars.overlaps(first...last),
                    let target = target(rest, form: form, low: first, width: width, covered: inside)
                else { continue }
                for byte in spellings { result.append((byte, target)) }
            }
            return result
        }
    }

    /// What is behind a digit: the values from `low` on that differ in `width` bits.
    private mutating func target(
        _ levels: ArraySlice<Spelling.Level>, form: Int, low: UInt32, width: UInt32,
        covered: [CharacterAutomaton.Edge]
    ) -> Int32? {
        if levels.isEmpty { return covered.first { $0.scalars.contains(low) }.map { Int32($0.target) } }
        let scalars = covered[0].scalars
        let isWhole = covered.count == 1 && scalars.lowerBound <= low && low + (1 << width - 1) <= scalars.upperBound
        let key = Whole(form: form, level: levels.startIndex, target: covered[0].target)
        if isWhole, let known = whole[key] { return known }
        let branches = branches(levels, form, low, covered)
        if branches.isEmpty { return nil }
        let node = node(joined(branches))
        if isWhole { whole[key] = node }
        return node
    }

    /// Edges in the order of their bytes, neighbours with one target as one; two nodes behind one
    /// byte become one node.
    private mutating func joined(_ branches: [(byte: UInt8, target: Int32)]) -> [Edge] {
        var targets: [UInt8: Int32] = [:]
        for (byte, target) in branches {
            targets[byte] = targets[byte].map { $0 == target ? target : union($0, target) } ?? target
        }
        var result: [Edge] = []
        for (byte, target) in targets.sorted(by: { $0.key < $1.key }) {
            if let last = result.last, last.target == target, last.high == byte &- 1 {
                result[result.count - 1] = Edge(last.low, byte, to: target)
            } else {
                result.append(Edge(byte, byte, to: target))
            }
        }
        return result
    }

    private mutating func union(_ first: Int32, _ second: Int32) -> Int32 {
        precondition(min(first, second) >= stateCount, "two characters are spelled alike")
        let both = edges[Int(first)] + edges[Int(second)]
        return node(joined(both.flatMap { edge in (edge.low...edge.high).map { ($0, edge.target) } }))
    }
}
