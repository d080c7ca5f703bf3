//  What a hybrid Attention + Mamba-2 model is made of: the checked contents of a checkpoint's
//  config.json.
//
//  Source: awslabs/hybrid-model-factory, configuration_hybrid_qwen3.py (model_type "hybrid_qwen3").

/// The kind of a decoder layer's mixer, as one symbol of `hybrid_override_pattern`.
public enum LayerKind: String, Sendable, CaseIterable, Codable {
    /// Grouped-query attention.
    case attention = "*"
    /// Mamba-2, the state space dual scan.
    case mamba2 = "M2"
    /// Gated DeltaNet: the delta rule with a decay.
    case gatedDeltaNet = "GDN"
    /// Gated KalmaNet: a ridge regression per token, solved by Chebyshev iteration.
    case gatedKalmaNet = "GKA"
    /// B'MOJO-F: a window of attention beside the tokens that an inner mixer keeps.
    case bmojo = "BMF"
    /// Grouped-query attention within a sliding window.
    case slidingWindowAttention = "SWA"

    /// The attribute that holds the mixer in tensor names, `model.layers.0.<attribute>.…`.
    public var attribute: String {
        switch self {
        case .attention: "self_attn"
        case .mamba2: "mamba"
        case .gatedDeltaNet: "gdn"
        case .gatedKalmaNet: "gka"
        case .bmojo: "bmojo_f"
        case .slidingWindowAttention: "swa"
        }
    }
}

/// The shape and constants of a hybrid model.
public struct HybridConfiguration: Sendable, Equatable {
    /// V, rows of embedding and head: `vocab_size`, which files of mamba_ssm round up.
    public var vocabularySize: Int
    /// Width of the residual stream.
    public var hiddenSize: Int
    /// Width of the MLP between its projections.
    public var intermediateSize: Int
    /// One symbol a layer.
    public var layers: [LayerKind]
    /// Query heads of attention and SSM heads of Mamba-2, H.
    public var headCount: Int
    /// Key/value heads of attention and x/B heads of Mamba-2; divides `headCount`.
    public var keyValueHeadCount: Int
    /// P = N in Mamba-2; need not be `hiddenSize / headCount`.
    public var headDim: Int
    /// The reported longest context.
    public var maxPositions: Int
    /// Of the norms of layers and attention (`rms_norm_eps`); other mixers have their own.
    public var normEpsilon: Double
    /// Whether the head is the embedding itself (`tie_word_embeddings`).
    public var tiedEmbeddings: Bool
    /// Whether q, k, v and o carry a bias.
    public var attentionBias: Bool
    /// Base and scaling of RoPE: `rope_parameters`, or `rope_theta` and `rope_scaling`.
    public var rope: RopeParameters
    /// `mamba2_config`; in plain Mamba-2 models the keys of their own that say the same.
    public var mamba2: Mamba2Parameters
    /// `gdn_config`; the defaults where there is none.
    public var gatedDeltaNet = GatedDeltaNetParameters()
    /// `gka_config` with `gka_overrides` over it; the defaults where there are none.
    public var gatedKalmaNet = GatedKalmaNetParameters()
    /// `bmojo_config`; the defaults where there is none.
    public var bmojo = BMojoParameters()
    /// W of sliding-window attention: a token sees itself and the W - 1 tokens before it. Nil in
    /// models without such layers.
    public var slidingWindow: Int?
    /// Set in plain Mamba-2 language models, whose layers are a mixer behind one norm and nothing
    /// else.
    public var plainMamba2: PlainMamba2Parameters?
    /// `dtype` of the checkpoint as written in config.json ("bfloat16").
    public var dtype: String?
    /// `bos_token_id`, the first where it is a list; nil where there is none in the vocabulary.
    public var beginToken: Int?
    /// `eos_token_id`, one or several; those outside the vocabulary are left out.
    public var endTokens: [Int]
    /// `pad_token_id`, the first where it is a list; nil where there is none in the vocabulary.
    public var padToken: Int?
    /// How the weights are quantized, as config.json says: method and bits; nil for plain numbers.
    public var quantization: String?
    /// The context that somebody asked for, whatever the configuration says.
    public var contextOverride: Int?
    /// Peculiarities of the file worth telling a person, a sentence each.
    public var warnings: [String] = []

    /// A configuration made in code; `init(json:)` is the one that checks.
    public init(
        vocabularySize: Int, hiddenSize: Int, intermediateSize: Int, layers: [LayerKind], headCount: Int,
        keyValueHeadCount: Int, headDim: Int, maxPositions: Int = 32768, normEpsilon: Double = 1e-6,
        tiedEmbeddings: Bool = false, attentionBias: Bool = false, rope: RopeParameters = RopeParameters(),
        mamba2: Mamba2Parameters = Mamba2Parameters(), dtype: String? = nil, beginToken: Int? = nil,
        endTokens: [Int] = [], padToken: Int? = nil
    ) {
        self.vocabularySize = vocabularySize
        self.hiddenSize = hiddenSize
        self.intermediateSize = intermediateSize
        self.layers = layers
        self.headCount = headCount
        self.keyValueHeadCount = keyValueHeadCount
        self.headDim = headDim
        self.maxPositions = maxPositions
        self.normEpsilon = normEpsilon
        self.tiedEmbeddings = tiedEmbeddings
        self.attentionBias = attentionBias
        self.rope = rope
        self.mamba2 = mamba2
        self.dtype = dtype
        self.beginToken = beginToken
        self.endTokens = endTokens
        self.padToken = padToken
    }

