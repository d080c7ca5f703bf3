//  Where a fast model gets its weights from: a checkpoint, packed on the way, or a file that holds
//  them packed.

import DualityCore
import DualityKernels

/// A source of packed matrices and float32 vectors, by the names of the weight contract.
protocol WeightStore: Sendable {
    /// What to call the source in messages.
    var place: String { get }

    /// Rows `rows` of a matrix (all when nil), packed.
    ///
    /// - Parameters:
    ///   - label: tells blocks of one matrix apart, `zxBC`; empty for a whole one.
    func matrix(_ name: String, rows: Range<Int>?, label: String, format: WeightFormat) throws -> PackedMatrix

    /// A tensor as float32, row-major.
    func vector(_ name: String) throws -> [Float]
}

/// Packs the matrices of a checkpoint.
struct CheckpointWeights: WeightStore {
    let source: any TensorSource
    let pool: ThreadPool
    let kernels: KernelTable

    init(_ source: any TensorSource, pool: ThreadPool) throws(InputError) {
        self.source = source
        self.pool = pool
        kernels = try KernelTable.active()
    }

    var place: String { source.place }

    func vector(_ name: String) throws -> [Float] { try source.tensor(name, as: Float.self).elements }

    func matrix(_ name: String, rows: Range<Int>?, label: String, format: WeightFormat) throws -> PackedMatrix {
        var packer = try MatrixPacker(self, name: name, rows: rows, format: format)
        if let survey = try packer.survey() {
            let (weights, exceptions) = (AlignedMemory(byteCount: packer.weightBytes), survey.exceptionMemory())
            try packer.pack(survey, into: weights.base, exceptions: exceptions)
            return PackedMatrix(
                rows: packer.rows.count, columns: packer.columns, format: packer.format,
                weights: WeightBytes(weights, byteCount: packer.weightBytes), scales: nil,
                compact: survey.tables(exceptions))
        }
        let weights = AlignedMemory(byteCount: packer.weightBytes)
        let scales = packer.scaleBytes > 0 ? AlignedMemory(byteCount: packer.scaleBytes) : nil
        try packer.pack(into: weights.base, scales: scales?.base)
        return PackedMatrix(
            rows: packer.rows.count, columns: packer.columns, format: packer.format,
            weights: WeightBytes(weights, byteCount: packer.weightBytes),
            scales: scales.map { WeightBytes($0, byteCount: packer.scaleBytes) })
    }
}

/// Packs one matrix, or some rows of it, from a checkpoint.
struct MatrixPacker {
    let name: String
    let rows: Range<Int>
    let columns: Int
    /// What it is packed in; a compact form that does not pay becomes the plain one in `survey`.
    private(set) var format: WeightFormat
    private let weights: CheckpointWeights
    private let info: TensorInfo

    var kernels: KernelTable { weights.kernels }

    /// - Throws: `InputError` when there is no such matrix.
    init(_ weights: CheckpointWeights, name: String, rows: Range<Int>?, format: WeightFormat) throws(InputError) {
        info = try weights.source.info(name)
        guard info.shape.count == 2, info.shape[0] > 0, info.shape[1] > 0 else {
            throw InputError(
                .shape, in: "\(weights.source.place): \(name)", expected: "a matrix", found: "\(info.shape)")
        }
        self.name = name
        self.weights = weights
        self.rows = rows ?? 0..<info.shape[0]
        self.format = format
        columns = info.shape[1]
    }

    var weightBytes: Int { PackedMatrix.weightBytes(format, rows: rows.count, columns: columns) }
    var scaleBytes: Int { PackedMatrix.scaleBytes(format, rows: rows.count, columns: columns) }

    /// Counts what a compact form takes, in parallel. Nil if another format is wanted, or if it
    /// does not pay: `format` is plain then.
    mutating func survey() throws -> CompactSurvey? {
        guard format == .compactBFloat16 else { return nil }
        let width = Int64(columns)
        let survey = try CompactSurvey(rows: rows.count, columns: columns) { exponents, exceptions in
            try overBlocks { part, stored in
                let panel = part.lowerBound / Int(DK_PANEL_ROWS)
                dk_compact_survey(
                    brainFloats(stored), width, width, Int64(part.count), exponents + panel * 16, exceptions + panel)
            }
        }
        guard survey.pays else {
            format = .bfloat16
            return nil
        }
        return survey
    }

    /// Packs all rows in the compact form, in parallel.
    func pack(_ survey: CompactSurvey, into units: UnsafeMutableRawPointer, exceptions: AlignedMemory) throws {
        try overBlocks { part, stored in
            survey.pack(
                brainFloats(stored), first: part.lowerBound, count: part.count, into: units, exceptions: exceptions)
        }
    }

