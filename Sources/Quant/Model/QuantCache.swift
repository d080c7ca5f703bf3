//  What the fast model remembers of the tokens it has read: the twin of the reference's
//  `HybridCache`.
//
//  A cache is a value: a copy is a snapshot, assigning it back a rollback, and it knows its number
//  of tokens. Copies share their memory until one of them is extended.

import DualityCore
import DualityKernels

/// The memory of one sequence, for all layers of a fast model.
public struct QuantCache: Sendable {
    /// Tokens read so far; the next one has this position.
    public internal(set) var tokenCount: Int
    let shape: Shape
    var layers: [QuantLayerCache]

    /// What decides the sizes of a cache.
    struct Shape: Sendable, Equatable {
        let layers: [LayerKind]
        let headCount, keyValueHeadCount, headDim, convolutionTaps: Int
        let keyValueFormat: KeyValueFormat

        static let none = Shape()

        private init() {
            layers = []
            (headCount, keyValueHeadCount, headDim, convolutionTaps, keyValueFormat) = (0, 0, 0, 0, .f32)
        }

        init(_ configuration: HybridConfiguration, _ format: KeyValueFormat) {
            layers = configuration.layers
            headCount = configuration.headCount
            keyValueHeadCount = configuration.keyValueHeadCount
            headDim = configuration.headDim
            convolutionTaps = configuration.mamba2.convolutionTaps
            keyValueFormat = format
        }
    }

    init(_ configuration: HybridConfiguration, keyValues format: KeyValueFormat) {
        tokenCount = 0
        shape = Shape(configuration, format)
        layers = configuration.layers.map { QuantLayerCache($0, configuration, format) }
    }

    /// What is left where a cache has been moved from.
    init(moved: ()) {
        tokenCount = 0
        shape = Shape.none
        layers = []
    }

    public var layerCount: Int { layers.count }

    /// The bytes held.
    public var byteCount: Int { layers.reduce(0) { $0 + ($1.keyValues?.byteCount ?? 0) + ($1.scan?.byteCount ?? 0) } }

}

/// The memory of one layer.
struct QuantLayerCache: Sendable {
    var keyValues: KeyValuePages?
    var scan: ScanState?

    init(_ kind: LayerKind, _ configuration: HybridConfiguration, _ format: KeyValueFormat) {
        switch kind {
        case .mamba2: scan = ScanState(configuration)
        default: keyValues = KeyValuePages(dk_attention_shape(configuration, format))
        }
    }
}

extension dk_attention_shape {
    init(_ configuration: HybridConfiguration, _ format: KeyValueFormat) {
        self.init(
            heads: Int64(configuration.headCount), kvHeads: Int64(configuration.keyValueHeadCount),
            headDim: Int64(configuration.headDim), format: format.kernelFormat,
            scale: 1 / Float(configuration.headDim).squareRoot(), window: 0)
    }
}

extension QuantCache {
    /// The SSM state after the last token of layer `layer`, `[H, P, N]`; nil for a layer without
    /// one.
    public func state(ofLayer layer: Int, configuration: HybridConfiguration) throws -> Tensor<Float>? {
        guard let scan = layers[layer].scan else { return nil }
        let kernels = try KernelTable.active()
        var shape = dk_ssd_shape(configuration)
        var pointers = scan.pointers
        let (heads, dim) = (configuration.headCount, configuration.headDim)
        var state = [Float](repeating: 0, count: heads * dim * dim)
        let workspace = AlignedMemory(byteCount: Int(DK_WORKSPACE_BYTES))
        state.withUnsafeMutableBufferPointer { state in
            guard let base = state.baseAddress else { return }
            for head in 0..<heads {
                kernels.ssd_state(
                    &shape, &pointers, Int64(tokenCount % Int(DK_SSD_CHUNK)), Int64(head), base + head * dim * dim,
                    workspace.base)
            }
        }
        return try Tensor(shape: [heads, dim, dim], elements: state)
    }

    /// The convolution window of layer `layer`, `[W-1, C]`, oldest first; nil for a layer without
    /// one.
    public func window(ofLayer layer: Int, configuration: HybridConfiguration) throws -> Tensor<Float>? {
        guard let scan = layers[layer].scan else { return nil }
        let channels = configuration.innerSize + 2 * configuration.keyValueSize
        let rows = configuration.mamba2.convolutionTaps - 1
        return try Tensor(
            shape: [rows, channels], elements: Array(UnsafeBufferPointer(start: scan.window, count: rows * channels)))
    }
}

extension dk_ssd_shape {
    init(_ configuration: HybridConfiguration) {
        let (heads, shared) = (Int64(configuration.headCount), Int64(configuration.keyValueHeadCount))
        self.init(
            heads: heads, xHeads: shared, bHeads: shared, cHeads: heads, headDim: Int64(configuration.headDim),
            stateDim: Int64(configuration.headDim))
    }
}
