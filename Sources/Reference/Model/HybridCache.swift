//  What a hybrid model remembers of the tokens it has read.
//
//  A cache is a value: copying it is a snapshot, assigning it back is a rollback, and it knows
//  exactly how many tokens it holds. Attention layers remember every key and value; Mamba-2 layers
//  remember a fixed amount, whatever the length:
//
//  | layer | what            | shape       | meaning                                                             |
//  |-------|-----------------|-------------|---------------------------------------------------------------------|
//  | *     | keys, values    | [T, D] x Hkv| after norm and rotation; T tokens                                   |
//  | M2    | window          | [W-1, C]    | the last inputs of the convolution (x, B, C after norm and rotation)|
//  | M2    | state           | [H, P, N]   | the SSM state                                                       |
//  | M2    | logDecay        | [H]         | sum over all tokens of dt A, in float64 whatever the model computes in |
//  | SWA   | keys, values    | [T, D] x Hkv| as attention's, of the last min(T, W - 1) tokens                    |
//  | GDN   | q, k, v windows | [W-1, C]    | the last inputs of the short convolutions                           |
//  | GDN   | state           | [H, D, D]   | keys by values                                                      |
//  | GKA   | q, k, v windows | [W-1, C]    | as GDN                                                              |
//  | GKA   | gram, memory    | [H, D, D]   | decayed sums of k kᵀ and of k vᵀ                                    |
//  | BMF   | keys, values    | [T, D] x Hkv| of the last W - 1 tokens, and of the last 2 W - 1 fading tokens     |
//  | BMF   | its mixer's     |             |                                                                     |

import DualityCore

/// The memory of one sequence, for all layers of a model.
public struct HybridCache<Scalar: RealNumber>: Sendable, Equatable {
    /// The position of the next token: how many have been read, unless the cache was composed of
    /// several.
    public internal(set) var tokenCount: Int
    /// One memory a layer, in the order of the model's layers.
    public internal(set) var layers: [LayerCache<Scalar>]

    /// The cache of an empty sequence.
    public init(_ configuration: HybridConfiguration) {
        tokenCount = 0
        layers = configuration.layers.map { LayerCache($0, configuration) }
    }

    /// The bytes held, in this cache's number format.
    public var byteCount: Int {
        layers.reduce(0) { $0 + $1.byteCount }
    }
}

/// The memory of one layer: keys and values, a state of some kind, or (in layers that have both)
/// the two of them.
public struct LayerCache<Scalar: RealNumber>: Sendable, Equatable {
    /// Of attention layers, and of the in-context tokens of a B'MOJO-F layer; nil in others.
    public internal(set) var keyValues: KeyValueCache<Scalar>?
    /// Of a Mamba-2 mixer, also inside a B'MOJO-F layer; nil without one.
    public internal(set) var scan: ScanCache<Scalar>?
    /// Of a Gated DeltaNet mixer, also inside a B'MOJO-F layer; nil without one.
    public internal(set) var deltaNet: DeltaNetCache<Scalar>?
    /// Of a Gated KalmaNet mixer, also inside a B'MOJO-F layer; nil without one.
    public internal(set) var kalmaNet: KalmaNetCache<Scalar>?
    /// Keys and values of the fading tokens of a B'MOJO-F layer.
    public internal(set) var fadingKeyValues: KeyValueCache<Scalar>?

    init(_ kind: LayerKind, _ configuration: HybridConfiguration) {
        func keysAndValues(limit: Int?) -> KeyValueCache<Scalar> {
            KeyValueCache(heads: configuration.keyValueHeadCount, headDim: configuration.headDim, limit: limit)
        }
        var mixer = kind
        switch kind {
        case .attention: keyValues = keysAndValues(limit: nil)
        case .slidingWindowAttention: keyValues = keysAndValues(limit: configuration.slidingWindow.map { $0 - 1 })
        case .bmojo:
            keyValues = keysAndValues(limit: configuration.bmojo.window - 1)
            fadingKeyValues = keysAndValues(limit: 2 * configuration.bmojo.window - 1)
            mixer = configuration.bmojo.mixer
        case .mamba2, .gatedDeltaNet, .gatedKalmaNet: break
        }
        switch mixer {
        case .mamba2: scan = ScanCache(configuration)
        case .gatedDeltaNet: deltaNet = DeltaNetCache(configuration)
        case .gatedKalmaNet: kalmaNet = KalmaNetCache(configuration)
        case .attention, .slidingWindowAttention, .bmojo: break
        }
    }

