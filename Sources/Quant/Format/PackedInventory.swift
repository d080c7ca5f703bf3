//  Every tensor of a packed model, from its configuration and its precision plan.
//
//  | what               | stored as                                                | bytes                               |
//  |--------------------|----------------------------------------------------------|-------------------------------------|
//  | matrix, int8       | NAME: U8 [panels, K'/4, 2, 16, 4] and NAME.scales: F32 [panels, G, 32] | M K + 4 M G           |
//  | matrix, int4       | NAME: U8 [panels, K'/4, 16, 4] and NAME.scales: U8 [panels, 4 + G, 32] | M K / 2 + M (G + 4)   |
//  | matrix, bfloat16   | NAME: BF16 [panels, K/2, 2, 16, 2]                        | 2 M K                               |
//  | the same, compact  | NAME: U8 [panels, K/4, 3, 64], and U32: NAME.exponents [panels, 16], NAME.exceptionStarts, NAME.exceptions | 1.5 M K |
//  | matrix, float32    | NAME: F32 [panels, K, 32]                                 | 4 M K                               |
//  | anything else      | NAME: F32, its own shape                                  | 4 a number                          |
//
//  The last two tables are filled up to multiples of 16 numbers (CompactMatrix.swift). A matrix for
//  which twelve bits do not pay is plain.
//
//  in_proj is cut where its format changes, and the label of the parts is appended to the name:
//  `….in_proj.weight.zxBC`, `….in_proj.weight.dt`.

import DualityCore

/// What a packed model is made of.
public struct PackedInventory: Sendable {
    /// A matrix, or some rows of one.
    struct Matrix: Sendable {
        /// In the checkpoint.
        let name: String
        let label: String
        /// Of the checkpoint's matrix.
        let rows: Range<Int>
        let columns: Int
        /// The plan's, until it is known for which matrices a compact form pays.
        fileprivate(set) var format: WeightFormat
        let part: ModelPart
        /// Weights that a compact matrix lists by themselves: what is expected of them, until they
        /// are counted.
        fileprivate(set) var exceptionCount = 0

        /// In the packed file.
        var storedName: String { Self.storedName(name, label: label) }

        static func storedName(_ name: String, label: String) -> String {
            label.isEmpty ? name : "\(name).\(label)"
        }

        var weightBytes: Int { PackedMatrix.weightBytes(format, rows: rows.count, columns: columns) }
        var scaleBytes: Int { PackedMatrix.scaleBytes(format, rows: rows.count, columns: columns) }
        var tableBytes: Int { tables.reduce(0) { $0 + 4 * $1.shape.reduce(1, *) } }
        var byteCount: Int { weightBytes + scaleBytes + tableBytes }

        /// The shape of the packed weights as a tensor.
        var storedShape: [Int] {
            let panels = PackedMatrix.panels(rows.count)
            switch format {
            case .float32: return [panels, columns, 32]
            case .bfloat16: return [panels, (columns + 1) / 2, 2, 16, 2]
            case .compactBFloat16: return [panels, (columns + 3) / 4, 3, 64]
            case .int8: return [panels, weightBytes / (panels * 128), 2, 16, 4]
            case .int4: return [panels, weightBytes / (panels * 64), 16, 4]
            }
        }

        var storedDType: DType {
            switch format {
            case .float32: .f32
            case .bfloat16: .bf16
            case .compactBFloat16, .int8, .int4: .u8
            }
        }

        /// The shape of the scales as a tensor.
        var scaleShape: [Int] {
            let panels = PackedMatrix.panels(rows.count)
            return [panels, scaleBytes / (panels * 32 * scaleDType.bits / 8), 32]
        }

        var scaleDType: DType { if case .int4 = format { .u8 } else { .f32 } }

        /// What lies beside a compact matrix, by what is appended to its name.
        var tables: [(name: String, shape: [Int])] {
            guard format == .compactBFloat16 else { return [] }
            return [
                ("exponents", [PackedMatrix.panels(rows.count), 16]),
                ("exceptionStarts", [CompactTables.startCount(rows: rows.count)]),
                ("exceptions", [CompactTables.filled(exceptionCount)]),
            ]
        }
    }

