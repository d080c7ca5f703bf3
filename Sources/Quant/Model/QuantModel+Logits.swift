//  The logits of some rows of a pass: into tensors, or given out where they were computed.
//
//  Sampling and scoring look at each row once, and a vocabulary of 152 thousand makes 600 KB of it:
//  rows that are given out are looked at by several threads, and nothing is copied or kept.

import DualityCore
import DualityKernels

extension QuantModel {
    /// Reads `tokens[i]` after what `caches[i]` holds, for every sequence i of a batch, and gives
    /// out the logits of some rows.
    ///
    /// - Parameters:
    ///   - wanted: for each sequence, of how many of its last rows logits are wanted.
    ///   - kept: for each sequence, behind how many of `tokens[i]` a copy of its cache is wanted,
    ///     in order and fewer than there are; empty for none, as it must be unless
    ///     `keepsBetweenRows`.
    ///   - body: is called once for each of these rows, on the threads of the pool, several at a
    ///     time: with the sequence, the row (an index of its tokens) and the logits `[V]` of what
    ///     comes after it, which it may overwrite.
    /// - Returns: for each sequence the copies, with the bits of a cache that has read as many
    ///   tokens and no more.
    /// - Throws: as `extend`; `InputError` (`.value`) for copies from elsewhere.
    @discardableResult
    package func extend(
        _ caches: inout [QuantCache], by tokens: [[Int]], wanting wanted: [Int], keeping kept: [[Int]] = [],
        each body: (_ sequence: Int, _ row: Int, _ logits: UnsafeMutableBufferPointer<Float>) -> Void
    ) throws -> [[QuantCache]] {
        let width = configuration.vocabularySize
        return try extend(
            &caches, by: tokens, wanting: wanted, keeping: kept, rowsTogether: Self.logitRowLimit
        ) { stream, rows, pass in
            for first in stride(from: 0, to: rows.count, by: Self.logitRowLimit) {
                let some = Array(rows[first..<min(first + Self.logitRowLimit, rows.count)])
                let out = pass.workspace.logits.pointer(some.count * width)
                multiplyHead(stream, some, pass, into: out)
                pool.run(some.count) { i, _ in
                    let (sequence, row) = (some[i].sequence, tokens[some[i].sequence].count - wanted[some[i].sequence])
                    body(
                        sequence, row + some[i].result,
                        UnsafeMutableBufferPointer(start: out + i * width, count: width))
                }
            }
        }
    }

    /// Rows of logits that are there at a time where they are given out.
    private static let logitRowLimit = 64

    /// The last norm and the head, for the rows that are wanted.
    func multiplyHead(
        _ stream: ResidualStream, _ wanted: [WantedRow], _ pass: Pass, into out: UnsafeMutablePointer<Float>
    ) {
        if let stage, !stage.isLast { return takeLogits(wanted.count, pass, into: out) }
        let count = wanted.count
        let normalized = pass.workspace.normalized.pointer(pass.rows * configuration.hiddenSize)
        stream.normalized(norm, rows: wanted.map(\.row), in: pass, into: normalized)
        let some = Pass(
            kernels: pass.kernels, pool: pass.pool, workspace: pass.workspace, segments: [], rows: count,
            cosines: pass.cosines, sines: pass.sines)
        let u = some.prepare(normalized, stride: configuration.hiddenSize, for: [head]) { _ in }
        let hash = hash(normalized, wanted.count)
        if handsLogitsOn { return handLogitsOn(u, some, hash: hash) }
        multiplyHead(u, some, into: out, hash: hash)
    }

    /// The logits of the wanted rows into the results of their sequences.
    func score(_ stream: ResidualStream, _ wanted: [WantedRow], _ pass: Pass, _ logits: inout [[Float]]) {
        let width = configuration.vocabularySize
        if pass.segments.count == 1 {
            // Straight into the result, which may be large.
            let (sequence, first) = (wanted[0].sequence, wanted[0].result)
            logits[sequence].withUnsafeMutableBufferPointer { target in
                guard let base = target.baseAddress else { return }
                multiplyHead(stream, wanted, pass, into: base + first * width)
            }
            return
        }
        let out = pass.workspace.logits.pointer(wanted.count * width)
        multiplyHead(stream, wanted, pass, into: out)
        for (i, place) in wanted.enumerated() {
            logits[place.sequence].withUnsafeMutableBufferPointer { target in
                target.baseAddress?.advanced(by: place.result * width).update(from: out + i * width, count: width)
            }
        }
    }
}
