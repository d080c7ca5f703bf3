//  What a model costs: numbers and bytes of its weights by component, and of its caches by length.
//
//  One sequence of n tokens keeps, in every layer of a kind:
//
//  |            | keys and values             | state, whatever n is | convolution window       |
//  |------------|-----------------------------|----------------------|--------------------------|
//  | *          | 2 Hkv P n                   |                      |                          |
//  | SWA        | 2 Hkv P min(n, W - 1)       |                      |                          |
//  | M2         |                             | H P N                | (Hx P + (Hb + Hc) N) (W - 1) |
//  | GDN        |                             | H P P                | (H + 2 Hkv) P (W - 1)    |
//  | GKA        |                             | 2 H P P              | (H + 2 Hkv) P (W - 1)    |
//  | BMF        | 2 Hkv P (min(n, W - 1) + min(n, 2 W - 1)) | its mixer's | its mixer's         |

/// The weights of a model, counted by component.
public struct ModelInventory: Sendable, Equatable {
    /// What the tensors of one component add up to.
    public struct Part: Sendable, Equatable {
        /// The component that is counted, all layers together.
        public let component: WeightContract.Component
        /// Required tensors.
        public var tensors = 0
        /// Elements of these tensors.
        public var parameters = 0
        /// Bytes of these elements as stored, or in the configuration's format where they are not.
        public var bytes = 0
    }

    /// The components the model has, from the embedding to the head.
    public private(set) var parts: [Part]

    /// Required tensors of the whole model.
    public var tensors: Int { parts.reduce(0) { $0 + $1.tensors } }
    /// Elements of the whole model; the embedding and a head tied to it count once.
    public var parameters: Int { parts.reduce(0) { $0 + $1.parameters } }
    /// Bytes of the weights of the whole model.
    public var bytes: Int { parts.reduce(0) { $0 + $1.bytes } }

    /// Counts what the contract requires: bytes as `source` stores a tensor, and where there is
    /// none, in the configuration's number format (bfloat16 if it names none).
    public init(_ contract: WeightContract, source: (any TensorSource)? = nil) {
        self.init(contract) { source?.find($0.name)?.byteCount }
    }

    /// Counts what the contract requires.
    ///
    /// - Parameter byteCount: the bytes of a tensor where it is stored; nil where it is not, for
    ///   those of the configuration's number format.
    public init(_ contract: WeightContract, byteCount: (WeightContract.Requirement) -> Int?) {
        let nominalBits = contract.configuration.nominalDType.bits
        parts = WeightContract.Component.allCases.map { component in
            var part = Part(component: component)
            for requirement in contract.requirements where requirement.component == component {
                part.tensors += 1
                part.parameters += requirement.count
                part.bytes += byteCount(requirement) ?? requirement.count * nominalBits / 8
            }
            return part
        }
        parts.removeAll { $0.tensors == 0 }
    }
}

extension HybridConfiguration {
    /// Counts of numbers that one sequence keeps while it is generated.
    public struct CacheSize: Sendable, Equatable {
        /// In the format of the cache, whose bits `bytes(keyValueBits:)` asks for.
        public let keysAndValues: Int
        /// Always float32.
        public let state: Int
        /// Always float32.
        public let convolutionWindow: Int

        /// All bytes, with keys and values in a format of `bits` bits.
        public func bytes(keyValueBits bits: Int) -> Int {
            keysAndValues * bits / 8 + 4 * (state + convolutionWindow)
        }
    }

    /// The caches of one sequence of `tokens` tokens.
    public func cacheSize(tokens: Int) -> CacheSize {
        let sizes = layers.map { cacheSize(of: $0, tokens: tokens) }
        return CacheSize(
            keysAndValues: sizes.reduce(0) { $0 + $1.keysAndValues }, state: sizes.reduce(0) { $0 + $1.state },
            convolutionWindow: sizes.reduce(0) { $0 + $1.convolutionWindow })
    }

    /// The cache of one layer.
    public func cacheSize(of kind: LayerKind, tokens: Int) -> CacheSize {
        let (perToken, square) = (2 * keyValueSize, innerSize * headDim)
        func window(_ taps: Int, _ channels: Int) -> Int { channels * (taps - 1) }
        switch kind {
        case .attention:
            return CacheSize(keysAndValues: perToken * tokens, state: 0, convolutionWindow: 0)
        case .slidingWindowAttention:
            let kept = min(tokens, (slidingWindow ?? tokens + 1) - 1)
            return CacheSize(keysAndValues: perToken * kept, state: 0, convolutionWindow: 0)
        case .mamba2:
            let shape = mamba2Shape
            return CacheSize(
                keysAndValues: 0, state: shape.innerSize * shape.stateDim,
                convolutionWindow: window(mamba2.convolutionTaps, shape.channels))
        case .gatedDeltaNet:
            let channels = gatedDeltaNet.usesConvolution ? innerSize + 2 * keyValueSize : 0
            return CacheSize(
                keysAndValues: 0, state: square,
                convolutionWindow: window(gatedDeltaNet.convolutionTaps, channels))
        case .gatedKalmaNet:
            let channels = innerSize + (gatedKalmaNet.convolvesValues ? 2 : 1) * keyValueSize
            return CacheSize(
                keysAndValues: 0, state: 2 * square,
                convolutionWindow: window(gatedKalmaNet.convolutionTaps, channels))
        case .bmojo:
            let mixer = cacheSize(of: bmojo.mixer, tokens: tokens)
            let kept = min(tokens, bmojo.window - 1) + min(tokens, 2 * bmojo.window - 1)
            return CacheSize(
                keysAndValues: perToken * kept, state: mixer.state, convolutionWindow: mixer.convolutionWindow)
        }
    }

    /// The format `dtype` names; bfloat16 where it names none of the contract's.
    public var nominalDType: DType {
        let formats: [String: DType] = ["bfloat16": .bf16, "float16": .f16, "float32": .f32, "float64": .f64]
        return dtype.flatMap { formats[$0] } ?? .bf16
    }
}
