//  One configuration in every kind of layer, and what was published about them.
//
//      dense     every layer attention
//      a kind    attention stays where the configuration has it (every other layer, from the first, where it has nothing else), the
//                other layers become that kind
//
//  Published ratios: awslabs/hybrid-model-factory, docs/Inference.md at commit 04b6242: 8B models
//  with half of their layers replaced, vLLM on 8 H200, tensor parallel; decoding with the cache
//  memory full (tokens per second against Qwen3-8B), and the mean time to the first token at the
//  batch that fills Qwen3-8B's cache (against its; below 1 is faster).

import DualityCore

/// One member of the family.
public struct FamilyMember: Sendable {
    public let name: String
    /// Nil for the dense base model.
    public let kind: LayerKind?
    public let cost: ModelCost

    /// The dense model and a hybrid of each kind.
    ///
    /// - Parameters:
    ///   - base: sizes, and where attention stays.
    ///   - window: of SWA and B'MOJO-F layers where the base has none.
    /// - Throws: `InputError` (`.unsupported`) for a plain Mamba-2 model, which has no attention to
    ///   replace.
    public static func all(of base: HybridConfiguration, window: Int = 2048) throws(InputError) -> [FamilyMember] {
        guard base.plainMamba2 == nil else {
            throw InputError(
                .unsupported, in: "configuration", expected: "a model with attention heads",
                found: "a plain Mamba-2 model")
        }
        func member(_ name: String, _ kind: LayerKind?) throws(InputError) -> FamilyMember {
            var configuration = base
            let isDense = base.layers.allSatisfy { $0 == .attention }
            configuration.layers = base.layers.enumerated().map { i, old in
                guard let kind else { return .attention }
                return isDense ? (i % 2 == 0 ? .attention : kind) : (old == .attention ? .attention : kind)
            }
            if base.slidingWindow == nil { configuration.slidingWindow = window }
            if !base.layers.contains(.bmojo) {
                configuration.bmojo.window = window
                configuration.bmojo.mixer = .gatedKalmaNet
            }
            return FamilyMember(name: name, kind: kind, cost: try ModelCost(configuration))
        }
        return [
            try member("dense", nil), try member("Mamba-2", .mamba2), try member("Gated DeltaNet", .gatedDeltaNet),
            try member("Gated KalmaNet", .gatedKalmaNet), try member("B'MOJO-F", .bmojo),
            try member("sliding window", .slidingWindowAttention),
        ]
    }

    /// The released 8B shape, half attention.
    public static let released = HybridConfiguration(
        vocabularySize: 151_936, hiddenSize: 4096, intermediateSize: 12288,
        layers: (0..<36).map { $0 % 2 == 0 ? .attention : .mamba2 }, headCount: 32, keyValueHeadCount: 8, headDim: 128,
        maxPositions: 131_072, rope: RopeParameters(theta: 5e6), dtype: "bfloat16")

    /// Published ratios against the dense model by tokens of context.
    public struct Published: Sendable {
        /// Tokens a second with the cache memory full.
        public let decode: [Int: Double]
        /// Time to the first token; below 1 is faster.
        public let firstToken: [Int: Double]
    }

    /// What was published of the 8B member of a kind.
    public static func published(_ kind: LayerKind?) -> Published? {
        func row(_ decode: [Double], _ firstToken: [Double]) -> Published {
            let lengths = [16384, 32768, 65536, 131_072]
            return Published(
                decode: Dictionary(uniqueKeysWithValues: zip(lengths, decode)),
                firstToken: Dictionary(uniqueKeysWithValues: zip(lengths, firstToken)))
        }
        switch kind {
        case .mamba2: return row([1.88, 1.93, 1.99, 2.30], [1.03, 0.96, 0.86, 0.74])
        case .gatedDeltaNet: return row([1.95, 1.95, 2.01, 2.33], [1.00, 0.95, 0.85, 0.74])
        case .gatedKalmaNet: return row([1.78, 1.77, 1.89, 2.23], [1.26, 1.18, 1.06, 0.85])
        case .bmojo: return row([0.88, 1.08, 1.30, 1.75], [1.61, 1.46, 1.23, 0.98])
        default: return nil
        }
    }
}