    /// Calls `body` for blocks of rows, on all threads, with their bytes in the checkpoint.
    private func overBlocks(_ body: (Range<Int>, UnsafeRawBufferPointer) -> Void) throws {
        let panelRows = Int(DK_PANEL_ROWS)
        // Blocks of about a megabyte of float32, so that what is decoded is still in the cache when
        // it is packed.
        let block = max((1 << 18) / columns / panelRows, 1) * panelRows
        let rowBytes = columns * (info.dtype.bits / 8)
        let (first, count) = (rows.lowerBound, rows.count)
        try weights.source.withBytes(of: name) { bytes in
            weights.pool.run((count + block - 1) / block) { index, _ in
                let part = index * block..<min((index + 1) * block, count)
                body(
                    part,
                    UnsafeRawBufferPointer(
                        rebasing: bytes[(first + part.lowerBound) * rowBytes..<(first + part.upperBound) * rowBytes]))
            }
        }
    }

    /// Calls `body` for blocks of rows, on all threads, with their numbers, `[rows, K]`.
    func overRows(_ body: (Range<Int>, [Float]) -> Void) throws {
        try overBlocks { part, stored in body(part, decodeReals(stored, of: info.dtype, as: Float.self)) }
    }

    /// Packs all rows in a format that is not compact, in parallel.
    ///
    /// - Parameters:
    ///   - target: `weightBytes` bytes.
    ///   - scales: `scaleBytes` bytes; nil where there are none.
    func pack(into target: UnsafeMutableRawPointer, scales: UnsafeMutableRawPointer?) throws {
        let (kernels, rows, width) = (weights.kernels, Int64(rows.count), Int64(columns))
        try overBlocks { part, stored in
            let (start, length) = (Int64(part.lowerBound), Int64(part.count))
            switch format {
            case .compactBFloat16: preconditionFailure("a compact form is packed with its survey")
            case .bfloat16:
                let numbers = brainFloats(stored)
                kernels.bf16_pack(
                    numbers, width, rows, width, start, length, target.assumingMemoryBound(to: UInt16.self))
            case .float32:
                let numbers = decodeReals(stored, of: info.dtype, as: Float.self)
                kernels.f32_pack(
                    numbers, width, rows, width, start, length, target.assumingMemoryBound(to: Float.self))
            case .int8(let group):
                guard let scales else { return }
                let numbers = decodeReals(stored, of: info.dtype, as: Float.self)
                kernels.int8_pack(
                    numbers, width, rows, width, Int64(group), start, length,
                    target.assumingMemoryBound(to: UInt8.self), scales.assumingMemoryBound(to: Float.self))
            case .int4(let group):
                guard let scales else { return }
                let numbers = decodeReals(stored, of: info.dtype, as: Float.self)
                kernels.int4_pack(
                    numbers, width, rows, width, Int64(group), start, length, nil,
                    target.assumingMemoryBound(to: UInt8.self), scales.assumingMemoryBound(to: UInt8.self))
            }
        }
    }

    /// The relative L2 error of a packed matrix on `count` of its rows, evenly spread.
    func error(of matrix: PackedMatrix, rows count: Int) throws -> Double {
        let elementBytes = info.dtype.bits / 8
        var (difference, norm) = (0.0, 0.0)
        var packed = [Float](repeating: 0, count: columns)
        try weights.source.withBytes(of: name) { bytes in
            for row in stride(from: 0, to: rows.count, by: max(rows.count / count, 1)) {
                let first = (rows.lowerBound + row) * columns * elementBytes
                let exact = decodeReals(
                    UnsafeRawBufferPointer(rebasing: bytes[first..<first + columns * elementBytes]), of: info.dtype,
                    as: Float.self)
                packed.withUnsafeMutableBufferPointer { out in
                    if let base = out.baseAddress { matrix.row(row, weights.kernels, into: base) }
                }
                for (a, b) in zip(packed, exact) {
                    difference += Double(a - b) * Double(a - b)
                    norm += Double(b) * Double(b)
                }
            }
        }
        return norm > 0 ? (difference / norm).squareRoot() : difference.squareRoot()
    }

    /// Stored numbers as bfloat16: as they are, or rounded to nearest even.
    private func brainFloats(_ stored: UnsafeRawBufferPointer) -> [UInt16] {
        let count = stored.count / (info.dtype.bits / 8)
        if info.dtype == .bf16 {
            return [UInt16](unsafeUninitializedCapacity: count) { buffer, initialized in
                UnsafeMutableRawBufferPointer(buffer).copyMemory(from: stored)
                initialized = count
            }
        }
        let numbers = decodeReals(stored, of: info.dtype, as: Float.self)
        return [UInt16](unsafeUninitializedCapacity: count) { buffer, initialized in
            if let base = buffer.baseAddress { weights.kernels.f32_to_bf16(numbers, base, Int64(count)) }
            initialized = count
        }
    }
}
