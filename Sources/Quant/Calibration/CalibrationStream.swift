//  The residual stream of a calibration's text, on its way through the layers.

import DualityCore
import DualityKernels
import Foundation

/// The stream of all sequences in front of one layer, `[tokens, Dm]`.
final class CalibrationStream {
    /// The layer that it enters next; the number of layers behind the last.
    private(set) var layer = 0
    private let sequences: [[Int]]
    private let configuration: HybridConfiguration
    private let weights: CheckpointWeights
    private let memory: AlignedMemory
    private let workspace: Workspace
    private let rope: RotaryFrequencies?
    private let keyValues: KeyValueFormat
    private let embeddingFormat: WeightFormat
    private let path, fingerprint: String
    private var isWrittenDown = false

    /// Where an earlier run has come to, or the embedding of the text.
    init(
        _ text: CalibrationText, configuration: HybridConfiguration, plan: PrecisionPlan, weights: CheckpointWeights,
        path: String, fingerprint: String
    ) throws {
        sequences = text.sequences
        (self.configuration, self.weights) = (configuration, weights)
        (self.path, self.fingerprint) = (path, fingerprint)
        keyValues = QuantOptions(plan: plan).keyValues
        memory = AlignedMemory(byteCount: 4 * text.tokenCount * configuration.hiddenSize)
        workspace = Workspace(threads: weights.pool.threadCount)
        rope = configuration.rotates ? try RotaryFrequencies(configuration) : nil
        embeddingFormat = plan[.embedding]
        if !goOn() { try restart() }
    }

    /// Back to the embedding of the text.
    func restart() throws {
        try embed(embeddingFormat)
        (layer, isWrittenDown) = (0, false)
    }

    private var width: Int { configuration.hiddenSize }
    private var h: UnsafeMutablePointer<Float> { memory.base.assumingMemoryBound(to: Float.self) }
    private var byteCount: Int { 4 * sequences.reduce(0) { $0 + $1.count } * width }

    // MARK: - Between runs

    private func goOn() -> Bool {
        guard let file = try? SafetensorsFile(path: path), file.metadata["source"] == fingerprint,
            let layer = file.metadata["layer"].flatMap({ Int($0) }), 0...configuration.layers.count ~= layer,
            let info = file.find("stream"), info.byteCount == byteCount
        else { return false }
        let loaded: Void? = try? file.withBytes(of: "stream") { bytes in
            if let base = bytes.baseAddress { memory.base.copyMemory(from: base, byteCount: byteCount) }
        }
        guard loaded != nil else { return false }
        (self.layer, isWrittenDown) = (layer, true)
        return true
    }

    /// Keeps the stream for a run after this one.
    func writeDown() throws {
        guard !isWrittenDown else { return }
        var file = PackedFileWriter(metadata: ["source": fingerprint, "layer": "\(layer)"])
        file.add("stream", dtype: .f32, shape: [byteCount / 4 / width, width]) { [memory, byteCount] write in
            try write(UnsafeRawBufferPointer(start: memory.base, count: byteCount))
        }
        try file.write(to: path) { _, _, _ in }
        isWrittenDown = true
    }

    func remove() { try? FileManager.default.removeItem(atPath: path) }

    /// The rows of the embedding as the quantized model reads them.
    private func embed(_ format: WeightFormat) throws {
        let name = try WeightContract(configuration).embeddingName
        let used = Array(Set(sequences.joined())).sorted()
        let places = Dictionary(uniqueKeysWithValues: used.enumerated().map { ($1, $0) })
        let info = try weights.source.info(name)
        let rowBytes = width * info.dtype.bits / 8
        var rows = Tensor<Float>(repeating: 0, shape: [used.count, width])
        try weights.source.withBytes(of: name) { bytes in
            for (place, id) in used.enumerated() {
                let row = UnsafeRawBufferPointer(rebasing: bytes[id * rowBytes..<(id + 1) * rowBytes])
                rows.elements.replaceSubrange(
                    place * width..<(place + 1) * width, with: decodeReals(row, of: info.dtype, as: Float.self))
            }
        }
        let stored = try rows.stored(as: format)
        var target = h
        for id in sequences.joined() {
            guard let place = places[id] else { continue }
            stored.elements.withUnsafeBufferPointer {
                target.update(from: $0.baseAddress! + place * width, count: width)
            }
            target += width
        }
    }

    // MARK: - Through a layer

    /// Runs a layer for its observer; the stream stays where it is.
    func run(_ layer: QuantDecoderLayer, _ observer: ActivationObserver) throws {
        try pass(layer, observer) { _, _ in }
    }

    /// Takes the stream through a layer.
    func advance(_ layer: QuantDecoderLayer) throws {
        let width = width
        try pass(layer, nil) { target, stream in
            for i in 0..<stream.rows * width { target[i] = stream.h[i] + stream.delta[i] }
        }
        self.layer += 1
        isWrittenDown = false
    }

    private typealias Result = (h: UnsafeMutablePointer<Float>, delta: UnsafeMutablePointer<Float>, rows: Int)

    private func pass(
        _ layer: QuantDecoderLayer, _ observer: ActivationObserver?,
        _ body: (UnsafeMutablePointer<Float>, Result) -> Void
    ) throws {
        var rows = h
        let half = configuration.headDim / 2
        for sequence in sequences {
            let count = sequence.count
            let (cosines, sines) = (workspace.cosines.pointer(count * half), workspace.sines.pointer(count * half))
            rope?.fill(cosines, sines, positions: 0..<count, length: count)
            var stream = ResidualStream(width: width, rows: count, workspace: workspace)
            stream.h.update(from: rows, count: count * width)
            var pass = Pass(
                kernels: weights.kernels, pool: weights.pool, workspace: workspace,
                segments: [Segment(sequence: 0, rows: 0..<count)], rows: count, cosines: cosines, sines: sines)
            pass.observer = observer
            var caches = [QuantCache(configuration, keyValues: observer == nil ? keyValues : .f32)]
            layer.extend(&stream, in: pass, caches: &caches, layer: self.layer)
            body(rows, (stream.h, stream.delta, count))
            rows += count * width
        }
    }

    /// Shows an observer what the head reads.
    func observeHead(_ observer: ActivationObserver, name: String) throws {
        let isPlain = configuration.plainMamba2 != nil
        let weight = try weights.vector(isPlain ? "backbone.norm_f.weight" : "model.norm.weight")
        let moments = observer.moments(named: name, columns: width)
        var rows = h
        for sequence in sequences {
            let out = workspace.normalized.pointer(sequence.count * width)
            weights.kernels.rms_norm(
                rows, Int64(width), out, Int64(width), Int64(sequence.count), 1, Int64(width), weight,
                Float(configuration.normEpsilon))
            moments.add(out, stride: width, rows: sequence.count)
            rows += sequence.count * width
        }
    }
}
