//  One pass of the model over R rows: what every layer of it needs to know, and the two steps that
//  layers are made of.
//
//      prepare     makes R rows of activations and packs them in the forms that some matrices read       a job over rows
//      multiply    the products of those matrices                                                        a job over panels
//
//  A row is a token of some sequence; the rows of a sequence lie together, in order. Only
//  attention, convolution and scan care which sequence a row belongs to (Pass+Rounds.swift).

import DualityCore
import DualityKernels

/// The rows of one sequence in a pass.
struct Segment: Sendable {
    /// Which of the caches of the pass.
    let sequence: Int
    let rows: Range<Int>
    /// Which of the caches of the pass the sequence's memory behind these rows is copied to; nil
    /// for none.
    var keptAs: Int? = nil
}

/// The tools of a pass.
struct Pass {
    let kernels: KernelTable
    let pool: ThreadPool
    let workspace: Workspace
    /// Those of a sequence in the order of its tokens; one, unless copies of its memory are wanted
    /// from between.
    var segments: [Segment]
    /// R.
    let rows: Int
    /// Rotary tables of the rows' positions, `[R, D/2]`.
    let cosines: UnsafePointer<Float>
    let sines: UnsafePointer<Float>
    /// The ranks that have parts of the same layers; nil where this one has whole ones.
    var ranks: (any PartExchange)? = nil
    /// What is sent to them.
    var wire = RankWire(.float32)
    /// The rows of the residual stream of every rank, where it is divided; nil where every rank has
    /// all.
    var rowShares: [Range<Int>]? = nil
    /// Is shown what matrices read, in a calibration.
    var observer: ActivationObserver? = nil

    /// Below this many rows, work that is proportional to rows is not worth a fork.
    private static let rowsWorthAFork = 4

