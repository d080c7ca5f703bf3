//  The associative form: what a stretch of tokens does to the state is a pair, and pairs compose.
//
//      a segment acts on the state as   S -> α S + U          α the product of its decays, U its state from a zero start
//      two of them, one after another   (α₂, U₂) ∘ (α₁, U₁) = (α₁ α₂, α₂ U₁ + U₂)          identity (1, 0)
//
//  ∘ is associative, so segments may be composed in any tree, at the same time or on different
//  machines:
//
//      1. leaves     (ln α, U) of each short segment, and its outputs from a zero start
//      2. upwards    the pair of a node from those of its children
//      3. downwards  the state that enters a left child enters its node; the one that enters a right child is the left
//                    sibling's pair applied to it
//      4. leaves     Y_t += exp(seg(t, 0)) H C_t, H the entering state
//      5. root       S_L = α S_0 + U
//
//  ln α is carried, never α: logarithms add, products underflow.
//
//  Source: Blelloch, "Prefix sums and their applications" (1990), section 1.4; Mamba-2 (arXiv
//  2405.21060) section 6.

import DualityCore

/// In what order segments are composed.
public enum ScanTree: Sendable, Hashable {
    /// ((s1 s2) s3) s4: one after another, as the recurrence does.
    case left
    /// s1 (s2 (s3 s4)).
    case right
    /// (s1 s2) (s3 s4), of depth log2 of the number of segments.
    case balanced
    /// Split anywhere, anew at each node.
    case random(seed: UInt64)

    /// Where the node over `leaves` is split, its second child beginning there.
    package func split(_ leaves: Range<Int>, _ random: inout RandomSource) -> Int {
        switch self {
        case .left: leaves.upperBound - 1
        case .right: leaves.lowerBound + 1
        case .balanced: (leaves.lowerBound + leaves.upperBound) / 2
        case .random: random.integer(in: leaves.lowerBound + 1...leaves.upperBound - 1)
        }
    }
}

/// What a stretch of tokens does to the state.
struct Segment<Scalar: RealNumber> {
    /// ln α.
    var logDecay: Scalar
    /// U, `[P, N]`.
    var state: [Scalar]

    /// The state after the segment, from the one before it: α S + U.
    func applied(to before: [Scalar]) -> [Scalar] {
        let decay = Scalar.exp(logDecay)
        return zip(before, state).map { decay * $0 + $1 }
    }

    /// This segment and then the next: `next ∘ self`.
    func followed(by next: Segment) -> Segment {
        Segment(logDecay: logDecay + next.logDecay, state: next.applied(to: state))
    }
}

/// What is left to do on the way through a tree. A list of these and not a recursion: a leaning
/// tree is as deep as it has leaves.
private enum ScanTask<Scalar: RealNumber> {
    /// Go through the node over `leaves`, which the state `entering` enters.
    case walk(leaves: Range<Int>, entering: [Scalar])
    /// The left sibling is done: go through the right one.
    case cross(leaves: Range<Int>, entering: [Scalar])
    /// Both children are done.
    case compose
}

extension HeadSequence {
    /// The associative form over segments of `leaf` tokens.
    ///
    /// O(L P N) time. The tree is walked once, left to right, and remembers the pairs and entering
    /// states on the way down from the root: O(P N log L) memory for a balanced tree, O(P N L /
    /// leaf) for one that leans to the right.
    func associative(tree: ScanTree, leaf: Int) -> HeadResult<Scalar> {
        var random = RandomSource(seed: 0)
        if case .random(let seed) = tree { random = RandomSource(seed: seed) }
        var result = HeadResult<Scalar>(y: [Scalar](repeating: .zero, count: length * headDim), states: [])
        var segments: [Segment<Scalar>] = []
        let leaves = max(1, length / leaf + (length % leaf > 0 ? 1 : 0))
        var tasks = [ScanTask.walk(leaves: 0..<leaves, entering: initialState)]

        while let task = tasks.popLast() {
            switch task {
            case .walk(let leaves, let entering) where leaves.count == 1:
                let first = leaves.lowerBound * leaf
                let tokens = first..<first + min(leaf, length - first)
                segments.append(segment(tokens, y: &result.y))
                addReadout(of: entering, over: tokens, to: &result.y)
                for checkpoint in checkpoints.dropLast()
                where tokens.lowerBound < checkpoint && checkpoint <= tokens.upperBound {
                    result.states.append(advanced(entering, over: tokens.lowerBound..<checkpoint))
                }
            case .walk(let leaves, let entering):
                let middle = tree.split(leaves, &random)
                tasks.append(.compose)
                tasks.append(.cross(leaves: middle..<leaves.upperBound, entering: entering))
                tasks.append(.walk(leaves: leaves.lowerBound..<middle, entering: entering))
            case .cross(let leaves, let entering):
                let crossed = segments[segments.count - 1].applied(to: entering)
                tasks.append(.walk(leaves: leaves, entering: crossed))
            case .compose:
                let right = segments.removeLast()
                let left = segments.removeLast()
                segments.append(left.followed(by: right))
            }
        }
        result.states.append(segments[0].applied(to: initialState))
        return result
    }

    /// The pair of the tokens of `range`, and their outputs from a zero start.
    private func segment(_ range: Range<Int>, y: inout [Scalar]) -> Segment<Scalar> {
        var segment = Segment(logDecay: Scalar.zero, state: [Scalar](repeating: .zero, count: headDim * stateDim))
        step(&segment.state, over: range, y: &y)
        for t in range { segment.logDecay += logDecay[t] }
        return segment
    }
}
