//  How alike two texts are, as Python's difflib says it: `SequenceMatcher(None, a, b).ratio()`.
//
//      ratio = 2 M / (|a| + |b|)          M code points in matching blocks; 1 for two empty texts
//
//  A block is the longest run that both have in common; left and right of it the same is done
//  again. Positions of b's code points are kept in lists. The rule that decides scores of long
//  texts ("autojunk"): where |b| >= 200, code points that occur more than floor(|b| / 100) + 1
//  times have no list, so that a block begins only at a rare one; it grows over common ones at its
//  ends.

/// The ratio of two sequences of code points.
package struct SequenceRatio {
    private let a: Scalars
    private let b: Scalars
    private var places: [Unicode.Scalar: [Int]] = [:]

    /// - Complexity: O(|a| |b|) at worst, in time; O(|b|) in memory.
    package static func of(_ a: Scalars, _ b: Scalars) -> Double {
        let length = a.count + b.count
        return length == 0 ? 1 : 2 * Double(SequenceRatio(a, b).matches()) / Double(length)
    }

    private init(_ a: Scalars, _ b: Scalars) {
        (self.a, self.b) = (a, b)
        for (j, scalar) in b.enumerated() { places[scalar, default: []].append(j) }
        if b.count >= 200 {
            let limit = b.count / 100 + 1
            places = places.filter { $0.value.count <= limit }
        }
    }

    /// The code points in all matching blocks.
    private func matches() -> Int {
        var total = 0
        var ranges = [(0..<a.count, 0..<b.count)]
        // The lengths of runs that end at j, for the code point of a before and for this one.
        var lengths = Lengths(count: b.count)
        while let (inA, inB) = ranges.popLast() {
            let block = longest(inA, inB, &lengths)
            guard block.count > 0 else { continue }
            total += block.count
            if inA.lowerBound < block.a, inB.lowerBound < block.b {
                ranges.append((inA.lowerBound..<block.a, inB.lowerBound..<block.b))
            }
            let (endA, endB) = (block.a + block.count, block.b + block.count)
            if endA < inA.upperBound, endB < inB.upperBound {
                ranges.append((endA..<inA.upperBound, endB..<inB.upperBound))
            }
        }
        return total
    }

    private struct Lengths {
        var before: [Int]
        var now: [Int]

        init(count: Int) {
            before = Array(repeating: 0, count: count + 1)
            now = before
        }
    }

    /// The longest block, the earliest in a and then in b among equals.
    private func longest(_ inA: Range<Int>, _ inB: Range<Int>, _ lengths: inout Lengths) -> (
        a: Int, b: Int, count: Int
    ) {
        var best = (a: inA.lowerBound, b: inB.lowerBound, count: 0)
        var (old, new): ([Int], [Int]) = ([], [])
        for i in inA {
            new.removeAll(keepingCapacity: true)
            for j in places[a[i]] ?? [] {
                if j < inB.lowerBound { continue }
                if j >= inB.upperBound { break }
                // Index j + 1 holds the run that ends at j.
                let run = lengths.before[j] + 1
                lengths.now[j + 1] = run
                new.append(j + 1)
                if run > best.count { best = (i - run + 1, j - run + 1, run) }
            }
            for place in old { lengths.before[place] = 0 }
            swap(&lengths.before, &lengths.now)
            swap(&old, &new)
        }
        for place in old { lengths.before[place] = 0 }
        while best.a > inA.lowerBound, best.b > inB.lowerBound, a[best.a - 1] == b[best.b - 1] {
            best = (best.a - 1, best.b - 1, best.count + 1)
        }
        while best.a + best.count < inA.upperBound, best.b + best.count < inB.upperBound,
            a[best.a + best.count] == b[best.b + best.count]
        {
            best.count += 1
        }
        return best
    }
}
