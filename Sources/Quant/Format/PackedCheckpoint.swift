//  A model that was quantized before: `model.packed.safetensors` beside the usual config.json and
//  tokenizer.
//
//  Its tensors lie in the file as the kernels read them, so that loading is mapping. The file says
//  which layout it has; one of another layout is refused, since its bytes would be read as other
//  weights.

import DualityCore
import DualityKernels
import Foundation

/// A packed model on the disk.
public struct PackedCheckpoint: Sendable {
    /// The path it was opened by, as given.
    public let directory: String
    /// What config.json says, with the changes that were asked for.
    public let configuration: HybridConfiguration
    /// The formats of the file. `brainActivations` is for whoever loads it to choose.
    public var plan: PrecisionPlan
    let file: SafetensorsFile
    let inventory: PackedInventory
    /// By their names in the file.
    private let matrices: [String: PackedInventory.Matrix]

    /// The name of the weight file.
    public static let fileName = "model.packed.safetensors"
    /// The layouts of DualityKernels.h that this version reads and writes.
    static let layout = "panels of 32 rows; int8 +128 by 4 columns; bfloat16 by 2; float32 by 1; version 1"

    /// Whether a directory holds a packed model.
    public static func isPacked(_ directory: String) -> Bool {
        FileManager.default.fileExists(atPath: (directory as NSString).appendingPathComponent(fileName))
    }

    /// Opens a packed model. No weight is read.
    ///
    /// - Throws: `InputError` for a file that is damaged, of another layout, or not that of the
    ///   configuration.
    public init(directory: String, reading: ModelReading = ModelReading()) throws {
        self.directory = directory
        configuration = try reading.applied(to: HybridConfiguration(directory: directory))
        let path = (directory as NSString).appendingPathComponent(Self.fileName)
        file = try SafetensorsFile(path: path)
        guard let layout = file.metadata["layout"], let formats = file.metadata["formats"] else {
            throw InputError(
                .malformed, in: path, expected: "a packed model, with its layout and formats in the metadata",
                found: "no \(file.metadata["layout"] == nil ? "layout" : "formats")",
                remedy: "Quantize the original checkpoint again.")
        }
        guard layout == Self.layout else {
            throw InputError(
                .unsupported, in: "\(path): layout", expected: "\"\(Self.layout)\"", found: "\"\(layout)\"",
                remedy: "It was packed by another version; quantize the original checkpoint again.")
        }
        plan = try PrecisionPlan(text: formats, place: "\(path): formats")
        inventory = try PackedInventory(configuration, plan).stored(in: file)
        matrices = Dictionary(inventory.matrices.map { ($0.storedName, $0) }, uniquingKeysWith: { first, _ in first })
        for matrix in inventory.matrices {
            try check(matrix.storedName, matrix.storedDType, matrix.storedShape)
            if matrix.scaleBytes > 0 {
                try check("\(matrix.storedName).scales", matrix.scaleDType, matrix.scaleShape)
            }
            for table in matrix.tables { try check("\(matrix.storedName).\(table.name)", .u32, table.shape) }
        }
        for vector in inventory.vectors { try check(vector.name, .f32, vector.shape) }
    }

    private func check(_ name: String, _ dtype: DType, _ shape: [Int]) throws(InputError) {
        let info = try file.info(name)
        guard info.dtype == dtype, info.shape == shape else {
            throw InputError(
                .shape, in: "\(file.place): \(name)", expected: "\(dtype.rawValue) \(shape)",
                found: "\(info.dtype.rawValue) \(info.shape)", remedy: "Is the config.json that of these weights?")
        }
    }
}

extension PackedCheckpoint: WeightStore {
    var place: String { directory }

    func matrix(_ name: String, rows: Range<Int>?, label: String, format: WeightFormat) throws -> PackedMatrix {
        let stored = PackedInventory.Matrix.storedName(name, label: label)
        // A matrix for which twelve bits did not pay lies there in sixteen.
        guard let contract = matrices[stored],
            contract.format == format || (contract.format, format) == (.bfloat16, .compactBFloat16)
        else { throw file.missingTensor(stored) }
        let weights = try WeightBytes(stored, in: file)
        guard Int(bitPattern: weights.base) % PackedFileWriter.alignment == 0 else {
            throw InputError(
                .malformed, in: "\(file.place): \(stored)",
                expected: "a tensor that begins at a multiple of \(PackedFileWriter.alignment) bytes",
                found: "\(Int(bitPattern: weights.base) % PackedFileWriter.alignment) bytes beyond one",
                remedy: "Quantize the original checkpoint again.")
        }
        return PackedMatrix(
            rows: contract.rows.count, columns: contract.columns, format: contract.format, weights: weights,
            scales: contract.scaleBytes > 0 ? try WeightBytes("\(stored).scales", in: file) : nil,
            compact: try compactTables(contract))
    }