    /// The most tokens a sequence may have: what was asked for, or else the larger of
    /// `maxPositions` and the length that the scaling of RoPE stretches the original one to.
    public var contextLength: Int { contextOverride ?? configuredContextLength }

    /// The most tokens a sequence may have by the configuration.
    public var configuredContextLength: Int {
        func stretched(_ positions: Int, _ factor: Double) -> Int { Int(min(Double(positions) * factor, 1e9)) }
        switch rope.scaling {
        case .none, .linear: return maxPositions
        case .dynamic(let factor): return max(maxPositions, stretched(maxPositions, factor))
        case .yarn(let yarn): return max(maxPositions, stretched(yarn.originalMaxPositions, yarn.factor))
        case .llama3(let factor, _, _, let original): return max(maxPositions, stretched(original, factor))
        }
    }
    /// Query heads that share one key/value head.
    public var headsPerKeyValueHead: Int { headCount / keyValueHeadCount }
    /// Width of q, C, z and y: H * P.
    public var innerSize: Int { headCount * headDim }
    /// Width of k, v, x and B.
    public var keyValueSize: Int { keyValueHeadCount * headDim }
}

/// Options of the Mamba-2 layers (`mamba2_config`).
public struct Mamba2Parameters: Sendable, Equatable {
    /// RMSNorm on each head of B and C before the convolution.
    public var normalizesBC = true
    /// RoPE on B and C before the convolution.
    public var rotatesBC = false
    /// Taps of the depthwise convolution, W.
    public var convolutionTaps = 4
    /// Q of the chunked form.
    public var chunkSize = 256
    /// A bias on the depthwise convolution of x, B and C (`use_conv_bias`).
    public var convolutionBias = true
    /// A bias on in_proj and out_proj.
    public var projectionBias = false
    /// Fixed in the official code, whatever `rms_norm_eps` says.
    public var bcNormEpsilon = 1e-6
    /// Fixed in the official code, whatever `rms_norm_eps` says.
    public var gatedNormEpsilon = 1e-5

    public init() {}
}

/// Rotary position embedding: the base and, for stretched contexts, how its frequencies are
/// changed.
public struct RopeParameters: Sendable, Equatable {
    /// How a longer context changes the frequencies (`rope_type`); `factor` is its stretch.
    public enum Scaling: Sendable, Equatable {
        /// Frequencies as trained.
        case none
        /// All positions divided by `factor`.
        case linear(factor: Double)
        /// A larger base from the original context on (NTK-aware), by the length read.
        case dynamic(factor: Double)
        /// YaRN: fast pairs stay, slow ones are slowed.
        case yarn(Yarn)
        /// Llama 3: slow pairs are slowed `factor` times, fast ones stay, those between are
        /// blended.
        case llama3(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalMaxPositions: Int)
    }

    /// YaRN (arXiv 2309.00071): fast pairs stay, slow ones are slowed, a ramp joins them.
    public struct Yarn: Sendable, Equatable {
        /// Slow pairs turn this many times slower, for a context as many times longer.
        public var factor: Double
        /// Tokens of the context before it was stretched (`original_max_position_embeddings`).
        public var originalMaxPositions: Int
        /// Turns within the original context from which on a pair stays as it is (`beta_fast`).
        public var betaFast = 32.0
        /// Turns within the original context below which a pair is slowed in full (`beta_slow`).
        public var betaSlow = 1.0
        /// Whether the ends of the ramp are moved outward to whole pairs (`truncate`).
        public var truncate = true
        /// What cosines and sines are multiplied with (`attention_factor`); nil to derive it.
        public var attentionFactor: Double?
        /// m in the scale (0.1 m ln factor + 1) / (0.1 a ln factor + 1) of cosines and sines.
        public var mscale: Double?
        /// a of that scale (`mscale_all_dim`); unless both are given and not 0, m is 1 and a is 0.
        public var mscaleAllDim: Double?

        /// The defaults of transformers for everything else; the numbers are not checked.
        public init(factor: Double, originalMaxPositions: Int) {
            self.factor = factor
            self.originalMaxPositions = originalMaxPositions
        }
    }

    /// The base: pair i of D/2 turns by theta^(-2i/D) radians per token, unscaled.
    public var theta: Double
    /// What changes the frequencies; `.none` in models that were not stretched.
    public var scaling: Scaling

    /// Takes the numbers unchecked; 10000 is the base of configurations that name none.
    public init(theta: Double = 10000, scaling: Scaling = .none) {
        self.theta = theta
        self.scaling = scaling
    }
}
