//  Running a compiled pattern over a text: the preferred way first, and no pair of step and place
//  twice.

import DualityCore

struct RegexSearch {
    private let regex: PythonRegex
    private let text: Scalars
    private var work = 0
    /// The pairs that have failed, by program: bit `step (n + 1) + place`.
    private var failed: [[UInt64]]
    /// The pairs of this attempt, to be forgotten when it succeeds: those may lead to other
    /// matches.
    private var visited: [Int] = []

    /// What is left to try, and what is to be put back on the way.
    private enum Task {
        case run(step: Int, place: Int)
        case restore(slot: Int, value: Int)
    }

    init(_ regex: PythonRegex, _ text: Scalars) {
        (self.regex, self.text) = (regex, text)
        failed = regex.programs.map { _ in [] }
    }

    /// The first match at or after `start`.
    ///
    /// - Parameter mustAdvance: whether a match at `start` itself may not be empty.
    mutating func next(from start: Int, mustAdvance: Bool) throws(InputError) -> PythonRegex.Match? {
        var i = start
        while i <= text.count {
            let refusesEmpty = mustAdvance && i == start
            if let slots = try attempt(0, at: i, refusesEmpty: refusesEmpty, forgets: refusesEmpty) {
                let groups = (0...regex.groupCount).map { group -> Range<Int>? in
                    let (low, high) = (slots[2 * group], slots[2 * group + 1])
                    return low >= 0 && high >= low ? low..<high : nil
                }
                return PythonRegex.Match(groups: groups)
            }
            i += 1
        }
        return nil
    }

    /// One program from one place; the slots of its groups, or nil.
    private mutating func attempt(
        _ program: Int, at start: Int, refusesEmpty: Bool, forgets: Bool
    ) throws(InputError) -> [Int]? {
        let steps = regex.programs[program]
        let width = text.count + 1
        if failed[program].isEmpty { failed[program] = Array(repeating: 0, count: (steps.count * width + 63) / 64) }
        var slots = Array(repeating: -1, count: 2 * (regex.groupCount + 1))
        var stack: [Task] = [.run(step: 0, place: start)]
        let outer = visited
        visited.removeAll()
        defer { visited = outer }
        while let task = stack.popLast() {
            switch task {
            case .restore(let slot, let value): slots[slot] = value
            case .run(var step, var place):
                while true {
                    try count()
                    let pair = step * width + place
                    let bit: UInt64 = 1 << UInt64(pair % 64)
                    if failed[program][pair / 64] & bit != 0 { break }
                    failed[program][pair / 64] |= bit
                    visited.append(pair)
                    guard
                        let next = try follow(
                            steps[step], program: program, index: step, place: place, slots: &slots, stack: &stack)
                    else {
                        if case .match = steps[step], !(refusesEmpty && place == start) {
                            forget(program)
                            return slots
                        }
                        break
                    }
                    (step, place) = next
                }
            }
        }
        if forgets { forget(program) }
        return nil
    }

    /// What comes after a step: nil when it fails here, and at the match.
    private mutating func follow(
        _ step: RegexStep, program: Int, index: Int, place: Int, slots: inout [Int], stack: inout [Task]
    ) throws(InputError) -> (Int, Int)? {
        switch step {
        case .take(let set):
            guard place < text.count, set.contains(text[place]) else { return nil }
            return (index + 1, place + 1)
        case .split(let first, let second):
            stack.append(.run(step: second, place: place))
            return (first, place)
        case .jump(let target): return (target, place)
        case .save(let slot):
            stack.append(.restore(slot: slot, value: slots[slot]))
            slots[slot] = place
            return (index + 1, place)
        case .assert(let assertion):
            return assertion.holds(text, place) ? (index + 1, place) : nil
        case .look(let other, let width, let isNegated):
            let from = place - (width ?? 0)
            var matches = false
            if from >= 0, let inner = try attempt(other, at: from, refusesEmpty: false, forgets: false) {
                matches = true
                if !isNegated {
                    for slot in 2..<slots.count where inner[slot] >= 0 {
                        stack.append(.restore(slot: slot, value: slots[slot]))
                        slots[slot] = inner[slot]
                    }
                }
            }
            return matches != isNegated ? (index + 1, place) : nil
        case .match: return nil
        }
    }

    private mutating func forget(_ program: Int) {
        for pair in visited { failed[program][pair / 64] &= ~(1 << UInt64(pair % 64)) }
        visited.removeAll()
    }

    private mutating func count() throws(InputError) {
        work += 1
        guard work <= PythonRegex.workLimit else {
            throw InputError(
                .value, in: "\(regex.place): regular expression",
                expected: "a pattern that is done within \(PythonRegex.workLimit) steps",
                found: "'\(regex.pattern)' on a text of \(text.count) characters",
                remedy: "Write a pattern without repetition inside repetition.")
        }
    }
}