    /// A tensor that is kept as float32.
    struct Vector: Sendable {
        let name: String
        let shape: [Int]

        var count: Int { shape.reduce(1, *) }
    }

    private(set) var matrices: [Matrix]
    let vectors: [Vector]

    /// - Throws: `InputError` (`.unsupported`) for layers that have no fast form.
    public init(_ configuration: HybridConfiguration, _ plan: PrecisionPlan) throws(InputError) {
        try QuantModel.checkLayers(configuration, place: "config.json")
        var matrices: [Matrix] = []
        var vectors: [Vector] = []
        for requirement in try WeightContract(configuration).requirements {
            let (name, shape) = (requirement.name, requirement.shape)
            if name.hasSuffix("in_proj.weight") {
                for block in InputProjectionBlocks(configuration, plan).blocks {
                    matrices.append(
                        Matrix(
                            name: name, label: block.label, rows: block.rows, columns: shape[1], format: block.format,
                            part: .z))
                }
            } else if let part = Self.part(of: name) {
                matrices.append(
                    Matrix(
                        name: name, label: "", rows: 0..<shape[0], columns: shape[1], format: plan[part], part: part))
                if part == .embedding, configuration.tiedEmbeddings, plan[.head] != plan[.embedding] {
                    matrices.append(
                        Matrix(
                            name: name, label: ModelPart.head.rawValue, rows: 0..<shape[0], columns: shape[1],
                            format: plan[.head], part: .head))
                }
            } else {
                vectors.append(Vector(name: name, shape: shape))
            }
        }
        self.vectors = vectors
        self.matrices = matrices
        for (i, matrix) in matrices.enumerated() where matrix.format == .compactBFloat16 {
            self.matrices[i].exceptionCount = CompactTables.expectedExceptions(
                rows: matrix.rows.count, columns: matrix.columns)
        }
    }

    /// The same with what is known of compact matrices by now.
    ///
    /// - Parameter exceptions: how many a matrix has, or nil if it is to be plain.
    func counting(_ exceptions: (Matrix) throws -> Int?) rethrows -> PackedInventory {
        var counted = self
        for (i, matrix) in matrices.enumerated() where matrix.format == .compactBFloat16 {
            if let count = try exceptions(matrix) {
                counted.matrices[i].exceptionCount = count
            } else {
                counted.matrices[i].format = .bfloat16
                counted.matrices[i].exceptionCount = 0
            }
        }
        return counted
    }

    /// The same with the compact matrices that a file has.
    func stored(in file: SafetensorsFile) throws(InputError) -> PackedInventory {
        counting { matrix in
            file.find(matrix.storedName)?.dtype == .bf16
                ? nil : file.find("\(matrix.storedName).exceptions")?.shape.reduce(1, *) ?? 0
        }
    }

    /// Bits of the matrices, scales and tables among them, a weight.
    public var bitsPerWeight: Double {
        let weights = matrices.reduce(0) { $0 + $1.rows.count * $1.columns }
        return 8 * Double(matrices.reduce(0) { $0 + $1.byteCount }) / Double(max(weights, 1))
    }

    /// The bytes of all weights.
    public var byteCount: Int {
        matrices.reduce(0) { $0 + $1.byteCount } + vectors.reduce(0) { $0 + 4 * $1.count }
    }

    /// The part that a matrix is, by its name; nil for what is no matrix.
    private static func part(of name: String) -> ModelPart? {
        let words = name.split(separator: ".")
        guard words.count >= 2, words.last == "weight" else { return nil }
        if name.contains(".proj_k.") { return .key }
        if name.contains(".proj_v.") { return .value }
        return parts[String(words[words.count - 2])]
    }

    private static let parts: [String: ModelPart] = [
        "embed_tokens": .embedding, "embeddings": .embedding, "lm_head": .head, "q_proj": .query, "k_proj": .key,
        "v_proj": .value, "q_proj_": .query, "k_proj_": .key, "v_proj_": .value, "o_proj": .output,
        "gate_proj": .gate, "up_proj": .up, "down_proj": .down, "out_proj": .outputProjection, "g_proj": .z,
        "b_proj": .dt, "a_proj": .dt, "gk_proj": .dt, "alpha_proj": .dt,
    ]
}
