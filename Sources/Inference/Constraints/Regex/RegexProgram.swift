//  A regular expression as a nondeterministic automaton (Thompson, 1968) and from that as a
//  deterministic one, whose states are the sets of places where a reader could be.

import DualityCore

/// The automaton of one pattern.
struct RegexProgram {
    private enum Instruction {
        case characters([ClosedRange<UInt32>], next: Int)
        case split([Int])
        case start(next: Int)
        case end(next: Int)
        case match
    }

    private var instructions: [Instruction] = [.match]
    private let place: String
    /// The place where a search has found its pattern and reads on.
    private var found: Int?
    private static let limit = 20_000

    /// The texts that a pattern matches as a whole, or in some part.
    ///
    /// - Returns: nil when there are none.
    /// - Throws: `InputError` for a pattern that is wrong, unsupported or too large.
    static func automaton(
        _ text: String, matchesWhole: Bool, place: String
    ) throws(InputError) -> CharacterAutomaton? {
        let pattern = try RegexParser.parse(text, place: place)
        var program = RegexProgram(place: place)
        let first = try program.add(
            matchesWhole ? pattern : .sequence([.anything, pattern, .anything]), before: 0)
        // The last "anything" of a search was added first: its characters are instruction 2.
        if !matchesWhole { program.found = 2 }
        let start = Places(program.closure([first], atStart: true), isStart: true)
        return try CharacterAutomaton.exploring(
            from: start, place: place, weight: { 1 + $0.numbers.count / 16 },
            edges: { program.edges(of: $0) }, accepts: { program.accepts($0) })
    }

    private init(place: String) {
        self.place = place
    }

    // MARK: Instructions

    private mutating func append(_ instruction: Instruction) throws(InputError) -> Int {
        guard instructions.count < Self.limit else {
            throw InputError(
                .unsupported, in: place, expected: "a pattern of at most \(Self.limit) places",
                found: "one with more", remedy: "Use smaller repetitions.")
        }
        instructions.append(instruction)
        return instructions.count - 1
    }

    /// Adds instructions that read a pattern and go on to `next`; returns where they begin.
    private mutating func add(_ pattern: Pattern, before next: Int) throws(InputError) -> Int {
        switch pattern {
        case .empty: return next
        case .characters(let ranges): return try append(.characters(ranges, next: next))
        case .start: return try append(.start(next: next))
        case .end: return try append(.end(next: next))
        case .sequence(let parts):
            var next = next
            for part in parts.reversed() { next = try add(part, before: next) }
            return next
        case .choice(let options):
            var starts: [Int] = []
            for option in options { starts.append(try add(option, before: next)) }
            return try append(.split(starts))
        case .repetition(let body, let least, let most):
            var next = next
            if most == .max {
                let loop = try append(.split([]))
                let start = try add(body, before: loop)
                instructions[loop] = .split([start, next])
                next = loop
            } else {
                let end = next
                for _ in least..<most { next = try append(.split([try add(body, before: next), end])) }
            }
            for _ in 0..<least { next = try add(body, before: next) }
            return next
        }
    }

    // MARK: Sets of places

    /// Where a reader could be: before characters, before the end, or at a match.
    private struct Places: Hashable {
        let numbers: [Int]
        /// Whether nothing has been read yet.
        let isStart: Bool

        init(_ numbers: [Int], isStart: Bool = false) {
            self.numbers = numbers
            self.isStart = isStart
        }
    }

    /// The places that can be reached without reading, sorted.
    private func closure(_ starts: some Sequence<Int>, atStart: Bool = false, atEnd: Bool = false) -> [Int] {
        var seen = Set<Int>()
        var result: [Int] = []
        var pending = Array(starts)
        while let place = pending.popLast() {
            guard seen.insert(place).inserted else { continue }
            switch instructions[place] {
            case .split(let next): pending += next
            case .start(let next): if atStart { pending.append(next) }
            case .end(let next):
                if atEnd { pending.append(next) } else { result.append(place) }
            case .characters, .match: result.append(place)
            }
        }
        // What was found stays found: where else the reader could be does not matter.
        if let found, seen.contains(found) { return [0, found] }
        return result.sorted()
    }

    private func accepts(_ places: Places) -> Bool {
        closure(places.numbers, atStart: places.isStart, atEnd: true).contains(0)
    }

    /// The next sets of places, for ranges of characters that lead to the same one.
    private func edges(of places: Places) -> [(scalars: ClosedRange<UInt32>, target: Places)] {
        var events: [(scalar: UInt32, change: Int, next: Int)] = []
        for place in places.numbers {
            guard case .characters(let ranges, let next) = instructions[place] else { continue }
            for range in ranges {
                events.append((range.lowerBound, 1, next))
                events.append((range.upperBound + 1, -1, next))
            }
        }
        events.sort { $0.scalar < $1.scalar }
        var active: [Int: Int] = [:]
        var targets: [[Int]: Places] = [:]
        var result: [(scalars: ClosedRange<UInt32>, target: Places)] = []
        for (index, event) in events.enumerated() {
            active[event.next, default: 0] += event.change
            if active[event.next] == 0 { active[event.next] = nil }
            guard index + 1 < events.count, events[index + 1].scalar > event.scalar, !active.isEmpty else { continue }
            let key = active.keys.sorted()
            let target = targets[key] ?? Places(closure(key))
            targets[key] = target
            let scalars = event.scalar...events[index + 1].scalar - 1
            if let last = result.last, last.target == target, last.scalars.upperBound + 1 == scalars.lowerBound {
                result[result.count - 1].scalars = last.scalars.lowerBound...scalars.upperBound
            } else {
                result.append((scalars, target))
            }
        }
        return result
    }
}
