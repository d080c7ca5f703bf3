//  Options of the layers beside attention and Mamba-2, as their `*_config` objects in config.json
//  give them.
//
//  Head counts and widths are not among them: as in the official code, every mixer has those of the
//  model's attention.
//
//  Source: awslabs/hybrid-model-factory, layers/gated_deltanet/gdn_config.py,
//  layers/gated_kalmanet/gka_config.py, layers/bmojo_f/bmojo_config.py.

/// Options of the Gated DeltaNet layers (`gdn_config`).
public struct GatedDeltaNetParameters: Sendable, Equatable {
    /// An output gate, `silu(g_proj u)`.
    public var usesGate = true
    /// Short convolutions on q, k and v; without them only their activation is left.
    public var usesConvolution = true
    /// Doubles beta, so that the transition can reflect as well as project.
    public var allowsNegativeEigenvalues = false
    /// Taps of the short convolutions, W.
    public var convolutionTaps = 4
    /// A bias in each of the short convolutions (`conv_bias`).
    public var convolutionBias = false
    /// Of the output norm.
    public var normEpsilon = 1e-5
    /// How heads of k and v become as many as those of q.
    public var expansion = HeadExpansionParameters()

    public init() {}
}

/// Options of the Gated KalmaNet layers (`gka_config`, with `gka_overrides` over it).
public struct GatedKalmaNetParameters: Sendable, Equatable {
    /// Mixes the solution with the plain query by a learned gate; without it the solution alone is
    /// used.
    public var usesAlpha = true
    /// A short convolution and its activation on v (q and k always have theirs).
    public var convolvesValues = true
    /// Decay of the key/value memory.
    public var decays = true
    /// Decay of the Gram matrix of the keys as well.
    public var decaysGram = true
    /// Divides the output by the root of the head width.
    public var rescales = true
    /// An output gate, `silu(g_proj u)`.
    public var usesGate = true
    /// Scales keys and values by a learned gate.
    public var usesBeta = true
    /// Chebyshev iterations after the first step; 0 leaves plain gated linear attention.
    public var iterations = 30
    /// The ridge, relative to the Frobenius norm of the Gram matrix.
    public var ridge = 0.02
    /// Taps of the short convolutions, W (`conv_size`).
    public var convolutionTaps = 4
    /// Of the output norm.
    public var normEpsilon = 1e-6
    /// Q of the chunked form.
    public var chunkSize = 64
    /// How heads of k and v become as many as those of q.
    public var expansion = HeadExpansionParameters()

    public init() {}
}

/// How key/value heads become as many as there are query heads.
public struct HeadExpansionParameters: Sendable, Equatable {
    /// Rank of the correction that is added to the repeated heads (`kv_proj_rank`); nil for none.
    public var rank: Int?
    /// Whether the repetition is a learned mixture (`kv_learnable_residual`; means nothing without
    /// a rank).
    public var learnsResidual = false

    public init() {}
}

/// Options of the B'MOJO-F layers (`bmojo_config`).
public struct BMojoParameters: Sendable, Equatable {
    /// W: in-context tokens are the last W, fading tokens the W before them.
    public var window = 2048
    /// Whether fading tokens share the projections of in-context tokens.
    public var tiesAttention = true
    /// The mixer that makes fading tokens: Mamba-2, Gated DeltaNet or Gated KalmaNet.
    public var mixer = LayerKind.mamba2

    public init() {}
}

/// What a plain Mamba-2 language model has that a hybrid one derives from its attention heads.
public struct PlainMamba2Parameters: Sendable, Equatable {
    /// N.
    public var stateDim: Int
    /// G, heads of B and C.
    public var groups: Int
    /// Channels that the gated norm normalises together: the whole width in transformers, a group's
    /// share in mamba_ssm.
    public var gatedNormGroup: Int
    /// What the step is clamped to.
    public var stepLimit: ClosedRange<Double>

    /// Takes the numbers unchecked; without a `stepLimit` no step is clamped.
    public init(stateDim: Int, groups: Int, gatedNormGroup: Int, stepLimit: ClosedRange<Double> = 0...Double.infinity) {
        self.stateDim = stateDim
        self.groups = groups
        self.gatedNormGroup = gatedNormGroup
        self.stepLimit = stepLimit
    }
}

/// The head counts and widths of a Mamba-2 mixer.
///
/// | part of in_proj | width  | hybrid models | plain models |
/// |-----------------|--------|---------------|--------------|
/// | z               | H P    |               |              |
/// | x               | Hx P   | Hx = Hkv      | Hx = H       |
/// | B               | Hb N   | Hb = Hkv      | Hb = G       |
/// | C               | Hc N   | Hc = H        | Hc = G       |
/// | dt              | H      |               |              |
public struct Mamba2Shape: Sendable, Equatable {
    /// H.
    public var heads: Int
    /// P.
    public var headDim: Int
    /// N.
    public var stateDim: Int
    /// Hx: the key/value heads in hybrid models, H in plain ones.
    public var xHeads: Int
    /// Hb: the key/value heads in hybrid models, G in plain ones.
    public var bHeads: Int
    /// Hc: H in hybrid models, G in plain ones.
    public var cHeads: Int

    /// Takes the numbers unchecked; `HybridConfiguration.mamba2Shape` derives them.
    public init(heads: Int, headDim: Int, stateDim: Int, xHeads: Int, bHeads: Int, cHeads: Int) {
        self.heads = heads
        self.headDim = headDim
        self.stateDim = stateDim
        self.xHeads = xHeads
        self.bHeads = bHeads
        self.cHeads = cHeads
    }

    /// Of z and y.
    public var innerSize: Int { heads * headDim }
    /// Width of x, Hx P.
    public var xSize: Int { xHeads * headDim }
    /// Width of B, Hb N.
    public var bSize: Int { bHeads * stateDim }
    /// Width of C, Hc N.
    public var cSize: Int { cHeads * stateDim }
    /// Of x, B and C together: what is convolved.
    public var channels: Int { xSize + bSize + cSize }
    /// Of the input projection.
    public var projectedSize: Int { innerSize + channels + heads }
}

extension HybridConfiguration {
    /// The shape of the Mamba-2 layers.
    public var mamba2Shape: Mamba2Shape {
        if let plain = plainMamba2 {
            return Mamba2Shape(
                heads: headCount, headDim: headDim, stateDim: plain.stateDim, xHeads: headCount, bHeads: plain.groups,
                cHeads: plain.groups)
        }
        return Mamba2Shape(
            heads: headCount, headDim: headDim, stateDim: headDim, xHeads: keyValueHeadCount,
            bHeads: keyValueHeadCount, cHeads: headCount)
    }
}
