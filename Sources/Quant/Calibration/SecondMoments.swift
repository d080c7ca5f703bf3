//  How the inputs of a matrix go together: the sums that calibration gathers.
//
//      H[i, j] = sum over tokens t of x[t, i] x[t, j]                H [K, K], symmetric; the upper half is kept

import DualityKernels

/// The second moments of the inputs of one or several matrices that read the same.
final class SecondMoments: @unchecked Sendable {
    /// K.
    let columns: Int
    /// Tokens seen.
    private(set) var count = 0
    /// `[K, K]`; of row i the numbers from i on.
    let memory: AlignedMemory
    private let transposed = AlignedMemory(byteCount: 64)
    private let kernels: KernelTable
    private let pool: ThreadPool

    /// Rows of a part of a job.
    static let block = 64

    init(columns: Int, kernels: KernelTable, pool: ThreadPool) {
        self.columns = columns
        self.kernels = kernels
        self.pool = pool
        memory = AlignedMemory(byteCount: 4 * columns * columns)
        memory.clear()
    }

    var sums: UnsafeMutablePointer<Float> { memory.base.assumingMemoryBound(to: Float.self) }

    /// Adds tokens, in an order that does not depend on the number of threads.
    ///
    /// - Parameter x: row t begins at `x + t * stride`.
    func add(_ x: UnsafePointer<Float>, stride: Int, rows: Int) {
        transposed.reserve(4 * rows * columns)
        let (columns, sums) = (columns, sums)
        let turned = transposed.base.assumingMemoryBound(to: Float.self)
        dk_transpose(x, Int64(stride), Int64(rows), Int64(columns), turned, Int64(rows))
        pool.run((columns + Self.block - 1) / Self.block) { part, _ in
            let first = part * Self.block
            kernels.f32_gemm(
                Int64(min(Self.block, columns - first)), Int64(columns - first), Int64(rows), turned + first * rows,
                Int64(rows), x + first, Int64(stride), sums + first * columns + first, Int64(columns), true)
        }
        count += rows
    }
}

/// Sees the inputs of matrices while a pass computes.
final class ActivationObserver: @unchecked Sendable {
    private let pool: ThreadPool
    private let kernels: KernelTable
    /// The names of matrices, by the addresses of their weights.
    private var names: [UnsafeRawPointer: String] = [:]
    /// By the name of a matrix; those that read the same share one.
    private(set) var moments: [String: SecondMoments] = [:]

    init(kernels: KernelTable, pool: ThreadPool) {
        self.kernels = kernels
        self.pool = pool
    }

    func name(_ matrix: PackedMatrix, _ name: String) { names[matrix.weights.base] = name }

    /// - Parameters:
    ///   - x: `[R, K]`, row t at `x + t * stride`.
    ///   - matrices: what reads it.
    func see(_ x: UnsafePointer<Float>, stride: Int, rows: Int, matrices: [Projection]) {
        let names = matrices.flatMap { $0.blocks.compactMap { self.names[$0.matrix.weights.base] } }
        guard let first = names.first else { return }
        let sums =
            moments[first] ?? SecondMoments(columns: matrices[0].columns, kernels: kernels, pool: pool)
        for name in names { moments[name] = sums }
        sums.add(x, stride: stride, rows: rows)
    }

    /// The sums of a matrix that is in no layer.
    func moments(named name: String, columns: Int) -> SecondMoments {
        let sums = moments[name] ?? SecondMoments(columns: columns, kernels: kernels, pool: pool)
        moments[name] = sums
        return sums
    }
}
