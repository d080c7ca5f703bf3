//  One pass of the model over R rows: what every layer of it needs to know, and the two steps that
//  layers are made of.
//
//      prepare     makes R rows of activations and packs them in the forms that some matrices read       a job over rows
//      multiply    the products of those matrices                                                        a job over panels
//
//  A row is a token of some sequence; the rows of a sequence lie together, in order. Only
//  attention, convolution and scan care which sequence a row belongs to.

import DualityCore
import DualityKernels

/// The rows of one sequence in a pass.
struct Segment: Sendable {
    /// Which of the caches of the pass.
    let sequence: Int
    let rows: Range<Int>
}

/// The tools of a pass.
struct Pass {
    let kernels: KernelTable
    let pool: ThreadPool
    let workspace: Workspace
    let segments: [Segment]
    /// R.
    let rows: Int
    /// Rotary tables of the rows' positions, `[R, D/2]`.
    let cosines: UnsafePointer<Float>
    let sines: UnsafePointer<Float>
    /// Is shown what matrices read, in a calibration.
    var observer: ActivationObserver? = nil

    /// Below this many rows, work that is proportional to rows is not worth a fork.
    private static let rowsWorthAFork = 4

    /// Runs `body` on ranges of rows that cover all: a tile of rows each, so that what is made in
    /// one step is read from the nearest cache in the next.
    func overRows(_ body: (Range<Int>) -> Void) {
        guard rows >= Self.rowsWorthAFork else { return body(0..<rows) }
        let tiles = (rows + rowsOfOneTile - 1) / rowsOfOneTile
        if tiles == 1 { return pool.run(over: rows, multiple: Self.rowsWorthAFork) { rows, _ in body(rows) } }
        pool.run(over: tiles) { range, _ in
            for tile in range { body(tile * rows / tiles..<(tile + 1) * rows / tiles) }
        }
    }

    /// Rows that the kernels multiply together.
    private var rowsOfOneTile: Int { Int(kernels.tile) }

    /// Packs activations for `matrices`, which all read the same K columns.
    ///
    /// - Parameters:
    ///   - x: row t begins at `x + t * stride`.
    ///   - produce: is called first, to compute the rows of a range into `x`.
    func prepare(
        _ x: UnsafePointer<Float>, stride: Int, for matrices: [Projection], produce: (Range<Int>) -> Void
    ) -> Activations {
        let columns = matrices[0].columns
        var activations = Activations(tokens: rows)
        for matrix in matrices {
            for block in matrix.blocks where activations.packed(block.matrix.activationForm) == nil {
                let form = block.matrix.activationForm
                let bytes = form.byteCount(tokens: rows, columns: columns)
                activations.forms.append((form, workspace.packed(activations.forms.count, byteCount: bytes)))
            }
        }
        let forms = activations.forms
        overRows { range in
            produce(range)
            for (form, packed) in forms {
                form.pack(kernels, x, stride: stride, tokens: rows, columns: columns, rows: range, into: packed)
            }
        }
        observer?.see(x, stride: stride, rows: rows, matrices: matrices)
        return activations
    }

    /// Computes the products of several matrices in one job.
    func multiply(_ activations: Activations, _ products: [Product]) {
        let pieces = pieces(of: products, activations)
        let (kernels, tokens, scratch) = (kernels, activations.tokens, workspace.scratch)
        pieces.withUnsafeBufferPointer { pieces in
            pool.run(pieces.count) { index, thread in
                let piece = pieces[index]
                piece.matrix.multiply(
                    kernels, piece.activations, tokens: tokens, panels: piece.panels, into: piece.output,
                    stride: piece.stride, workspace: scratch[thread])
            }
        }
    }

    /// Some panels of a product. It holds no references, for which threads would wait.
    private struct Piece {
        let matrix: MatrixView
        let activations: UnsafeRawPointer
        let panels: Range<Int>
        let output: UnsafeMutablePointer<Float>
        let stride: Int
    }

    /// The panels of all products in pieces that shrink: each is half of what would be a thread's
    /// share of what is left. Few pieces are large for the memory's sake, and the last ones small,
    /// so that threads that are not equally fast end together.
    private func pieces(of products: [Product], _ activations: Activations) -> [Piece] {
        let smallest = rows > rowsOfOneTile ? Self.smallestPanels : 1
        var left = products.reduce(0) { $0 + $1.matrix.byteCount }
        var pieces: [Piece] = []
        pieces.reserveCapacity(32)
        for product in products {
            guard let packed = activations.packed(product.matrix.activationForm) else { continue }
            let panels = product.matrix.panels
            let panelBytes = max(product.matrix.byteCount / panels, 1)
            var first = 0
            while first < panels {
                let share = max(left / (2 * pool.threadCount), Self.smallestPiece) / panelBytes
                // The kernels take eight panels through a block of activations together.
                let wanted = share >= 8 ? share / 8 * 8 : max(share, smallest)
                let count = pool.threadCount == 1 ? panels : min(wanted, panels - first)
                pieces.append(
                    Piece(
                        matrix: product.matrix.view, activations: packed, panels: first..<first + count,
                        output: product.output, stride: product.stride))
                first += count
                left -= count * panelBytes
            }
        }
        return pieces
    }

    /// With more rows than a tile, products are bound by arithmetic, and a piece has some panels to
    /// share what is loaded.
    private static let smallestPanels = 2
    /// Bytes of weights that are worth a piece: a few microseconds of reading.
    private static let smallestPiece = 1 << 16
}

/// Rows of activations in the forms that the matrices that follow read.
struct Activations {
    let tokens: Int
    var forms: [(form: ActivationForm, packed: UnsafeMutableRawPointer)] = []

    func packed(_ form: ActivationForm) -> UnsafeMutableRawPointer? { forms.first { $0.form == form }?.packed }
}

/// A matrix and where its product goes: row t begins at `output + t * stride`.
struct Product {
    let matrix: PackedMatrix
    let output: UnsafeMutablePointer<Float>
    let stride: Int
}

/// A linear layer: one matrix, or several one under the other that have formats of their own.
struct Projection: Sendable {
    struct Block: Sendable {
        /// The first of the layer's outputs that this block gives.
        let firstOutput: Int
        let matrix: PackedMatrix
    }

    let blocks: [Block]
    /// `[out]`.
    let bias: [Float]?

    var columns: Int { blocks[0].matrix.columns }
    var outputSize: Int { blocks.reduce(0) { $0 + $1.matrix.rows } }
    var byteCount: Int { blocks.reduce(4 * (bias?.count ?? 0)) { $0 + $1.matrix.byteCount } }

    /// The products that write this layer's outputs from `output` on.
    func products(into output: UnsafeMutablePointer<Float>, stride: Int) -> [Product] {
        blocks.map { Product(matrix: $0.matrix, output: output + $0.firstOutput, stride: stride) }
    }

    /// Adds the bias, if there is one, to outputs `outputs` of `rows` rows.
    func addBias(_ y: UnsafeMutablePointer<Float>, stride: Int, rows: Range<Int>, outputs: Range<Int>) {
        guard let bias else { return }
        for t in rows {
            for i in outputs { y[t * stride + i] += bias[i] }
        }
    }
}
