//  Activations of int8 products between ranks, as the bytes that they are rounded to.
//
//      1  m_t = largest |x_t| of each group              over all ranks, where groups are not one rank's each
//      2  q_t = round(127 x_t / m_t)                     of the rank's own columns, for all
//      3  x'_t = m_t q_t / 127,  ± m_t for q = ± 127     numbers that round to the same q and have the same largest
//
//  So the products of x' have the bits of those of x, whatever layout x' is packed in.

import DualityCore
import DualityKernels
import Foundation

extension Pass {
    /// How the inputs of a layer travel as bytes.
    private struct ByteForm {
        /// Columns of a group; 0 for one per row.
        let group: Int
        /// Whether every group lies within one rank's columns.
        let isOfOneRank: Bool
    }

    /// Nil where some matrix reads other numbers than bytes, or float32 is faster.
    private func byteForm(_ projection: Projection, _ shares: [Range<Int>], _ ranks: any PartExchange) -> ByteForm? {
        let forms = Set(projection.blocks.map(\.matrix.activationForm))
        guard forms.count == 1, case .int8(let group) = forms.first else { return nil }
        let isOfOneRank = group > 0 && shares.allSatisfy { $0.isEmpty || $0.lowerBound % group == 0 }
        // Parts of groups would need a largest each, of ranks that are not all: rare, and not done.
        guard isOfOneRank || group == 0 else { return nil }
        // Every rank must decide alike, so each counts what one with an equal share receives.
        let received = rows * (shares.last?.upperBound ?? 0) * (ranks.count - 1) / ranks.count
        guard wire.sendsBytes(saved: 3 * received, added: isOfOneRank ? 0 : 1) else { return nil }
        return ByteForm(group: group, isOfOneRank: isOfOneRank)
    }

    /// The whole input of a layer as `gathered` gives it, or numbers that its matrices round to the
    /// same bytes; nil where bytes are not sent.
    func gatheredBytes(
        _ own: UnsafePointer<Float>, stride: Int, for projection: Projection
    ) -> (x: UnsafeMutablePointer<Float>, stride: Int)? {
        guard let ranks, let shares = projection.cut?.inputShares, let form = byteForm(projection, shares, ranks)
        else { return nil }
        let columns = shares.last?.upperBound ?? 0
        let full = workspace.gathered.pointer(columns * rows)
        if form.isOfOneRank {
            gatherGroups(
                own, stride: stride, shares: shares, group: form.group, ranks: ranks, into: full, columns: columns)
        } else {
            gatherRows(own, stride: stride, shares: shares, ranks: ranks, into: full, columns: columns)
        }
        return (full, columns)
    }

    /// With groups of one rank each: the rank's columns of all rows are a message.
    private func gatherGroups(
        _ own: UnsafePointer<Float>, stride: Int, shares: [Range<Int>], group: Int, ranks: any PartExchange,
        into full: UnsafeMutablePointer<Float>, columns: Int
    ) {
        let messages = shares.map { ByteMessage(rows: rows, columns: $0.count, group: group) }
        let message = messages[ranks.rank]
        let sent = UnsafeMutableRawPointer(workspace.sent.pointer((message.byteCount + 3) / 4))
        if message.columns > 0 { overRows { message.write(own, stride, $0, kernels, into: sent) } }
        let sizes = messages.map(\.byteCount)
        let received = UnsafeMutableRawPointer(workspace.received.pointer((sizes.reduce(0, +) + 3) / 4))
        ranks.gather(sent, sizes: sizes, into: received)
        overRows { range in
            var part = UnsafeRawPointer(received)
            for (message, share) in zip(messages, shares) {
                if !share.isEmpty { message.read(part, range, kernels, into: full + share.lowerBound, columns) }
                part += message.byteCount
            }
        }
    }

