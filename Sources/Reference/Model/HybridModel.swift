//  The whole model: tokens and a cache in, logits out.
//
//      h = embedding[ids]
//      h = layer_i(h)                         for every layer
//      logits = W_head rms(h; norm)           W_head is the embedding itself in tied models
//
//  There is one primitive, *extend the cache by k tokens*, k >= 1. Reading a prompt is k = n on an
//  empty cache, decoding is k = 1, and everything between (a prompt in pieces, a shared prefix) is
//  the same call.
//
//  Source: HybridQwen3ForCausalLM of awslabs/hybrid-model-factory, modeling_hybrid_qwen3.py.

import DualityCore

/// A language model of the family in one number format: hybrids of attention and state space
/// layers, or plain Mamba-2.
public struct HybridModel<Scalar: RealNumber>: Sendable {
    /// Shapes, kinds of layers and constants of the model.
    public let configuration: HybridConfiguration
    /// `[V, Dm]`.
    public let embedding: Tensor<Scalar>
    /// The decoder layers, from the embedding upwards.
    public internal(set) var layers: [DecoderLayer<Scalar>]
    /// The norm in front of the head.
    public let norm: RMSNorm<Scalar>
    /// W_head, `[V, Dm]`; the embedding itself in tied models.
    public let head: Linear<Scalar>
    /// The rotary embedding, the same for all layers.
    public let rope: RotaryEmbedding<Scalar>
    /// Extending a cache beyond this many tokens is refused; the configuration's `contextLength`
    /// unless changed. Nil lifts it.
    public var contextLimit: Int?

    /// Which rows of logits a caller wants: the head is the widest product of the model, and
    /// prefill needs one row.
    public enum LogitRows: Sendable {
        /// All rows, the last one, or none.
        case all, last, none
    }

    /// Something seen on the way through the model.
    public enum Observation: Sendable {
        /// A stage of the layer of this index.
        case layer(Int, LayerObservation<Scalar>)
        /// The output of the last norm, `[L, Dm]`.
        case finalNorm(Tensor<Scalar>)
    }

    /// A model of layers that fit the configuration; that is not checked here.
    ///
    /// - Throws: `InputError` (`.value`) for an odd head width in a model that rotates.
    public init(
        configuration: HybridConfiguration, embedding: Tensor<Scalar>, layers: [DecoderLayer<Scalar>],
        norm: RMSNorm<Scalar>, head: Linear<Scalar>
    ) throws(InputError) {
        self.configuration = configuration
        self.embedding = embedding
        self.layers = layers
        self.norm = norm
        self.head = head
        // Where nothing is rotated the head width may be odd; the table is then never read.
        let width = configuration.rotates ? configuration.headDim : configuration.headDim + configuration.headDim % 2
        self.rope = try RotaryEmbedding(
            headDim: width, parameters: configuration.rope, maxPositions: configuration.maxPositions)
        self.contextLimit =
            configuration.plainMamba2 == nil ? configuration.contextLength : configuration.contextOverride
    }

    /// How the Mamba-2 layers evaluate SSD. Every form gives the same logits up to rounding.
    ///
    /// - Throws: `InputError`: `.value` for a chunk size or leaf below 1, `.unsupported` for the
    ///   convolution form, which operands that change with the token do not have.
    public mutating func useForm(_ form: SSDForm) throws(InputError) {
        switch form {
        case .recurrent, .quadratic: break
        case .chunked(let size): try requirePositive(size, "chunk size")
        case .associative(_, let leaf): try requirePositive(leaf, "leaf")
        case .convolution:
            throw InputError(
                .unsupported, in: "form", expected: "recurrent, chunked, quadratic or associative", found: form.name,
                remedy: "The steps of a layer change with the token; a convolution needs constant ones.")
        }
        changeMixers(mamba2: { $0.form = form })
    }

    /// How the Gated DeltaNet and Gated KalmaNet layers evaluate their recurrence. Every form gives
    /// the same logits up to rounding.
    ///
    /// - Throws: `InputError` (`.value`) for a chunk size below 1.
    public mutating func useRecurrenceForm(_ form: RecurrenceForm) throws(InputError) {
        if let size = form.chunkSize { try requirePositive(size, "chunk size") }
        changeMixers(gatedDeltaNet: { $0.form = form }, gatedKalmaNet: { $0.form = form })
    }

    /// How the Gated KalmaNet layers solve their ridge regression: fewer iterations are faster, the
    /// direct solution is exact.
    ///
    /// - Throws: `InputError` (`.value`) for fewer than 0 iterations.
    public mutating func useSolver(_ solver: RidgeSolver) throws(InputError) {
        if case .chebyshev(let iterations) = solver, iterations < 0 {
            throw InputError(.value, in: "num_iter", expected: "at least 0", found: "\(iterations)")
        }
        changeMixers(gatedKalmaNet: { $0.solver = solver })
    }

