//  Quantization that knows what the matrices read: layer by layer, on a text.
//
//      h = embedding[tokens]                                        as the quantized model has it
//      for every layer:
//          run the layer in float32 on h, and sum x xᵀ for the inputs x of its matrices
//          round its matrices, errors made up for (Feedback.swift)
//          h = the rounded layer of h                               so that the next one learns from what it will be given
//      the head: the same behind the last norm
//
//  One layer in float32, its sums and its packed matrices are in memory, and h, [tokens, Dm]. h is
//  written down before each layer, so that an interrupted run goes on there; the result is the same
//  bits either way, with any number of threads and in every table.

import DualityCore
import DualityKernels
import Foundation

/// A calibration in progress.
final class Calibration {
    /// A matrix that was rounded.
    struct Packed {
        let weights: AlignedMemory
        let scales: AlignedMemory
    }

    private let configuration: HybridConfiguration
    private let plan: PrecisionPlan
    private let inventory: PackedInventory
    private let weights: CheckpointWeights
    private let text: CalibrationText
    private let stream: CalibrationStream
    /// The matrices of `layer`, by their stored names.
    private var packed: [String: Packed] = [:]
    private var packedLayer: Int?
    private let progress: (String) -> Void

    /// - Parameters:
    ///   - path: where the stream is written down between layers.
    ///   - fingerprint: of everything that the stream depends on.
    init(
        _ text: CalibrationText, configuration: HybridConfiguration, plan: PrecisionPlan, inventory: PackedInventory,
        weights: CheckpointWeights, path: String, fingerprint: String, progress: @escaping (String) -> Void
    ) throws {
        (self.text, self.configuration, self.plan, self.inventory) = (text, configuration, plan, inventory)
        (self.weights, self.progress) = (weights, progress)
        stream = try CalibrationStream(
            text, configuration: configuration, plan: plan, weights: weights, path: path,
            fingerprint: "\(fingerprint); \(text.fingerprint); \(plan.text)")
    }

    /// The matrix as it was rounded; nil where calibration has nothing to say about it.
    func matrix(_ matrix: PackedInventory.Matrix) throws -> Packed? {
        guard let layer = layer(of: matrix) else { return nil }
        // Layers that were written by an earlier run are run again only where their stream is lost.
        while packedLayer != layer {
            // Written down ahead of tensors that the disk then lost.
            if stream.layer > layer { try stream.restart() }
            try enter(stream.layer)
        }
        return packed[matrix.storedName]
    }

    /// Removes what was written down on the way.
    func finish() { stream.remove() }

    /// Whether the embedding is the head too: then it is rounded for what the head reads, which
    /// costs far more than what the first layer does.
    private var embeddingIsHead: Bool { !inventory.matrices.contains { $0.part == .head } }

    /// The matrices in the order in which they are rounded: one that is the head too comes last.
    var order: [PackedInventory.Matrix] {
        guard embeddingIsHead else { return inventory.matrices }
        return inventory.matrices.filter { $0.part != .embedding }
            + inventory.matrices.filter { $0.part == .embedding }
    }

    /// The layer that a matrix is in, the head as one behind the last; nil for a mere embedding.
    private func layer(of matrix: PackedInventory.Matrix) -> Int? {
        if matrix.part == (embeddingIsHead ? .embedding : .head) { return configuration.layers.count }
        let words = matrix.name.split(separator: ".")
        guard let place = words.firstIndex(of: "layers"), place + 1 < words.count else { return nil }
        return Int(words[place + 1])
    }

    private func enter(_ layer: Int) throws {
        let count = configuration.layers.count
        try stream.writeDown()
        let observer = ActivationObserver(kernels: weights.kernels, pool: weights.pool)
        packed = [:]
        if layer >= count {
            progress("calibrating the head")
            try stream.observeHead(observer, name: headName)
        } else {
            progress("calibrating layer \(layer + 1) of \(count)")
            let store = ObservedStore(weights: weights, observer: observer)
            try stream.run(
                try Self.layer(layer, store, configuration, PrecisionPlan(uniform: .float32)),
                observer)
        }
        try round(layer, observer)
        packedLayer = layer
        guard layer < count else { return }
        let store = CalibratedStore(weights: weights, packed: packed)
        try stream.advance(try Self.layer(layer, store, configuration, plan))
    }

    private var headName: String {
        inventory.matrices.first { $0.part == (embeddingIsHead ? .embedding : .head) }?.name ?? ""
    }

    /// Rounds the matrices of a layer.
    private func round(_ layer: Int, _ observer: ActivationObserver) throws {
        var feedbacks: [ObjectIdentifier: Feedback] = [:]
        for matrix in inventory.matrices where self.layer(of: matrix) == layer {
            guard case .int4(let group) = matrix.format, let moments = observer.moments[matrix.name] else { continue }
            let id = ObjectIdentifier(moments)
            let feedback = feedbacks[id] ?? Feedback(moments, kernels: weights.kernels, pool: weights.pool)
            feedbacks[id] = feedback
            let packer = try MatrixPacker(weights, name: matrix.name, rows: matrix.rows, format: matrix.format)
            let result = Packed(
                weights: AlignedMemory(byteCount: matrix.weightBytes),
                scales: AlignedMemory(byteCount: matrix.scaleBytes))
            try packer.pack(group: group, feedback, into: result.weights.base, scales: result.scales.base)
            packed[matrix.storedName] = result
        }
    }

    private static func layer(
        _ index: Int, _ store: any WeightStore, _ configuration: HybridConfiguration, _ plan: PrecisionPlan
    ) throws -> QuantDecoderLayer {
        let builder = LayerBuilder(
            store: store, configuration: configuration, plan: plan, options: QuantOptions(plan: plan))
        if configuration.plainMamba2 != nil { return try builder.plainLayer(index) }
        return try builder.layer(configuration.layers[index], prefix: "model.layers.\(index).")
    }
}

/// Tells an observer the names of the matrices that it packs.
private struct ObservedStore: WeightStore {
    let weights: CheckpointWeights
    let observer: ActivationObserver

    var place: String { weights.place }
    func vector(_ name: String) throws -> [Float] { try weights.vector(name) }
    func matrix(_ name: String, rows: Range<Int>?, label: String, format: WeightFormat) throws -> PackedMatrix {
        let matrix = try weights.matrix(name, rows: rows, label: label, format: format)
        observer.name(matrix, name)
        return matrix
    }
}

/// Gives out the matrices that were rounded, and packs the others.
private struct CalibratedStore: WeightStore, @unchecked Sendable {
    let weights: CheckpointWeights
    let packed: [String: Calibration.Packed]

    var place: String { weights.place }
    func vector(_ name: String) throws -> [Float] { try weights.vector(name) }
    func matrix(_ name: String, rows: Range<Int>?, label: String, format: WeightFormat) throws -> PackedMatrix {
        guard let found = packed[PackedInventory.Matrix.storedName(name, label: label)] else {
            return try weights.matrix(name, rows: rows, label: label, format: format)
        }
        let packer = try MatrixPacker(weights, name: name, rows: rows, format: format)
        return PackedMatrix(
            rows: packer.rows.count, columns: packer.columns, format: format,
            weights: WeightBytes(found.weights, byteCount: packer.weightBytes),
            scales: WeightBytes(found.scales, byteCount: packer.scaleBytes))
    }
}
