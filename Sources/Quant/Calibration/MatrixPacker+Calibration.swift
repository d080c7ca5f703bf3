//  Packing in four bits with what is known of the inputs.

import DualityCore
import DualityKernels

extension MatrixPacker {
    /// Packs all rows in int4, errors made up for, in parallel.
    ///
    /// - Parameters:
    ///   - feedback: of this matrix's inputs.
    ///   - codes: `weightBytes` bytes.
    ///   - scales: `scaleBytes` bytes.
    func pack(
        group: Int, _ feedback: Feedback, into codes: UnsafeMutableRawPointer, scales: UnsafeMutableRawPointer
    ) throws {
        let codes = codes.assumingMemoryBound(to: UInt8.self)
        let scales = scales.assumingMemoryBound(to: UInt8.self)
        try overRows { part, numbers in
            let panelRows = Int(DK_PANEL_ROWS)
            var panel = CompensatedPanel(columns: columns, group: group, kernels: kernels)
            for first in stride(from: 0, to: part.count, by: panelRows) {
                numbers.withUnsafeBufferPointer { numbers in
                    guard let base = numbers.baseAddress else { return }
                    panel.pack(
                        base + first * columns, rows: min(panelRows, part.count - first),
                        at: part.lowerBound + first, of: rows.count, feedback, codes, scales)
                }
            }
        }
    }
}

/// The scratch memory of a panel that is rounded group by group.
private struct CompensatedPanel {
    let columns, group: Int
    let kernels: KernelTable
    private var errors: [Float]
    private var targets: [Float]

    init(columns: Int, group: Int, kernels: KernelTable) {
        (self.columns, self.group, self.kernels) = (columns, group, kernels)
        errors = [Float](repeating: 0, count: Int(DK_PANEL_ROWS) * columns)
        targets = [Float](repeating: 0, count: Int(DK_PANEL_ROWS) * group)
    }

    /// - Parameters:
    ///   - weights: `[rows, K]`, rows `place` and following of a matrix of `all` rows.
    mutating func pack(
        _ weights: UnsafePointer<Float>, rows: Int, at place: Int, of all: Int, _ feedback: Feedback,
        _ codes: UnsafeMutablePointer<UInt8>, _ scales: UnsafeMutablePointer<UInt8>
    ) {
        let (m, k, g) = (Int64(rows), Int64(columns), Int64(group))
        // The row scales, and panels that are complete.
        kernels.int4_pack(weights, k, Int64(all), k, g, Int64(place), m, feedback.importance, codes, scales)
        let panel = place / Int(DK_PANEL_ROWS)
        let panelCodes = codes + panel * Int(dk_int4_code_bytes(Int64(DK_PANEL_ROWS), k, g))
        let panelScales = scales + panel * Int(dk_int4_scale_bytes(Int64(DK_PANEL_ROWS), k, g))
        errors.withUnsafeMutableBufferPointer { errors in
            targets.withUnsafeMutableBufferPointer { targets in
                feedback.importance.withUnsafeBufferPointer { importance in
                    guard let e = errors.baseAddress, let t = targets.baseAddress, let d = importance.baseAddress
                    else { return }
                    for first in stride(from: 0, to: columns, by: group) {
                        let width = min(group, columns - first)
                        for row in 0..<rows {
                            (t + row * group).update(from: weights + row * columns + first, count: width)
                        }
                        if first > 0 {
                            kernels.f32_gemm(
                                m, Int64(width), Int64(first), e, k, feedback.factor + first, k, t, g, true)
                        }
                        kernels.int4_compensate(
                            weights + first, k, t, m, Int64(width), g, d + first,
                            feedback.factor + first * columns + first, k, e + first, k, Int64(first), panelCodes,
                            panelScales)
                    }
                }
            }
        }
    }
}