    /// Runs `body` on ranges of rows that cover all: a tile of rows each, so that what is made in
    /// one step is read from the nearest cache in the next; or fewer, where tiles are fewer than
    /// threads.
    func overRows(_ body: (Range<Int>) -> Void) {
        guard rows >= Self.rowsWorthAFork else { return body(0..<rows) }
        let tiles = (rows + rowsOfOneTile - 1) / rowsOfOneTile
        if tiles == 1 || tiles < pool.threadCount {
            return pool.run(over: rows, multiple: Self.rowsWorthAFork) { rows, _ in body(rows) }
        }
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
    ///   - isRead: whether a matrix is to read them.
    ///   - produce: is called first, to compute the rows of a range into `x`.
    func prepare(
        _ x: UnsafePointer<Float>, stride: Int, for matrices: [Projection],
        where isRead: (PackedMatrix) -> Bool = { _ in true }, produce: (Range<Int>) -> Void
    ) -> Activations {
        let columns = matrices[0].columns
        let panels = matrices.reduce(0) { $0 + $1.panels }
        let parts = ProductDivision.tokenParts(rows: rows, panels: panels, threads: pool.threadCount)
        var activations = Activations(parts: parts)
        for matrix in matrices {
            for block in matrix.blocks
            where isRead(block.matrix) && !activations.holds(block.matrix.activationForm) {
                let form = block.matrix.activationForm
                let places = activations.places(of: form, columns: columns)
                let base = workspace.packed(activations.forms.count, byteCount: places.last ?? 0)
                activations.forms.append((form, places.dropLast().map { base + $0 }))
            }
        }
        let forms = activations.forms
        overRows { range in
            produce(range)
            for (part, tokens) in parts.enumerated() where tokens.overlaps(range) {
                let rows = tokens.clamped(to: range)
                let local = rows.lowerBound - tokens.lowerBound..<rows.upperBound - tokens.lowerBound
                for (form, packed) in forms {
                    form.pack(
                        kernels, x + tokens.lowerBound * stride, stride: stride, tokens: tokens.count,
                        columns: columns, rows: local, into: packed[part])
                }
            }
        }
        observer?.see(x, stride: stride, rows: rows, matrices: matrices)
        return activations
    }

    /// Computes the products of several matrices in one job.
    func multiply(_ activations: Activations, _ products: [Product]) {
        var products = products
        for ready in activations.ready {
            for product in products where product.rows.matrix.weights.base == ready.weights {
                let range = product.rows.range
                copyRows(
                    ready.y + range.lowerBound, stride: ready.stride, into: product.output, stride: product.stride,
                    width: range.count)
            }
            products.removeAll { $0.rows.matrix.weights.base == ready.weights }
        }
        if products.allSatisfy(\.rows.isWhole) { return multiplyPanels(activations, products) }
        // A panel that a cut goes through would write beside its place: such products are computed
        // elsewhere, and copied.
        let width = products.reduce(0) { $0 + ($1.rows.isWhole ? 0 : $1.rows.whole.range.count) }
        var place = workspace.staged.pointer(width * rows)
        var copies: [(from: UnsafeMutablePointer<Float>, to: Product)] = []
        let whole = products.map { product in
            guard !product.rows.isWhole else { return product }
            let staged = Product(product.rows.whole, output: place, stride: width)
            copies.append((place + product.rows.range.lowerBound - staged.rows.range.lowerBound, product))
            place += staged.rows.range.count
            return staged
        }
        multiplyPanels(activations, whole)
        for (source, product) in copies {
            copyRows(
                source, stride: width, into: product.output, stride: product.stride, width: product.rows.range.count)
        }
    }

    private func multiplyPanels(_ activations: Activations, _ products: [Product]) {
        let pieces = pieces(of: products, activations)
        let (kernels, scratch) = (kernels, workspace.scratch)
        pieces.withUnsafeBufferPointer { pieces in
            pool.run(pieces.count) { index, thread in
                let piece = pieces[index]
                piece.matrix.multiply(
                    kernels, piece.activations, tokens: piece.tokens, panels: piece.panels, into: piece.output,
                    stride: piece.stride, workspace: scratch[thread])
            }
        }
    }

    /// Some panels of a product for some tokens. It holds no references, for which threads would
    /// wait.
    private struct Piece {
        let matrix: MatrixView
        let activations: UnsafeRawPointer
        let tokens: Int
        let panels: Range<Int>
        let output: UnsafeMutablePointer<Float>
        let stride: Int
    }

    private func pieces(of products: [Product], _ activations: Activations) -> [Piece] {
        let division = ProductDivision(
            products.map { .init(panels: $0.rows.panels.count, byteCount: $0.rows.byteCount) },
            tokenParts: activations.parts.count, isPrompt: rows > rowsOfOneTile, threads: pool.threadCount)
        return division.pieces.compactMap { piece in
            let (product, tokens) = (products[piece.product], activations.parts[piece.tokenPart])
            let (matrix, first) = (product.rows.matrix, product.rows.panels.lowerBound)
            guard let packed = activations.packed(matrix.activationForm) else { return nil }
            return Piece(
                matrix: matrix.view, activations: packed[piece.tokenPart], tokens: tokens.count,
                panels: first + piece.panels.lowerBound..<first + piece.panels.upperBound,
                output: product.output + tokens.lowerBound * product.stride - product.rows.range.lowerBound,
                stride: product.stride)
        }
    }
}

/// Rows of activations in the forms that the matrices that follow read.
struct Activations {
    /// The rows, in the parts that are packed and multiplied by themselves; one, unless there are
    /// more threads than panels.
    let parts: [Range<Int>]
    /// A place for every part.
    var forms: [(form: ActivationForm, packed: [UnsafeMutableRawPointer])] = []
    /// Products that other ranks have computed too.
    var ready: [Ready] = []

    /// The outputs of a whole matrix, `[R, M]`, row t at `y + t * stride`.
    struct Ready {
        let weights: UnsafeRawPointer
        let y: UnsafeMutablePointer<Float>
        let stride: Int
    }

    func packed(_ form: ActivationForm) -> [UnsafeMutableRawPointer]? { forms.first { $0.form == form }?.packed }

    func holds(_ form: ActivationForm) -> Bool { packed(form) != nil }

    /// Where the parts begin in memory of their own, in bytes, and where the last one ends.
    func places(of form: ActivationForm, columns: Int) -> [Int] {
        parts.reduce(into: [0]) { places, part in
            let bytes = form.byteCount(tokens: part.count, columns: columns)
            places.append((places.last ?? 0) + (bytes + 63) / 64 * 64)
        }
    }
}