    /// With one group a row: ranks agree on its largest first.
    private func gatherRows(
        _ own: UnsafePointer<Float>, stride: Int, shares: [Range<Int>], ranks: any PartExchange,
        into full: UnsafeMutablePointer<Float>, columns: Int
    ) {
        let width = shares[ranks.rank].count
        let largest = workspace.largest.pointer(rows * (ranks.count + 2))
        let (ofAll, result) = (largest + rows, largest + rows * (ranks.count + 1))
        overRows { range in
            for t in range {
                largest[t] = 0
                if width > 0 { kernels.int8_largest(own + t * stride, 0, 1, Int64(width), 0, largest + t, 0) }
            }
        }
        ranks.gather(largest, sizes: Array(repeating: 4 * rows, count: ranks.count), into: ofAll)
        for t in 0..<rows {
            // As integers, so that a NaN is the largest of all.
            let top = (0..<ranks.count).reduce(UInt32(0)) { max($0, ofAll[$1 * rows + t].bitPattern) }
            result[t] = Float(bitPattern: top)
        }
        let bytes = UnsafeMutableRawPointer(workspace.sent.pointer((rows * width + 3) / 4))
            .assumingMemoryBound(to: Int8.self)
        if width > 0 {
            overRows { range in
                for t in range {
                    kernels.int8_bytes(
                        own + t * stride, 0, 1, Int64(width), 0, result + t, 0, bytes + t * width, 0)
                }
            }
        }
        let received = UnsafeMutableRawPointer(workspace.received.pointer((rows * columns + 3) / 4))
        ranks.gather(bytes, sizes: shares.map { rows * $0.count }, into: received)
        let all = received.assumingMemoryBound(to: Int8.self)
        overRows { range in
            for t in range {
                for share in shares where !share.isEmpty {
                    kernels.int8_numbers(
                        all + share.lowerBound * rows + t * share.count, 0, 1, Int64(share.count), 0, result + t, 0,
                        full + t * columns + share.lowerBound, 0)
                }
            }
        }
    }
}

/// Rows as bytes: the largest magnitudes of their groups `[T, G]`, then the bytes `[T, K]`.
struct ByteMessage {
    let rows, columns: Int
    /// 0 for one group a row.
    let group: Int

    private var groups: Int { group > 0 ? (columns + group - 1) / group : 1 }
    var byteCount: Int { rows * (4 * groups + columns) }

    /// Row t of `x` begins at `x + t * stride`.
    func write(
        _ x: UnsafePointer<Float>, _ stride: Int, _ range: Range<Int>, _ kernels: KernelTable,
        into message: UnsafeMutableRawPointer
    ) {
        let largest = message.assumingMemoryBound(to: Float.self) + range.lowerBound * groups
        let bytes = (message + 4 * rows * groups).assumingMemoryBound(to: Int8.self) + range.lowerBound * columns
        let first = x + range.lowerBound * stride
        let (count, width, ld) = (Int64(range.count), Int64(columns), Int64(stride))
        kernels.int8_largest(first, ld, count, width, Int64(group), largest, Int64(groups))
        kernels.int8_bytes(first, ld, count, width, Int64(group), largest, Int64(groups), bytes, width)
    }

    /// The rows of a range, as numbers that round to the same bytes.
    func read(
        _ message: UnsafeRawPointer, _ range: Range<Int>, _ kernels: KernelTable,
        into x: UnsafeMutablePointer<Float>, _ stride: Int
    ) {
        let bytes = (message + 4 * rows * groups).assumingMemoryBound(to: Int8.self) + range.lowerBound * columns
        let count = range.count * groups
        // Messages of odd lengths leave the next one unaligned.
        withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { largest in
            guard let m = largest.baseAddress else { return }
            memcpy(m, message + 4 * range.lowerBound * groups, 4 * count)
            kernels.int8_numbers(
                bytes, Int64(columns), Int64(range.count), Int64(columns), Int64(group), m, Int64(groups),
                x + range.lowerBound * stride, Int64(stride))
        }
    }
}
