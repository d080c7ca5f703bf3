//  The weights of one checkpoint for several models, each matrix packed once per format.

import DualityCore

/// Packs every matrix once.
package final class SharedWeights: WeightStore, @unchecked Sendable {
    private let weights: CheckpointWeights
    // Models are made one after another, by one thread.
    private var packed: [String: PackedMatrix] = [:]

    package init(_ source: any TensorSource, pool: ThreadPool) throws(InputError) {
        weights = try CheckpointWeights(source, pool: pool)
    }

    /// A model whose matrices are shared with those made before.
    ///
    /// - Throws: `InputError`, as loading a model does.
    package func model(_ configuration: HybridConfiguration, _ options: QuantOptions) throws -> QuantModel {
        try QuantModel(self, configuration, options, nil)
    }

    var place: String { weights.place }

    func vector(_ name: String) throws -> [Float] { try weights.vector(name) }

    func matrix(_ name: String, rows: Range<Int>?, label: String, format: WeightFormat) throws -> PackedMatrix {
        let key = "\(name) \(rows.map { "\($0)" } ?? "") \(format.name)"
        if let matrix = packed[key] { return matrix }
        let matrix = try weights.matrix(name, rows: rows, label: label, format: format)
        packed[key] = matrix
        return matrix
    }
}
