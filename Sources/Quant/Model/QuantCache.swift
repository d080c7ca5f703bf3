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
    /// What decides the sizes of everything in it.
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

        /// For messages.
        var text: String {
            "\(layers.map(\.rawValue).joined()), \(headCount) heads, \(keyValueHeadCount) for keys and values, "
                + "head dimension \(headDim), \(convolutionTaps) taps"
        }

        /// Channels of the convolution: C, x and B side by side.
        var convolutionChannels: Int { (headCount + 2 * keyValueHeadCount) * headDim }

        /// The sizes of the scan.
        var scan: dk_ssd_shape {
            let (heads, shared, dim) = (Int64(headCount), Int64(keyValueHeadCount), Int64(headDim))
            return dk_ssd_shape(
                heads: heads, xHeads: shared, bHeads: shared, cHeads: heads, headDim: dim, stateDim: dim)
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

    /// Whether a model of this configuration makes caches of this shape.
    ///
    /// - Throws: `InputError` (`.shape`) for a cache of another model.
    public func requireShape(of configuration: HybridConfiguration) throws(InputError) {
        guard shape == Shape(configuration, shape.keyValueFormat) else {
            throw InputError(
                .shape, in: "cache",
                expected: "one of \(Shape(configuration, shape.keyValueFormat).text)", found: "one of \(shape.text)",
                remedy: "Give the configuration of the model that made the cache.")
        }
    }

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

extension dk_ssd_shape {
    init(_ configuration: HybridConfiguration) {
        self = QuantCache.Shape(configuration, .f32).scan
    }
}
