//  What a packed file holds, for whoever wants to know before using it.

import DualityCore
import Foundation

extension PackedCheckpoint {
    /// Matrices of one part of the model in one format, or everything that is kept in float32
    /// beside them.
    public struct Contents: Sendable, Equatable {
        /// `q`, `gate`, `in_proj zxBC`, `in_proj dt`, …; `vectors` for norms, convolutions, decays
        /// and the like.
        public let name: String
        /// `int8/32`, `bf16-12bit`, `bf16`, `f32`.
        public let format: String
        /// Matrices, or vectors; scales and tables do not count.
        public internal(set) var tensors = 0
        /// Weights, without the rows that fill up a panel.
        public internal(set) var parameters = 0
        /// In the file, filled up, with the tables of compact matrices.
        public internal(set) var weightBytes = 0
        /// In the file, the float32 scales of int8 matrices, filled up as the rows are.
        public internal(set) var scaleBytes = 0
    }

    /// All contents, in the order of the model.
    public var contents: [Contents] {
        var parts: [Contents] = []
        func add(_ name: String, _ format: WeightFormat, parameters: Int, weights: Int, scales: Int) {
            let i = parts.firstIndex { $0.name == name && $0.format == format.name } ?? parts.count
            if i == parts.count { parts.append(Contents(name: name, format: format.name)) }
            parts[i].tensors += 1
            parts[i].parameters += parameters
            parts[i].weightBytes += weights
            parts[i].scaleBytes += scales
        }
        for matrix in inventory.matrices {
            let isProjection = matrix.name.hasSuffix("in_proj.weight")
            add(
                isProjection ? "in_proj \(matrix.label)".trimmingCharacters(in: .whitespaces) : matrix.part.rawValue,
                matrix.format, parameters: matrix.rows.count * matrix.columns,
                weights: matrix.weightBytes + matrix.tableBytes,
                scales: matrix.scaleBytes)
        }
        for vector in inventory.vectors {
            add("vectors", .float32, parameters: vector.count, weights: 4 * vector.count, scales: 0)
        }
        return parts
    }

    /// The bytes in which a tensor of the weight contract is stored, scales and all.
    ///
    /// - Complexity: O(tensors).
    public func byteCount(of name: String) -> Int {
        inventory.matrices.reduce(0) { $0 + ($1.name == name ? $1.byteCount : 0) }
            + inventory.vectors.reduce(0) { $0 + ($1.name == name ? 4 * $1.count : 0) }
    }

    /// Bits of the matrices in the file, scales and tables among them, a weight.
    public var bitsPerWeight: Double { inventory.bitsPerWeight }

    /// The bytes of the weight file.
    public var fileBytes: Int {
        let attributes = try? FileManager.default.attributesOfItem(atPath: file.place)
        return (attributes?[.size] as? NSNumber)?.intValue ?? 0
    }

    /// The number formats in one line: `int8/32; dt f32`.
    public var formats: String { plan.text }
    /// The order of the numbers in the file.
    public var layout: String { Self.layout }
    /// What it was made of, as the maker wrote it down: weight files with their bytes and dates, or
    /// the seed of random weights.
    public var origin: String? { file.metadata["source"] }

    /// The first NaN or infinity of every float32 tensor, scales among them. Packed int8 and
    /// bfloat16 numbers are not looked at: the former cannot be one, and the latter were looked at
    /// when they were packed.
    ///
    /// - Complexity: reads the float32 tensors once.
    public func nonFinite() throws -> [(tensor: String, element: Int)] {
        try file.names.compactMap { name in
            guard file.find(name)?.dtype == .f32, let element = try file.firstNonFinite(of: name) else { return nil }
            return (name, element)
        }
    }
}
