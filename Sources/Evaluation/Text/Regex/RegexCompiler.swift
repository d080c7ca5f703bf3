//  A tree of a pattern made into the steps that look for it.
//
//      x|y     split L1 L2;  L1: x; jump E;  L2: y;  E:
//      x*      L: split B E;  B: x; jump L;  E:            lazy: the two ways exchanged
//      x{2,4}  x x split . E; x split . E; x;  E:

struct RegexCompiler {
    /// The pattern's program, then those of what looks around.
    private(set) var programs: [[RegexStep]] = []
    private let limit: Int
    private var size = 0

    init(limit: Int) {
        self.limit = limit
    }

    /// - Returns: whether the program stayed within the limit.
    mutating func compile(_ node: RegexNode) -> Bool {
        _ = program(of: node)
        return size <= limit
    }

    /// Appends a program for a pattern and its groups.
    private mutating func program(of node: RegexNode) -> Int {
        let index = programs.count
        programs.append([])
        var steps: [RegexStep] = [.save(0)]
        emit(node, &steps)
        steps += [.save(1), .match]
        programs[index] = steps
        return index
    }

    private mutating func emit(_ node: RegexNode, _ steps: inout [RegexStep]) {
        size += 1
        guard size <= limit else { return }
        switch node {
        case .set(let set): steps.append(.take(set))
        case .assertion(let assertion): steps.append(.assert(assertion))
        case .sequence(let parts): for part in parts { emit(part, &steps) }
        case .group(let part, let index):
            steps.append(.save(2 * index))
            emit(part, &steps)
            steps.append(.save(2 * index + 1))
        case .look(let part, let isAhead, let isNegated):
            let program = program(of: part)
            steps.append(.look(program: program, width: isAhead ? nil : part.width, isNegated: isNegated))
        case .alternatives(let parts): emit(alternatives: parts, &steps)
        case .repeated(let part, let least, let most, let isGreedy):
            for _ in 0..<least { emit(part, &steps) }
            guard let most else { return emit(loop: part, isGreedy, &steps) }
            var splits: [Int] = []
            for _ in least..<max(most, least) where size <= limit {
                splits.append(steps.count)
                steps.append(.jump(0))
                emit(part, &steps)
            }
            for split in splits {
                steps[split] = isGreedy ? .split(split + 1, steps.count) : .split(steps.count, split + 1)
            }
        }
    }

    private mutating func emit(alternatives parts: [RegexNode], _ steps: inout [RegexStep]) {
        var jumps: [Int] = []
        for (i, part) in parts.enumerated() {
            let split = steps.count
            let isLast = i == parts.count - 1
            if !isLast { steps.append(.jump(0)) }
            emit(part, &steps)
            if !isLast {
                jumps.append(steps.count)
                steps.append(.jump(0))
                steps[split] = .split(split + 1, steps.count)
            }
        }
        for jump in jumps { steps[jump] = .jump(steps.count) }
    }

    private mutating func emit(loop part: RegexNode, _ isGreedy: Bool, _ steps: inout [RegexStep]) {
        let split = steps.count
        steps.append(.jump(0))
        emit(part, &steps)
        steps.append(.jump(split))
        steps[split] = isGreedy ? .split(split + 1, steps.count) : .split(steps.count, split + 1)
    }
}
