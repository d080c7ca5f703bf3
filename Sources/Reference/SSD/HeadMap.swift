//  Which head of x, B and C each SSM head reads.
//
//  The operator has H heads, but its operands may have fewer: the B/C groups of Mamba-2 (C and B
//  have G heads), and the key/value heads of hybrid models (x and B have fewer heads, C has all H).
//  Head h then reads head h / (H / count) of an operand with `count` heads. The map is an index, so
//  nothing is ever repeated in memory.
//
//  Source: state-spaces/mamba, ops/triton/ssd_chunk_state.py (groups);
//  awslabs/hybrid-model-factory, layers/mamba/mamba2.py, `Mamba2.forward` (which repeats x and B
//  instead).

import DualityCore

/// Which head of x, B and C each of the H SSM heads reads.
public struct HeadMap: Sendable, Equatable {
    /// For each SSM head, the head of x.
    public let x: [Int]
    /// For each SSM head, the head of B.
    public let b: [Int]
    /// For each SSM head, the head of C.
    public let c: [Int]

    /// The number of SSM heads, H.
    public var heads: Int { x.count }

    /// A map of any form, one entry an SSM head in each list.
    ///
    /// - Throws: `InputError` (`.shape`) when the lists differ in length, (`.value`) on a negative
    ///   entry. That the entries lie inside their tensors is checked where the tensors are known,
    ///   in `SSDInputs`.
    public init(x: [Int], b: [Int], c: [Int]) throws(InputError) {
        for (name, list) in [("x", x), ("B", b), ("C", c)] {
            guard list.count == x.count else {
                throw InputError(
                    .shape, in: "head map of \(name)", expected: "\(x.count) entries, as for x", found: "\(list.count)")
            }
            if let negative = list.first(where: { $0 < 0 }) {
                throw InputError(.value, in: "head map of \(name)", expected: "heads >= 0", found: "\(negative)")
            }
        }
        self.x = x
        self.b = b
        self.c = c
    }

    /// The map of grouped heads: SSM head h reads head h / (H / count) of an operand with `count`
    /// heads.
    ///
    /// - Parameters:
    ///   - heads: H.
    ///   - x: heads of x.
    ///   - b: heads (groups) of B.
    ///   - c: heads (groups) of C.
    /// - Throws: `InputError` (`.shape`) when a count does not divide H.
    public static func grouped(heads: Int, x: Int, b: Int, c: Int) throws(InputError) -> HeadMap {
        try HeadMap(
            x: group(heads, by: x, of: "x"), b: group(heads, by: b, of: "B"), c: group(heads, by: c, of: "C"))
    }

    private static func group(_ heads: Int, by count: Int, of name: String) throws(InputError) -> [Int] {
        guard heads > 0, count > 0, heads % count == 0 else {
            throw InputError(
                .shape, in: "heads of \(name)", expected: "a divisor of the \(heads) heads of dt", found: "\(count)",
                remedy: "Heads are read in equal groups: head h of dt reads head h / (H / heads) of \(name).")
        }
        return (0..<heads).map { $0 / (heads / count) }
    }
}
