//  A checkpoint to a packed model, tensor by tensor.
//
//      DIR/model.packed.safetensors        the weights, as the kernels read them
//      DIR/quantization.json               what was done to every matrix and how far it is from the original
//      DIR/…                               config.json, the tokenizer and whatever else lies beside the weights, copied
//
//  The header comes first, so that a compact form is counted before anything is written: one more
//  pass over the checkpoint. No more than one packed tensor is in memory. The weight file takes its
//  name when it is whole; a run that was interrupted goes on behind the last whole tensor when it
//  is started again with the same source and formats.

import DualityCore
import DualityKernels
import Foundation

/// Writes packed models.
public struct Quantizer {
    /// The model's configuration, from which its matrices and vectors follow.
    public let configuration: HybridConfiguration
    /// The formats that are written, part by part.
    public let plan: PrecisionPlan
    private let weights: CheckpointWeights
    private let inventory: PackedInventory
    private let fingerprint: String
    private let calibration: CalibrationText?

    /// What a run did.
    public struct Outcome: Sendable {
        /// Bytes of the weight file.
        public let byteCount: Int
        /// Bits of the matrices, scales and tables among them, a weight.
        public let bitsPerWeight: Double
        /// Tensors that an interrupted run had written already.
        public let resumedTensors: Int
        /// Wall-clock time of `write`, without the checks of `init`.
        public let seconds: Double
        /// For each matrix its name in the file, format, and the relative L2 error of the rows that
        /// were looked at.
        public let matrices: [(name: String, format: String, byteCount: Int, error: Double)]
    }

    /// - Parameters:
    ///   - fingerprint: anything that changes when the source does, such as names, sizes and dates
    ///     of its files.
    ///   - calibration: a text to learn from what matrices in int4 read; nil for none.
    /// - Throws: `InputError`: all that the weight contract finds wrong, a weight that is not
    ///   finite, a layer without a fast form.
    public init(
        _ source: any TensorSource, configuration: HybridConfiguration, plan: PrecisionPlan, fingerprint: String,
        calibration: CalibrationText? = nil, allowsNonFinite: Bool = false, pool: ThreadPool = .common
    ) throws {
        self.configuration = configuration
        self.plan = plan
        self.fingerprint = calibration.map { "\(fingerprint), calibrated on \($0.fingerprint)" } ?? fingerprint
        self.calibration = calibration
        inventory = try PackedInventory(configuration, plan)
        let contract = try WeightContract(configuration)
        let source = contract.adapted(source)
        try contract.check(source, finite: !allowsNonFinite)
        weights = try CheckpointWeights(source, pool: pool)
    }

    /// The bytes that the weight file will have, up to its header and to the weights that compact
    /// matrices list by themselves.
    public var byteCount: Int { inventory.byteCount }