    /// The tables beside a compact matrix, looked through; nil for others.
    private func compactTables(_ matrix: PackedInventory.Matrix) throws -> CompactTables? {
        guard matrix.format == .compactBFloat16 else { return nil }
        let name = matrix.storedName
        let tables = CompactTables(
            exponents: try WeightBytes("\(name).exponents", in: file),
            starts: try WeightBytes("\(name).exceptionStarts", in: file),
            exceptions: try WeightBytes("\(name).exceptions", in: file))
        try tables.check(rows: matrix.rows.count, columns: matrix.columns, place: "\(file.place): \(name)")
        return tables
    }

    /// That the tables of compact matrices are whole, as loading does it.
    ///
    /// - Throws: `InputError` (`.malformed`), with the tensor.
    public func checkTables() throws {
        for matrix in inventory.matrices { _ = try compactTables(matrix) }
    }

    func vector(_ name: String) throws -> [Float] { try file.tensor(name, as: Float.self).elements }
}

extension SafetensorsFile {
    fileprivate func missingTensor(_ name: String) -> InputError {
        InputError(.missing, in: "\(place): \(name)", expected: "a tensor of this name and format", found: "none")
    }
}

extension QuantModel {
    /// Loads a packed model by mapping its file, or by reading it if the options say so.
    ///
    /// - Parameters:
    ///   - options: the plan in it is ignored: the file decides.
    ///   - progress: is told the layers loaded so far and their number.
    /// - Complexity: O(tensors); weights are read when they are first used, from the file or from
    ///   the system's copy of it.
    public init(_ packed: PackedCheckpoint, options: QuantOptions, progress: ((Int, Int) -> Void)? = nil) throws {
        var fixed = QuantOptions(plan: packed.plan, keyValues: options.keyValues, pool: options.pool)
        (fixed.allowsNonFinite, fixed.roundsState) = (options.allowsNonFinite, options.roundsState)
        let store: any WeightStore = options.isResident ? try ResidentWeights(packed, pool: options.pool) : packed
        try self.init(store, packed.configuration, fixed, progress)
    }
}

extension PrecisionPlan {
    /// Formats as a file keeps them: `int8; dt f32`, first the base, then the parts that have their
    /// own.
    var text: String {
        let own = ModelPart.allCases.filter { self[$0] != base }.map { "\($0.rawValue) \(self[$0].name)" }
        return ([base.name] + own).joined(separator: "; ")
    }

    /// - Throws: `InputError` (`.unknown`) for a part or a format that means nothing here.
    init(text: String, place: String) throws(InputError) {
        let items = text.split(separator: ";").map { $0.trimmingCharacters(in: .whitespaces) }
        guard let first = items.first else {
            throw InputError(.malformed, in: place, expected: "a number format", found: "nothing")
        }
        self.init(uniform: try WeightFormat(name: first, place: place))
        for item in items.dropFirst() {
            let words = item.split(separator: " ").map(String.init)
            guard words.count == 2, let part = ModelPart(rawValue: words[0]) else {
                throw InputError(.unknown, in: place, expected: "a part and its format, such as dt f32", found: item)
            }
            self[part] = try WeightFormat(name: words[1], place: place)
        }
    }
}

extension WeightFormat {
    /// - Throws: `InputError` (`.unknown`) for a name that means nothing.
    init(name: String, place: String) throws(InputError) {
        switch name {
        case "f32": self = .float32
        case "bf16": self = .bfloat16
        case "bf16-12bit": self = .compactBFloat16
        case "int8": self = .int8(group: 0)
        default:
            if name.hasPrefix("int4/"), let group = Int(name.dropFirst(5)), Self.isInt4Group(group) {
                self = .int4(group: group)
                return
            }
            guard name.hasPrefix("int8/"), let group = Int(name.dropFirst(5)), Self.isGroup(group) else {
                throw InputError(
                    .unknown, in: place, expected: "f32, bf16, bf16-12bit, int8, int8/GROUP or int4/GROUP",
                    found: "\"\(name)\"")
            }
            self = .int8(group: group)
        }
    }

    /// Whether the kernels have this group size in int4.
    public static func isInt4Group(_ group: Int) -> Bool { group == 32 || group == 64 || group == 128 }

    /// Whether the kernels have this group size in int8: 0, or a multiple of 32.
    public static func isGroup(_ group: Int) -> Bool { group >= 0 && group % 32 == 0 && group <= 1 << 16 }
}
