//  What a model costs: numbers and bytes of its weights by component, and of its caches by length.
//
//  One sequence of n tokens keeps, with La attention and Lm Mamba-2 layers:
//
//      keys and values        La * 2 * Hkv * P * n
//      SSM state              Lm * H * P * P           whatever n is
//      convolution window     Lm * (H + 2 Hkv) * P * (W - 1)

/// The weights of a model, counted by component.
public struct ModelInventory: Sendable, Equatable {
    public struct Part: Sendable, Equatable {
        public let component: WeightContract.Component
        public var tensors = 0
        public var parameters = 0
        public var bytes = 0
    }

    /// The components the model has, from the embedding to the head.
    public private(set) var parts: [Part]

    public var tensors: Int { parts.reduce(0) { $0 + $1.tensors } }
    public var parameters: Int { parts.reduce(0) { $0 + $1.parameters } }
    public var bytes: Int { parts.reduce(0) { $0 + $1.bytes } }

    /// Counts what the contract requires: bytes as `source` stores a tensor, and where there is none, in the configuration's
    /// number format (bfloat16 if it names none).
    public init(_ contract: WeightContract, source: (any TensorSource)? = nil) {
        let nominalBits = contract.configuration.nominalDType.bits
        parts = WeightContract.Component.allCases.map { component in
            var part = Part(component: component)
            for requirement in contract.requirements where requirement.component == component {
                part.tensors += 1
                part.parameters += requirement.count
                part.bytes += source?.find(requirement.name)?.byteCount ?? requirement.count * nominalBits / 8
            }
            return part
        }
        parts.removeAll { $0.tensors == 0 }
    }
}

extension HybridConfiguration {
    /// Counts of numbers that one sequence keeps while it is generated.
    public struct CacheSize: Sendable, Equatable {
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

    /// The caches of one sequence of `tokens` tokens, for models of attention and Mamba-2 layers.
    public func cacheSize(tokens: Int) -> CacheSize {
        let attention = layers.count { $0 == .attention }
        let mamba = layers.count { $0 == .mamba2 }
        return CacheSize(
            keysAndValues: attention * 2 * keyValueSize * tokens,
            state: mamba * innerSize * headDim,
            convolutionWindow: mamba * (innerSize + 2 * keyValueSize) * (mamba2.convolutionTaps - 1))
    }

    /// The format `dtype` names; bfloat16 where it names none of the contract's.
    public var nominalDType: DType {
        let formats: [String: DType] = ["bfloat16": .bf16, "float16": .f16, "float32": .f32, "float64": .f64]
        return dtype.flatMap { formats[$0] } ?? .bf16
    }
}
