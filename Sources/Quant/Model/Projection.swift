//  A linear layer, and the products of a job that compute it.

import DualityCore
import DualityKernels

/// A linear layer: one matrix, or several one under the other that have formats of their own.
struct Projection: Sendable {
    struct Block: Sendable {
        /// The first of the layer's outputs that this block gives.
        let firstOutput: Int
        let matrix: PackedMatrix
    }

    let blocks: [Block]
    /// Of its outputs; those of this rank where the layer is cut.
    let bias: [Float]?
    /// Which outputs are this rank's, in a model that several ranks compute; nil for all.
    var cut: RowCut? = nil

    var columns: Int { blocks[0].matrix.columns }
    /// Of this rank.
    var outputSize: Int { cut?.count ?? blocks.reduce(0) { $0 + $1.matrix.rows } }
    /// Panels that this rank multiplies.
    var panels: Int { parts.reduce(0) { $0 + $1.rows.panels.count } }
    /// What this rank reads.
    var byteCount: Int { parts.reduce(4 * (bias?.count ?? 0)) { $0 + $1.rows.byteCount } }

    /// The products that write this layer's outputs from `output` on.
    func products(into output: UnsafeMutablePointer<Float>, stride: Int) -> [Product] {
        parts.map { Product($0.rows, output: output + $0.firstOutput, stride: stride) }
    }

    /// Stretches of rows of the blocks, and which of the rank's outputs each begins with.
    private var parts: [(rows: MatrixRows, firstOutput: Int)] {
        guard let cut else { return blocks.map { (MatrixRows(matrix: $0.matrix), $0.firstOutput) } }
        var (parts, first) = ([(rows: MatrixRows, firstOutput: Int)](), 0)
        for range in cut.rows {
            for block in blocks {
                let begin = block.firstOutput
                let rows = range.clamped(to: begin..<begin + block.matrix.rows)
                guard !rows.isEmpty else { continue }
                let stretch = MatrixRows(matrix: block.matrix, rows: rows.lowerBound - begin..<rows.upperBound - begin)
                parts.append((stretch, first + rows.lowerBound - range.lowerBound))
            }
            first += range.count
        }
        return parts
    }

    /// Adds the bias, if there is one, to outputs `outputs` of `rows` rows.
    func addBias(_ y: UnsafeMutablePointer<Float>, stride: Int, rows: Range<Int>, outputs: Range<Int>) {
        guard let bias else { return }
        for t in rows {
            for i in outputs { y[t * stride + i] += bias[i] }
        }
    }
}

/// Some rows of a matrix.
struct MatrixRows {
    let matrix: PackedMatrix
    let range: Range<Int>

    private static let panel = Int(DK_PANEL_ROWS)

    /// - Parameter rows: nil for all.
    init(matrix: PackedMatrix, rows: Range<Int>? = nil) {
        self.matrix = matrix
        range = rows ?? 0..<matrix.rows
    }

    /// The panels that they lie in.
    var panels: Range<Int> {
        range.lowerBound / Self.panel..<(range.upperBound + Self.panel - 1) / Self.panel
    }

    /// All rows of those panels.
    var whole: MatrixRows {
        MatrixRows(
            matrix: matrix,
            rows: panels.lowerBound * Self.panel..<min(panels.upperBound * Self.panel, matrix.rows))
    }

    var isWhole: Bool { whole.range == range }
    /// Of their panels.
    var byteCount: Int { matrix.byteCount * panels.count / max(matrix.panels, 1) }
}

/// Rows of a matrix and where their product goes: that with row t begins at `output + t * stride`.
struct Product {
    let rows: MatrixRows
    let output: UnsafeMutablePointer<Float>
    let stride: Int

    init(_ rows: MatrixRows, output: UnsafeMutablePointer<Float>, stride: Int) {
        (self.rows, self.output, self.stride) = (rows, output, stride)
    }
}
