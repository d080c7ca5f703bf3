//  What the fast model remembers of the tokens it has read: the twin of the reference's
//  `HybridCache`.
//
//  A cache is a value: a copy is a snapshot, assigning it back a rollback, and it knows its number
//  of tokens. Copies share their memory until one of them is extended.

import DualityCore
import DualityKernels

/// The memory of one sequence, for all layers of a fast model.
public struct QuantCache: Sendable {
    /// The position of the next token: how many have been read, unless the cache was composed of
    /// several.
    public internal(set) var tokenCount: Int
    /// What decides the sizes of everything in it.
    let shape: Shape
    var layers: [QuantLayerCache]
    /// Where other ranks have their parts of it, on rank 0 of several.
    var mirror: CacheMirror?

    /// What decides the sizes of a cache.
    struct Shape: Sendable, Equatable {
        let layers: [LayerKind]
        let keyValueHeadCount, headDim: Int
        let keyValues: [KeyValueLayout?]
        let mamba2: Mamba2Shape?
        /// W of Mamba-2.
        let taps: Int
        let matrices: [MatrixState.Layout?]
        let keyValueFormat: KeyValueFormat

        static let none = Shape()

        private init() {
            (layers, keyValues, matrices) = ([], [], [])
            (keyValueHeadCount, headDim, mamba2, taps, keyValueFormat) = (0, 0, nil, 0, .f32)
        }

        init(_ configuration: HybridConfiguration, _ format: KeyValueFormat) {
            layers = configuration.layers
            keyValueHeadCount = configuration.keyValueHeadCount
            headDim = configuration.headDim
            keyValues = layers.map { KeyValueLayout($0, configuration) }
            mamba2 = configuration.has(.mamba2) ? configuration.mamba2Shape : nil
            taps = configuration.mamba2.convolutionTaps
            matrices = layers.map { kind in
                MatrixState.Layout(kind == .bmojo ? configuration.bmojo.mixer : kind, configuration)
            }
            keyValueFormat = format
        }

        /// For messages.
        var text: String {
            let states = mamba2.map { ", \($0.heads) SSM heads of \($0.headDim) x \($0.stateDim), \(taps) taps" } ?? ""
            return "\(layers.map(\.rawValue).joined()), \(keyValueHeadCount) heads for keys and values, "
                + "head dimension \(headDim)\(states)"
        }
    }

    /// - Parameters:
    ///   - own: the layers that are to have memory; nil for all.
    ///   - memory: where its bytes are counted and its pages taken; nil for nowhere.
    init(
        _ configuration: HybridConfiguration, keyValues format: KeyValueFormat, of own: Range<Int>? = nil,
        memory: CacheMemory? = nil
    ) {
        tokenCount = 0
        shape = Shape(configuration, format)
        layers = configuration.layers.enumerated().map { i, kind in
            own?.contains(i) ?? true ? QuantLayerCache(kind, configuration, format, memory) : QuantLayerCache()
        }
    }

    /// The place of a copy of a cache, whose layers have no memory yet.
    init(empty cache: QuantCache, tokenCount: Int) {
        self.tokenCount = tokenCount
        shape = cache.shape
        layers = cache.layers.map { _ in QuantLayerCache() }
    }

    /// What is left where a cache has been moved from.
    init(moved: ()) {
        tokenCount = 0
        shape = Shape.none
        layers = []
    }

    /// Layers of the model that made it; 0 where it has been moved from.
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
    public var byteCount: Int { layers.reduce(0) { $0 + $1.byteCount } }
}

/// The memory of one layer: keys and values, a state of some kind, or both.
struct QuantLayerCache: Sendable {
    var keyValues: KeyValuePages?
    /// Keys and values of the fading tokens of a B'MOJO-F layer.
    var fading: KeyValuePages?
    var scan: ScanState?
    /// Of Gated DeltaNet and Gated KalmaNet.
    var matrix: MatrixState?

    /// Of a layer that another rank has, and before a copy is made.
    init() {}

    init(
        _ kind: LayerKind, _ configuration: HybridConfiguration, _ format: KeyValueFormat, _ memory: CacheMemory? = nil
    ) {
        // A rank without heads keeps nothing.
        guard configuration.headCount > 0 else { return }
        if let layout = KeyValueLayout(kind, configuration) {
            let shape = dk_attention_shape(configuration, format, window: layout.window)
            keyValues = KeyValuePages(shape, memory)
            if layout.fadingWindow != nil { fading = KeyValuePages(shape, memory) }
        }
        let mixer = kind == .bmojo ? configuration.bmojo.mixer : kind
        if mixer == .mamba2 { scan = ScanState(configuration, account: memory?.account) }
        matrix = MatrixState.Layout(mixer, configuration).map { MatrixState($0, account: memory?.account) }
    }

    var byteCount: Int {
        (keyValues?.byteCount ?? 0) + (fading?.byteCount ?? 0) + (scan?.byteCount ?? 0) + (matrix?.byteCount ?? 0)
    }
}

/// Which keys and values a layer keeps.
package struct KeyValueLayout: Sendable, Equatable {
    /// The tokens that one sees, itself among them; nil for all.
    let window: Int?
    /// The same of fading tokens, in layers that have them.
    let fadingWindow: Int?

    /// Nil for a layer without keys.
    package init?(_ kind: LayerKind, _ configuration: HybridConfiguration) {
        switch kind {
        case .attention: (window, fadingWindow) = (nil, nil)
        case .slidingWindowAttention: (window, fadingWindow) = (configuration.slidingWindow, nil)
        case .bmojo: (window, fadingWindow) = (configuration.bmojo.window, 2 * configuration.bmojo.window)
        case .mamba2, .gatedDeltaNet, .gatedKalmaNet: return nil
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
