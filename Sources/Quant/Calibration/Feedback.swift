//  What to do about a rounding error in one input of a matrix: let the inputs that follow make up
//  for it.
//
//  The loss of rounding a row w to q, over the tokens seen, is (w - q) H (w - q)ᵀ. With
//
//      H = (U + I) D (U + I)ᵀ          U strictly upper triangular, D diagonal
//
//  it is the sum over k of D_k (t_k - q_k)², where t_k = w_k + sum over j < k of (w_j - q_j) U_jk.
//  So columns are rounded one after another, each to the nearest of t_k, and D_k is what an error
//  of column k counts for once those behind it have done what they can. That is GPTQ (arXiv
//  2210.17323) in the form of LDLQ (arXiv 2307.13304): no inverse, one factorization.
//
//  U and D come from V = (U + I) D^(1/2), the Cholesky factor of H from its last column on:
//
//      V_kk = sqrt(H_kk - sum over l > k of V_kl²),     V_jk = (H_jk - sum over l > k of V_jl V_kl) / V_kk,  j < k
//
//  in blocks of 64 columns, with what a block takes away from those before it as matrix products.
//  H is damped first by a hundredth of its mean diagonal: inputs that were hardly seen would
//  otherwise be trusted to make up for anything.

import DualityCore
import DualityKernels

/// U and D of the second moments of a matrix's inputs.
struct Feedback: @unchecked Sendable {
    let columns: Int
    /// D over its mean, `[K]`.
    let importance: [Float]
    private let memory: AlignedMemory

    private static let damping: Float = 0.01

    /// U, `[K, K]`: of row j the numbers behind j.
    var factor: UnsafePointer<Float> { UnsafePointer(memory.base.assumingMemoryBound(to: Float.self)) }

    /// - Complexity: O(K³ / 3), and another [K, K] of memory.
    init(_ moments: SecondMoments, kernels: KernelTable, pool: ThreadPool) {
        columns = moments.columns
        var damping = Self.damping
        while true {
            let memory = moments.memory.copy()
            let matrix = Factorization(memory, columns, kernels, pool)
            matrix.damp(by: damping)
            if let pivots = matrix.factor() {
                matrix.scale(by: pivots)
                let squares = pivots.map { $0 * $0 }
                let mean = squares.reduce(0) { $0 + Double($1) } / Double(columns)
                importance = squares.map { mean > 0 ? Float(Double($0) / mean) : 1 }
                self.memory = memory
                return
            }
            // Rounding has left a negative pivot. Enough damping makes any sums definite.
            damping *= 10
        }
    }
}

/// The factorization in place, over the upper half of a matrix.
private struct Factorization: @unchecked Sendable {
    private let h: UnsafeMutablePointer<Float>
    private let count: Int
    private let kernels: KernelTable
    private let pool: ThreadPool
    private let block = SecondMoments.block

    init(_ memory: AlignedMemory, _ count: Int, _ kernels: KernelTable, _ pool: ThreadPool) {
        h = memory.base.assumingMemoryBound(to: Float.self)
        (self.count, self.kernels, self.pool) = (count, kernels, pool)
    }

    func damp(by part: Float) {
        var sum = 0.0
        for k in 0..<count where h[k * count + k].isFinite { sum += Double(h[k * count + k]) }
        let addition = max(part * Float(sum / Double(count)), Float.leastNormalMagnitude)
        for k in 0..<count {
            // What is not finite was never a number to learn from.
            for j in k..<count where !h[k * count + j].isFinite { h[k * count + j] = 0 }
            h[k * count + k] += addition
        }
    }

    /// V in place of H; the pivots V_kk, or nil where one is not positive.
    func factor() -> [Float]? {
        var pivots = [Float](repeating: 0, count: count)
        let negative = AlignedMemory(byteCount: 4 * block * count)
        let turned = AlignedMemory(byteCount: 4 * block * count)
        for last in stride(from: count, to: 0, by: -block) {
            let columns = max(last - block, 0)..<last
            guard factorDiagonal(columns, &pivots) else { return nil }
            guard columns.lowerBound > 0 else { break }
            solveAbove(columns, pivots)
            takeAway(columns, negative, turned)
        }
        return pivots
    }

    private func factorDiagonal(_ columns: Range<Int>, _ pivots: inout [Float]) -> Bool {
        for k in columns.reversed() {
            var square = Double(h[k * count + k])
            for l in k + 1..<columns.upperBound { square -= Double(h[k * count + l]) * Double(h[k * count + l]) }
            guard square > 0 else { return false }
            pivots[k] = Float(square.squareRoot())
            h[k * count + k] = pivots[k]
            for j in columns.lowerBound..<k { solve(row: j, column: k, end: columns.upperBound, pivots[k]) }
        }
        return true
    }

    /// V_jk from H_jk and the columns of the block behind k.
    private func solve(row j: Int, column k: Int, end: Int, _ pivot: Float) {
        var sum = Double(h[j * count + k])
        let (mine, other) = (h + j * count, h + k * count)
        for l in k + 1..<max(end, k + 1) { sum -= Double(mine[l]) * Double(other[l]) }
        mine[k] = Float(sum / Double(pivot))
    }

    private func solveAbove(_ columns: Range<Int>, _ pivots: [Float]) {
        pool.run(over: columns.lowerBound, multiple: 16) { rows, _ in
            for j in rows {
                for k in columns.reversed() { solve(row: j, column: k, end: columns.upperBound, pivots[k]) }
            }
        }
    }

    /// H_AA -= V_AB V_ABᵀ for the rows A above the block B.
    private func takeAway(_ columns: Range<Int>, _ negative: AlignedMemory, _ turned: AlignedMemory) {
        let (above, width) = (columns.lowerBound, columns.count)
        let minus = negative.base.assumingMemoryBound(to: Float.self)
        let across = turned.base.assumingMemoryBound(to: Float.self)
        dk_transpose(h + above, Int64(count), Int64(above), Int64(width), across, Int64(above))
        for j in 0..<above {
            for k in 0..<width { minus[j * width + k] = -h[j * count + above + k] }
        }
        pool.run((above + block - 1) / block) { part, _ in
            let first = part * block
            kernels.f32_gemm(
                Int64(min(block, above - first)), Int64(above - first), Int64(width), minus + first * width,
                Int64(width), across + first, Int64(above), h + first * count + first, Int64(count), true)
        }
    }

    /// U from V: each column over its pivot.
    func scale(by pivots: [Float]) {
        pool.run(over: count, multiple: 16) { rows, _ in
            for j in rows {
                for k in j + 1..<max(count, j + 1) { h[j * count + k] /= pivots[k] }
            }
        }
    }
}
