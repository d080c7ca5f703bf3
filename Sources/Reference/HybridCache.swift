//  What a hybrid model remembers of the tokens it has read.
//
//  A cache is a value: copying it is a snapshot, assigning it back is a rollback, and it knows exactly how many tokens it
//  holds. Attention layers remember every key and value; Mamba-2 layers remember a fixed amount, whatever the length:
//
//  | layer | what            | shape       | meaning                                                             |
//  |-------|-----------------|-------------|---------------------------------------------------------------------|
//  | *     | keys, values    | [T, D] x Hkv| after norm and rotation; T tokens                                   |
//  | M2    | window          | [W-1, C]    | the last inputs of the convolution (x, B, C after norm and rotation)|
//  | M2    | state           | [H, P, N]   | the SSM state                                                       |
//  | M2    | logDecay        | [H]         | sum over all tokens of dt A, in float64 whatever the model computes in |

import DualityCore

/// The memory of one sequence, for all layers of a model.
public struct HybridCache<Scalar: RealNumber>: Sendable, Equatable {
    /// Tokens read so far; the next one has this position.
    public internal(set) var tokenCount: Int
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

/// The memory of one layer: keys and values, a scan state, or (in layers that have both) the two of them.
public struct LayerCache<Scalar: RealNumber>: Sendable, Equatable {
    public internal(set) var keyValues: KeyValueCache<Scalar>?
    public internal(set) var scan: ScanCache<Scalar>?

    init(_ kind: LayerKind, _ configuration: HybridConfiguration) {
        switch kind {
        case .mamba2: scan = ScanCache(configuration)
        default:
            keyValues = KeyValueCache(heads: configuration.keyValueHeadCount, headDim: configuration.headDim)
        }
    }

    init(keyValues: KeyValueCache<Scalar>?, scan: ScanCache<Scalar>?) {
        self.keyValues = keyValues
        self.scan = scan
    }

    var byteCount: Int {
        var numbers = 0
        if let keyValues { numbers += 2 * keyValues.count * keyValues.headDim * keyValues.keys.count }
        if let scan { numbers += scan.window.count + scan.state.count }
        return numbers * MemoryLayout<Scalar>.stride + (scan?.logDecay.count ?? 0) * MemoryLayout<Double>.stride
    }
}

/// Keys and values of one attention layer, one matrix a head.
public struct KeyValueCache<Scalar: RealNumber>: Sendable, Equatable {
    public let headDim: Int
    /// `[T, D]` for each of the Hkv heads.
    public internal(set) var keys: [Tensor<Scalar>]
    /// `[T, D]` for each of the Hkv heads.
    public internal(set) var values: [Tensor<Scalar>]

    public init(heads: Int, headDim: Int) {
        self.headDim = headDim
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
}

/// The fixed-size memory of one Mamba-2 layer.
public struct ScanCache<Scalar: RealNumber>: Sendable, Equatable {
    /// `[W-1, C]`, oldest first.
    public internal(set) var window: Tensor<Scalar>
    /// `[H, P, N]`.
    public internal(set) var state: Tensor<Scalar>
    /// `[H]`: the log of the factor by which the state before the first token has been multiplied since.
    public internal(set) var logDecay: [Double]

    init(_ configuration: HybridConfiguration) {
        let (heads, headDim) = (configuration.headCount, configuration.headDim)
        let channels = configuration.innerSize + 2 * configuration.keyValueSize
        window = Tensor(repeating: 0, shape: [configuration.mamba2.convolutionTaps - 1, channels])
        state = Tensor(repeating: 0, shape: [heads, headDim, headDim])
        logDecay = Array(repeating: 0, count: heads)
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
                let fresh = LayerCache<Scalar>(kind, configuration)
                return layer.keyValues?.headDim == fresh.keyValues?.headDim
                    && layer.keyValues?.keys.count == fresh.keyValues?.keys.count
                    && layer.scan?.window.shape == fresh.scan?.window.shape
                    && layer.scan?.state.shape == fresh.scan?.state.shape
            }
    }
}