    /// Writes the weight file.
    ///
    /// - Parameter progress: is told the bytes written, the bytes in all, and the tensor that comes
    ///   next (nil at the end).
    public func write(toDirectory directory: String, progress: @escaping (Int, Int, String?) -> Void) throws -> Outcome
    {
        let start = ContinuousClock.now
        var file = PackedFileWriter(metadata: [
            "format": "duality-packed-1", "layout": PackedCheckpoint.layout, "formats": plan.text,
            "source": fingerprint,
        ])
        var surveys: [String: CompactSurvey] = [:]
        let inventory = try inventory.counting { matrix in
            progress(0, byteCount, "counting the exponents of \(matrix.storedName)")
            var packer = try MatrixPacker(weights, name: matrix.name, rows: matrix.rows, format: matrix.format)
            surveys[matrix.storedName] = try packer.survey()
            return surveys[matrix.storedName]?.exceptionCount
        }
        let packed = PackedTensor(weights: weights, surveys: surveys)
        packed.calibration = try calibration.map { text in
            try Calibration(
                text, configuration: configuration, plan: plan, inventory: inventory, weights: weights,
                path: (directory as NSString).appendingPathComponent("calibration.part"), fingerprint: fingerprint
            ) { progress(0, byteCount, $0) }
        }
        // Large and aligned tensors first; see PackedFileWriter.
        for matrix in packed.calibration?.order ?? inventory.matrices {
            file.add(matrix.storedName, dtype: matrix.storedDType, shape: matrix.storedShape) { write in
                try packed.load(matrix)
                try write(UnsafeRawBufferPointer(start: packed.weights.base, count: matrix.weightBytes))
            }
            for table in matrix.tables {
                file.add("\(matrix.storedName).\(table.name)", dtype: .u32, shape: table.shape) { write in
                    try packed.load(matrix)
                    try write(packed.table(table.name))
                }
            }
            guard matrix.scaleBytes > 0 else { continue }
            file.add("\(matrix.storedName).scales", dtype: matrix.scaleDType, shape: matrix.scaleShape) { write in
                try packed.load(matrix)
                try write(UnsafeRawBufferPointer(start: packed.scales.base, count: matrix.scaleBytes))
            }
        }
        for vector in inventory.vectors {
            file.add(vector.name, dtype: .f32, shape: vector.shape) { write in
                try weights.vector(vector.name).withUnsafeBytes { try write($0) }
            }
        }
        let path = (directory as NSString).appendingPathComponent(PackedCheckpoint.fileName)
        let resumed = try file.write(to: path, progress: progress)
        packed.calibration?.finish()
        return Outcome(
            byteCount: file.byteCount, bitsPerWeight: inventory.bitsPerWeight, resumedTensors: resumed,
            seconds: (ContinuousClock.now - start).seconds,
            matrices: inventory.matrices.map {
                ($0.storedName, $0.format.name, $0.byteCount, packed.errors[$0.storedName] ?? .nan)
            })
    }
}

/// The one packed tensor that is in memory.
private final class PackedTensor {
    let weights = AlignedMemory(byteCount: 64)
    let scales = AlignedMemory(byteCount: 64)
    /// Relative L2 error of the rows looked at, by stored name.
    private(set) var errors: [String: Double] = [:]
    private var loaded: String?
    private let source: CheckpointWeights
    /// Of compact matrices, by stored name.
    private let surveys: [String: CompactSurvey]
    private var compact: CompactTables?
    var calibration: Calibration?

    init(weights source: CheckpointWeights, surveys: [String: CompactSurvey]) {
        self.source = source
        self.surveys = surveys
    }

    /// A table of the compact matrix that was loaded.
    func table(_ name: String) throws(InputError) -> UnsafeRawBufferPointer {
        let tables = [
            "exponents": compact?.exponents, "exceptionStarts": compact?.starts, "exceptions": compact?.exceptions,
        ]
        guard let bytes = tables[name] ?? nil else {
            throw InputError(.missing, in: name, expected: "a table of a compact matrix", found: "none")
        }
        return UnsafeRawBufferPointer(start: bytes.base, count: bytes.byteCount)
    }

    func load(_ matrix: PackedInventory.Matrix) throws {
        guard loaded != matrix.storedName else { return }
        loaded = nil
        weights.reserve(matrix.weightBytes)
        scales.reserve(matrix.scaleBytes)
        let packer = try MatrixPacker(source, name: matrix.name, rows: matrix.rows, format: matrix.format)
        if let rounded = try calibration?.matrix(matrix) {
            weights.base.copyMemory(from: rounded.weights.base, byteCount: matrix.weightBytes)
            scales.base.copyMemory(from: rounded.scales.base, byteCount: matrix.scaleBytes)
            compact = nil
        } else if let survey = surveys[matrix.storedName] {
            let exceptions = survey.exceptionMemory()
            try packer.pack(survey, into: weights.base, exceptions: exceptions)
            compact = survey.tables(exceptions)
        } else {
            compact = nil
            try packer.pack(into: weights.base, scales: matrix.scaleBytes > 0 ? scales.base : nil)
        }
        loaded = matrix.storedName
        errors[matrix.storedName] = try packer.error(
            of: PackedMatrix(
                rows: matrix.rows.count, columns: matrix.columns, format: matrix.format,
                weights: WeightBytes(weights, byteCount: matrix.weightBytes),
                scales: WeightBytes(scales, byteCount: matrix.scaleBytes), compact: compact), rows: 32)
    }
}