    /// Changes every mixer of some kinds, also those inside B'MOJO-F layers.
    private mutating func changeMixers(
        mamba2: (inout Mamba2Mixer<Scalar>) -> Void = { _ in },
        gatedDeltaNet: (inout GatedDeltaNet<Scalar>) -> Void = { _ in },
        gatedKalmaNet: (inout GatedKalmaNet<Scalar>) -> Void = { _ in }
    ) {
        for i in layers.indices {
            switch layers[i].mixer {
            case .attention: break
            case .mamba2(var mixer):
                mamba2(&mixer)
                layers[i].mixer = .mamba2(mixer)
            case .gatedDeltaNet(var mixer):
                gatedDeltaNet(&mixer)
                layers[i].mixer = .gatedDeltaNet(mixer)
            case .gatedKalmaNet(var mixer):
                gatedKalmaNet(&mixer)
                layers[i].mixer = .gatedKalmaNet(mixer)
            case .bmojo(var outer):
                switch outer.mixer {
                case .mamba2(var mixer):
                    mamba2(&mixer)
                    outer.mixer = .mamba2(mixer)
                case .gatedDeltaNet(var mixer):
                    gatedDeltaNet(&mixer)
                    outer.mixer = .gatedDeltaNet(mixer)
                case .gatedKalmaNet(var mixer):
                    gatedKalmaNet(&mixer)
                    outer.mixer = .gatedKalmaNet(mixer)
                }
                layers[i].mixer = .bmojo(outer)
            }
        }
    }

    /// The cache of an empty sequence.
    public func makeCache() -> HybridCache<Scalar> {
        HybridCache(configuration)
    }

    /// Reads `tokens` after those that `cache` already holds.
    ///
    /// - Parameters:
    ///   - tokens: token ids, at least one.
    ///   - cache: the memory of the sequence so far; advanced by the tokens. Untouched when an
    ///     error is thrown.
    ///   - rows: which rows of logits to compute.
    ///   - observe: is shown hidden states on the way.
    /// - Returns: logits `[k, V]` for `.all`, `[1, V]` for `.last`, `[0, V]` for `.none`; row t
    ///   scores the token after `tokens[t]`.
    /// - Throws: `InputError` for no tokens, an id out of range, more tokens than the context
    ///   holds, or a cache of another model.
    /// - Complexity: O(k (parameters + T H D)) for T tokens in the cache afterwards.
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    public func extend(
        _ cache: inout HybridCache<Scalar>, by tokens: [Int], logits rows: LogitRows = .all,
        observe: ((Observation) -> Void)? = nil
    ) throws -> Tensor<Scalar> {
        try check(tokens, cache)
        let first = cache.tokenCount
        let rotation = rope.table(positions: first..<first + tokens.count)

        var h = embed(tokens)
        for (i, layer) in layers.enumerated() {
            try layer.extend(&h, rotation: rotation, cache: &cache.layers[i]) { observe?(.layer(i, $0)) }
            observe?(.layer(i, .output(h)))
        }
        cache.tokenCount += tokens.count

        switch rows {
        case .all: break
        case .last: h = h.rows(tokens.count - 1..<tokens.count)
        case .none: h = h.rows(0..<0)
        }
        let normalized = norm(h)
        observe?(.finalNorm(normalized))
        return head(normalized)
    }

    private func embed(_ tokens: [Int]) -> Tensor<Scalar> {
        let width = configuration.hiddenSize
        var h = Tensor<Scalar>(repeating: 0, shape: [0, width])
        for token in tokens { h.appendRows(columns: 0..<width, of: embedding.rows(token..<token + 1)) }
        return h
    }

    private func check(_ tokens: [Int], _ cache: HybridCache<Scalar>) throws(InputError) {
        try configuration.requireReadable(tokens, behind: cache.tokenCount, limit: contextLimit)
        guard cache.fits(configuration) else {
            throw InputError(
                .value, in: "cache", expected: "one made by this model", found: "one of another shape",
                remedy: "Start from the model's makeCache().")
        }
    }
}

extension HybridModel {
    /// What SSD is applied to in every Mamba-2 layer when an empty cache reads `tokens`: real
    /// operands for checking forms.
    ///
    /// - Returns: layer indices in order, with operands of batch 1.
    /// - Throws: as `extend`.
    public func scanInputs(reading tokens: [Int]) throws -> [(layer: Int, inputs: SSDInputs<Scalar>)] {
        var seen: [(layer: Int, inputs: SSDInputs<Scalar>)] = []
        var cache = makeCache()
        _ = try extend(&cache, by: tokens, logits: .none) { observation in
            if case .layer(let i, .scanInputs(let inputs)) = observation { seen.append((i, inputs)) }
        }
        return seen
    }
}
