//  What storing a matrix in one of the engine's formats does to it: packed as for a model, and read
//  back row by row.

import DualityCore
import DualityKernels

extension Tensor<Float> {
    /// The matrix `[M, K]` as the fast engine's products see it when it is stored in `format`.
    ///
    /// In int8, every row (or group of K inputs in a row) has the scale s = max |w| / 127, and w
    /// comes back as s round(w / s).
    ///
    /// - Throws: `InputError`: `.shape` unless this is a matrix with rows and columns, `.value` for
    ///   a group that the kernels do not have, `.notFinite` for a weight that is no number. Twelve
    ///   bits are given to every matrix here, whether it pays or not.
    /// - Complexity: O(M K), and the memory of the packed matrix.
    public func stored(as format: WeightFormat) throws(InputError) -> Tensor<Float> {
        guard shape.count == 2, shape[0] > 0, shape[1] > 0 else {
            throw InputError(.shape, in: "matrix to store", expected: "[M, K], neither of them 0", found: "\(shape)")
        }
        if case .int8(let group) = format, !WeightFormat.isGroup(group) {
            throw InputError(.value, in: "int8 group", expected: "0 or a multiple of 32", found: "\(group)")
        }
        if format == .compactBFloat16, shape[1] > Int(DK_COMPACT_COLUMNS) {
            throw InputError(
                .value, in: "matrix to store", expected: "at most \(DK_COMPACT_COLUMNS) columns for \(format.name)",
                found: "\(shape[1])")
        }
        if case .int4(let group) = format, !WeightFormat.isInt4Group(group) {
            throw InputError(.value, in: "int4 group", expected: "32, 64 or 128", found: "\(group)")
        }
        try requireFinite("matrix to store")
        let (rows, columns, kernels) = (shape[0], shape[1], try KernelTable.active())
        let weightBytes = PackedMatrix.weightBytes(format, rows: rows, columns: columns)
        let scaleBytes = PackedMatrix.scaleBytes(format, rows: rows, columns: columns)
        let (weights, scales) = (AlignedMemory(byteCount: weightBytes), AlignedMemory(byteCount: scaleBytes))
        let (m, k) = (Int64(rows), Int64(columns))
        var tables: CompactTables?
        switch format {
        case .float32:
            kernels.f32_pack(elements, k, m, k, 0, m, weights.base.assumingMemoryBound(to: Float.self))
        case .bfloat16:
            let numbers = elements.map { BFloat16($0).bitPattern }
            kernels.bf16_pack(numbers, k, m, k, 0, m, weights.base.assumingMemoryBound(to: UInt16.self))
        case .compactBFloat16:
            let numbers = elements.map { BFloat16($0).bitPattern }
            let survey = CompactSurvey(rows: rows, columns: columns) { exponents, exceptions in
                dk_compact_survey(numbers, k, k, m, exponents, exceptions)
            }
            let exceptions = survey.exceptionMemory()
            survey.pack(numbers, first: 0, count: rows, into: weights.base, exceptions: exceptions)
            tables = survey.tables(exceptions)
        case .int8(let group):
            kernels.int8_pack(
                elements, k, m, k, Int64(group), 0, m, weights.base.assumingMemoryBound(to: UInt8.self),
                scales.base.assumingMemoryBound(to: Float.self))
        case .int4(let group):
            kernels.int4_pack(
                elements, k, m, k, Int64(group), 0, m, nil, weights.base.assumingMemoryBound(to: UInt8.self),
                scales.base.assumingMemoryBound(to: UInt8.self))
        }
        let packed = PackedMatrix(
            rows: rows, columns: columns, format: format, weights: WeightBytes(weights, byteCount: weightBytes),
            scales: scaleBytes > 0 ? WeightBytes(scales, byteCount: scaleBytes) : nil, compact: tables)
        var result = Tensor(repeating: 0, shape: shape)
        result.elements.withUnsafeMutableBufferPointer { out in
            guard let base = out.baseAddress else { return }
            for row in 0..<rows { packed.row(row, kernels, into: base + row * columns) }
        }
        return result
    }
}
