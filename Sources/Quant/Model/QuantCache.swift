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
        let keyValueHeadCount, headDim: Int
        let mamba2: Mamba2Shape?
        /// Of the convolutions of the kinds that have any.
        let taps: [Int]
        /// Of SWA.
        let window: Int?
        let keyValueFormat: KeyValueFormat

        static let none = Shape()

        private init() {
            (layers, taps) = ([], [])
            (keyValueHeadCount, headDim, mamba2, window, keyValueFormat) = (0, 0, nil, nil, .f32)
        }

        init(_ configuration: HybridConfiguration, _ format: KeyValueFormat) {
            layers = configuration.layers
            keyValueHeadCount = configuration.keyValueHeadCount
            headDim = configuration.headDim
            mamba2 = configuration.has(.mamba2) ? configuration.mamba2Shape : nil
            taps = [configuration.mamba2.convolutionTaps]
            window = configuration.slidingWindow
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
    /// - Parameter window: tokens that one sees, itself among them; nil for all.
    init(_ configuration: HybridConfiguration, _ format: KeyValueFormat, window: Int? = nil) {
        self.init(
            heads: Int64(configuration.headCount), kvHeads: Int64(configuration.keyValueHeadCount),
            headDim: Int64(configuration.headDim), format: format.kernelFormat,
            scale: 1 / Float(configuration.headDim).squareRoot(), window: Int64(window ?? 0))
    }
}

extension QuantCache {
    /// The SSM state after the last token of layer `layer`, `[H, P, N]`; nil for a layer without
    /// one.
    public func state(ofLayer layer: Int, configuration: HybridConfiguration) throws -> Tensor<Float>? {
        guard let scan = layers[layer].scan else { return nil }
        let (kernels, sizes) = (try KernelTable.active(), configuration.mamba2Shape)
        var shape = dk_ssd_shape(sizes)
        var pointers = scan.pointers
        let size = sizes.headDim * sizes.stateDim
        var state = [Float](repeating: 0, count: sizes.heads * size)
        let workspace = AlignedMemory(byteCount: Int(DK_WORKSPACE_BYTES))
        state.withUnsafeMutableBufferPointer { state in
            guard let base = state.baseAddress else { return }
            for head in 0..<sizes.heads {
                kernels.ssd_state(
                    &shape, &pointers, Int64(tokenCount % Int(DK_SSD_CHUNK)), Int64(head), base + head * size,
                    workspace.base)
            }
        }
        return try Tensor(shape: [sizes.heads, sizes.headDim, sizes.stateDim], elements: state)
    }

    /// The convolution window of layer `layer`, `[W-1, C]`, oldest first; nil for a layer without
    /// one.
    public func window(ofLayer layer: Int, configuration: HybridConfiguration) throws -> Tensor<Float>? {
        guard let scan = layers[layer].scan else { return nil }
        let (channels, rows) = (configuration.mamba2Shape.channels, configuration.mamba2.convolutionTaps - 1)
        return try Tensor(
            shape: [rows, channels], elements: Array(UnsafeBufferPointer(start: scan.window, count: rows * channels)))
    }
}