    init(keyValues: KeyValueCache<Scalar>?, scan: ScanCache<Scalar>?) {
        self.keyValues = keyValues
        self.scan = scan
    }

    var byteCount: Int {
        var numbers = 0
        for cache in [keyValues, fadingKeyValues].compactMap({ $0 }) {
            numbers += 2 * cache.count * cache.headDim * cache.keys.count
        }
        for tensor in fixedTensors { numbers += tensor.tensor.count }
        let logDecays = (scan?.logDecay.count ?? 0) + (kalmaNet?.logDecay.count ?? 0)
        return numbers * MemoryLayout<Scalar>.stride + logDecays * MemoryLayout<Double>.stride
    }
}

/// Keys and values of one attention layer, one matrix a head.
public struct KeyValueCache<Scalar: RealNumber>: Sendable, Equatable {
    /// D, the width of a key and of a value.
    public let headDim: Int
    /// The most tokens kept between two calls; nil for all.
    public let limit: Int?
    /// `[T, D]` for each of the Hkv heads.
    public internal(set) var keys: [Tensor<Scalar>]
    /// `[T, D]` for each of the Hkv heads.
    public internal(set) var values: [Tensor<Scalar>]

    /// A cache without tokens.
    ///
    /// - Precondition: at least one head.
    public init(heads: Int, headDim: Int, limit: Int? = nil) {
        self.headDim = headDim
        self.limit = limit
        keys = Array(repeating: Tensor(repeating: 0, shape: [0, headDim]), count: heads)
        values = keys
    }

    /// T, the tokens held.
    public var count: Int { keys[0].shape[0] }

    /// Appends the keys and values of L tokens, `[L, Hkv D]` each.
    mutating func append(keys newKeys: Tensor<Scalar>, values newValues: Tensor<Scalar>) {
        for head in keys.indices {
            keys[head].appendRows(columns: head * headDim..<(head + 1) * headDim, of: newKeys)
            values[head].appendRows(columns: head * headDim..<(head + 1) * headDim, of: newValues)
        }
    }

    /// Forgets the oldest tokens beyond the limit.
    mutating func trim() {
        guard let limit, count > limit else { return }
        remove(0..<count - limit)
    }

    /// Forgets tokens; those after them move up.
    mutating func remove(_ tokens: Range<Int>) {
        guard !tokens.isEmpty else { return }
        for head in keys.indices {
            keys[head].removeRows(tokens)
            values[head].removeRows(tokens)
        }
    }
}

/// The fixed-size memory of one Mamba-2 layer.
public struct ScanCache<Scalar: RealNumber>: Sendable, Equatable {
    /// `[W-1, C]`, oldest first.
    public internal(set) var window: Tensor<Scalar>
    /// `[H, P, N]`.
    public internal(set) var state: Tensor<Scalar>
    /// `[H]`: the log of the factor by which the state before the first token has been multiplied
    /// since.
    public internal(set) var logDecay: [Double]

    init(_ configuration: HybridConfiguration) {
        let shape = configuration.mamba2Shape
        window = Tensor(repeating: 0, shape: [configuration.mamba2.convolutionTaps - 1, shape.channels])
        state = Tensor(repeating: 0, shape: [shape.heads, shape.headDim, shape.stateDim])
        logDecay = Array(repeating: 0, count: shape.heads)
    }

    init(window: Tensor<Scalar>, state: Tensor<Scalar>, logDecay: [Double]) {
        self.window = window
        self.state = state
        self.logDecay = logDecay
    }
}

extension HybridCache {
    /// Whether the cache has the layers and shapes that a model of this configuration makes.
    func fits(_ configuration: HybridConfiguration) -> Bool {
        layers.count == configuration.layers.count
            && zip(layers, configuration.layers).allSatisfy { layer, kind in
                var fresh = LayerCache<Scalar>(kind, configuration)
                if layer.deltaNet?.transition != nil { fresh.trackTransitions() }
                return layer.keyValues.fits(fresh.keyValues) && layer.fadingKeyValues.fits(fresh.fadingKeyValues)
                    && layer.fixedTensors.map(\.name) == fresh.fixedTensors.map(\.name)
                    && layer.fixedTensors.map(\.tensor.shape) == fresh.fixedTensors.map(\.tensor.shape)
            }
    }
}

extension Optional {
    fileprivate func fits<Scalar>(_ fresh: Self) -> Bool where Wrapped == KeyValueCache<Scalar> {
        self?.headDim == fresh?.headDim && self?.keys.count == fresh?.keys.count && self?.limit == fresh?.limit
    }
}
