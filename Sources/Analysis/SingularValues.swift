//  The singular values of a matrix, through LAPACK.
//
//      M = U diag(s) Vᵀ,   s_1 >= s_2 >= … >= 0
//
//  Each is found to within about ε s_1: those below that are zero as far as one can tell, and the
//  rank is how many are not.
//
//  Source: LAPACK Users' Guide, 3rd edition, `xGESDD` and section 4.9.

#if Analysis
    import DualityCore

    /// The singular values of a matrix, largest first.
    ///
    /// - Parameter matrix: `[m, n]`.
    /// - Returns: min(m, n) numbers.
    /// - Throws: `InputError`: `.shape` when it is not a matrix, `.notFinite` when it holds NaN or
    ///   infinity, `.unsupported` when LAPACK does not converge.
    /// - Complexity: O(m n min(m, n)).
    public func singularValues<Scalar: AnalysisNumber>(of matrix: Tensor<Scalar>) throws(InputError) -> [Scalar] {
        guard matrix.shape.count == 2, matrix.shape.allSatisfy({ $0 <= Int(Int32.max) }) else {
            throw InputError(.shape, in: "matrix", expected: "[m, n]", found: "\(matrix.shape)")
        }
        try matrix.requireFinite("matrix")
        // Row by row it is the transpose column by column, with the same singular values.
        let (rows, columns) = (matrix.shape[1], matrix.shape[0])
        let count = min(rows, columns)
        guard count > 0 else { return [] }

        var (elements, values) = (matrix.elements, [Scalar](repeating: .zero, count: count))
        var integers = [Int32](repeating: 0, count: 8 * count)
        var size = [Scalar.zero]
        func run(_ work: inout [Scalar], count: Int32) -> Int32 {
            Scalar._singularValues(
                &elements, rows: Int32(rows), columns: Int32(columns), &values, work: &work, workCount: count,
                integers: &integers)
        }
        var info = run(&size, count: -1)  // asks how much memory it wants
        if info == 0 {
            var work = [Scalar](repeating: .zero, count: max(Int(size[0].double), 1))
            info = run(&work, count: Int32(work.count))
        }
        guard info == 0 else {
            throw InputError(
                .unsupported, in: "singular values of a [\(matrix.shape[0]), \(matrix.shape[1])] matrix",
                expected: "convergence", found: "LAPACK's info = \(info)")
        }
        return values
    }

    /// How many singular values are above `tolerance` times the largest.
    ///
    /// - Parameter tolerance: when nil, max(m, n) times the rounding unit of the format, as is
    ///   usual.
    /// - Throws: as `singularValues(of:)`.
    public func numericalRank<Scalar: AnalysisNumber>(
        of matrix: Tensor<Scalar>, tolerance: Double? = nil
    ) throws(InputError) -> Int {
        let values = try singularValues(of: matrix)
        guard let largest = values.first, largest > 0 else { return 0 }
        let unit = Scalar.self == Float.self ? 0x1p-23 : 0x1p-52
        let limit = (tolerance ?? unit * Double(matrix.shape.max() ?? 1)) * largest.double
        return values.count { $0.double > limit }
    }
#endif
