//  Several sequences in one row: where each begins and ends.
//
//      seq_idx   [B, L]     the number of the sequence that a token belongs to, never decreasing along a row
//      cu_seqlens  [S + 1]  where the S sequences of a single row begin; the last number is L
//
//  A row is cut wherever the number changes, and every piece is a sequence of its own: it starts
//  from its own initial state and nothing crosses the cut. The official kernels compare numbers
//  instead, so that a number that comes back picks up the state of its first run; here that is
//  refused. They also give the initial state of a row to number 0 and drop it silently when the row
//  begins with another; here it belongs to the first sequence of the row, whatever its number.
//
//  Source: state-spaces/mamba, ops/triton/ssd_state_passing.py and ssd_chunk_state.py,
//  `_chunk_state_varlen_kernel`.

import DualityCore

/// How the tokens of each row of a batch are divided into sequences.
public struct Packing: Sendable, Equatable {
    /// The sequences of each row in order, as ranges of its tokens; together they cover the row.
    public let rows: [[Range<Int>]]

    /// The number of sequences in all rows together, S. They are counted row by row.
    public var count: Int { rows.reduce(0) { $0 + $1.count } }

    /// One sequence a row.
    public static func whole(batch: Int, length: Int) -> Packing {
        Packing(rows: [[Range<Int>]](repeating: [0..<length], count: batch))
    }

    private init(rows: [[Range<Int>]]) { self.rows = rows }

    /// Cuts each row where the id changes.
    ///
    /// - Parameter ids: `[B, L]`, at least zero and never decreasing along a row; they need not be
    ///   consecutive.
    /// - Throws: `InputError` at `seq_idx`: `.shape` when it is not a matrix, `.value` with the
    ///   index of a wrong id.
    public init(sequenceIds ids: Tensor<Int>) throws(InputError) {
        guard ids.shape.count == 2 else {
            throw InputError(.shape, in: "seq_idx", expected: "[B, L]", found: "\(ids.shape)")
        }
        let length = ids.shape[1]
        var rows: [[Range<Int>]] = []
        for row in 0..<ids.shape[0] {
            var starts: [Int] = []
            for t in 0..<length {
                let id = ids.elements[row * length + t]
                let before = t == 0 ? nil : ids.elements[row * length + t - 1]
                guard id >= before ?? 0 else {
                    throw InputError(
                        .value, in: "seq_idx[\(row), \(t)]",
                        expected: before.map { "at least \($0), the id before it" } ?? "at least 0", found: "\(id)",
                        remedy: "Number the sequences of a row upwards from 0.")
                }
                if id != before { starts.append(t) }
            }
            if length == 0 { starts = [0] }  // a row without tokens is one empty sequence
            rows.append(zip(starts, starts.dropFirst() + [length]).map { $0..<$1 })
        }
        self.rows = rows
    }

    /// Cuts a single row at cumulative lengths.
    ///
    /// - Parameter lengths: `[S + 1]`, from 0 to L and never decreasing; a sequence may be empty.
    /// - Throws: `InputError` at `cu_seqlens`.
    public init(cumulativeLengths lengths: [Int]) throws(InputError) {
        guard lengths.count >= 2 else {
            throw InputError(
                .shape, in: "cu_seqlens", expected: "[S + 1] for one or more sequences", found: "[\(lengths.count)]")
        }
        guard lengths[0] == 0 else {
            throw InputError(.value, in: "cu_seqlens[0]", expected: "0", found: "\(lengths[0])")
        }
        for i in lengths.indices.dropFirst() where lengths[i] < lengths[i - 1] {
            throw InputError(
                .value, in: "cu_seqlens[\(i)]", expected: "at least \(lengths[i - 1]), the number before it",
                found: "\(lengths[i])")
        }
        rows = [zip(lengths, lengths.dropFirst()).map { $0..<$1 }]
    }
}
