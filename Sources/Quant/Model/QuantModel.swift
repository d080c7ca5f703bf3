//  The fast model: tokens and caches in, logits out. The twin of the reference's `HybridModel`.
//
//      h = embedding[ids]
//      h = layer_i(h)                         for every layer
//      logits = W_head rms(h; norm)           W_head is the embedding itself in tied models
//
//  There is one primitive, *extend caches by tokens*: prefill is many tokens on an empty cache,
//  decoding one, and a batch is several sequences that are extended by as many tokens each as they
//  need. Long inputs go through the layers in pieces, so that memory does not grow with the prompt.
//  Every number is computed in an order that depends neither on the pieces, nor on the other
//  sequences of a batch, nor on the number of threads: the logits are the same bits.

import DualityCore
import DualityKernels

/// A hybrid or plain Mamba-2 language model on the kernels of this machine.
public struct QuantModel: Sendable {
    /// The shape and constants it was loaded with.
    public let configuration: HybridConfiguration
    /// The number formats of its matrices.
    public let plan: PrecisionPlan
    /// The format of keys and values in the caches that it makes and takes.
    public let keyValueFormat: KeyValueFormat
    /// Extending a cache beyond this many tokens is refused; the configuration's `contextLength`
    /// unless changed. Nil lifts it, and is what plain Mamba-2 models have.
    public var contextLimit: Int?
    let embedding: PackedMatrix
    var layers: [QuantDecoderLayer]
    let norm: NormWeights
    var head: Projection
    /// Nil where nothing is rotated.
    let rope: RotaryFrequencies?
    private(set) var pool: ThreadPool
    let kernels: KernelTable
    private(set) var workspaces: WorkspacePool
    /// That of caches: `configuration`, with this rank's heads where several compute the model.
    var cacheConfiguration: HybridConfiguration
    /// The other ranks; nil for a whole model.
    var ranks: RankGroup?
    /// Those that have rows of the same layers, and which logits each of them computes; nil and
    /// none where ranks have whole layers.
    var parts: (any PartExchange)?
    var headShares: [Range<Int>] = []
    /// The layers of this rank, where ranks have ranges of them.
    package internal(set) var stage: PipelineStage?
    /// What is sent to them.
    package internal(set) var wire = RankWire(.float32)
    /// How much of the model each rank has; empty for a whole model.
    package internal(set) var rankShares: [Int] = []

    /// Which rows of logits a caller wants: the head is the widest product of the model, and
    /// prefill needs one row.
    public enum LogitRows: Sendable, Equatable {
        /// All rows, the last of each sequence, or no row.
        case all, last, none
        /// Those after the last of the tokens, this many of each sequence; all where it has fewer.
        case ending(Int)

        /// How many rows of a sequence that is extended by `tokens` tokens.
        func count(of tokens: Int) -> Int {
            switch self {
            case .all: tokens
            case .last: min(1, tokens)
            case .none: 0
            case .ending(let count): max(0, min(count, tokens))
            }
        }
    }

    /// Rows of one pass through the layers, over all sequences of a batch: enough to work at the
    /// rate of the multipliers, and few enough that activations do not matter beside the weights.
    static let rowLimit = 512

    init(
        configuration: HybridConfiguration, plan: PrecisionPlan, keyValues: KeyValueFormat, embedding: PackedMatrix,
        layers: [QuantDecoderLayer], norm: NormWeights, head: Projection, pool: ThreadPool
    ) throws(InputError) {
        self.configuration = configuration
        self.plan = plan
        keyValueFormat = keyValues
        contextLimit = configuration.plainMamba2 == nil ? configuration.contextLength : nil
        self.embedding = embedding
        self.layers = layers
        self.norm = norm
        self.head = head
        self.pool = pool
        rope = configuration.rotates ? try RotaryFrequencies(configuration) : nil
        kernels = try KernelTable.active()
        if pool === ThreadPool.common { _ = try ThreadPool.demandedThreadCount() }
        workspaces = WorkspacePool(threads: pool.threadCount)
        cacheConfiguration = configuration
    }

    /// The same model, weights shared, on the threads of another pool.
    public func on(_ pool: ThreadPool) -> QuantModel {
        var model = self
        (model.pool, model.workspaces) = (pool, WorkspacePool(threads: pool.threadCount))
        return model
    }

    package var threads: ThreadPool { pool }
    /// The threads that work on a pass.
    public var threadCount: Int { pool.threadCount }
    /// The name of the instruction set of its kernels: scalar, avx2, avx512, neon or amx.
    public var instructionSet: String { kernels.name }

    /// The instruction set that a model loaded now would use.
    ///
    /// - Throws: `InputError` (`.value`) when DUALITY_ISA names what is unknown or not there.
    public static func activeInstructionSet() throws(InputError) -> String { try KernelTable.active().name }

    /// Whether the logits after a token are the same bits however the tokens came. `dynamic` RoPE
    /// turns by angles that depend on how long the sequence is after the call.
    public var replaysExactly: Bool { rope?.dependsOnLength != true }

    /// What the kernels use, for people: "avx512: …".
    public var kernelSummary: String { "\(kernels.name): \(kernels.summary)" }

    /// The bytes of weights that one decoded token reads: all but the embedding's other rows.
    public var weightBytesPerToken: Int {
        layers.reduce(head.byteCount) { $0 + $1.byteCount }
    }

    /// The bytes of all weights.
    public var weightBytes: Int {
        weightBytesPerToken + (configuration.tiedEmbeddings ? 0 : embedding.byteCount)
    }

    /// Multiply-adds of the matrices for one token, without the head.
    public var multiplyAddsPerToken: Int { layers.reduce(0) { $0 + $1.multiplyAdds } }

    /// The cache of an empty sequence.
    public func makeCache() -> QuantCache {
        QuantCache(cacheConfiguration, keyValues: keyValueFormat, of: stage?.layers)
    }

    /// Reads `tokens` after those that `cache` already holds.
    ///
    /// - Parameters:
    ///   - tokens: token ids, at least one.
    ///   - cache: the memory of the sequence so far; advanced by the tokens. Untouched when an
    ///     error is thrown.
    ///   - rows: which rows of logits to compute.
    /// - Returns: logits `[k, V]` for `.all`, `[1, V]` for `.last`, `[0, V]` for `.none`,
    ///   `[min(n, k), V]` for `.ending(n)`; row t of `.all` scores the token after `tokens[t]`.
    /// - Throws: `InputError` for no tokens, an id out of range, more tokens than the context
    ///   holds, or a cache of another model.
    /// - Complexity: O(k (parameters + T H D)) for T tokens in the cache afterwards.
    public func extend(_ cache: inout QuantCache, by tokens: [Int], logits rows: LogitRows = .all) throws -> Tensor<
        Float
    > {
        // Moved, not copied, so that the cache keeps its one owner.
        var caches = [cache]
        try check(tokens, cache)
        cache = QuantCache(moved: ())
        defer { cache = caches[0] }
        return try extend(&caches, by: [tokens], logits: rows)[0]
    }

    /// Reads `tokens[i]` after what `caches[i]` holds, for every sequence i of a batch, in one go.
    ///
    /// - Parameters:
    ///   - tokens: for each sequence, ids, at least one; the counts may differ.
    ///   - caches: one per sequence, advanced. Untouched when an error is thrown.
    /// - Returns: for each sequence what `extend` of one sequence returns, with the same bits.
    /// - Throws: as `extend` of one sequence; `InputError` (`.shape`) for another number of caches
    ///   than token lists.
    public func extend(_ caches: inout [QuantCache], by tokens: [[Int]], logits rows: LogitRows = .all) throws
        -> [Tensor<Float>]
    {
        let width = configuration.vocabularySize
        let wanted = tokens.map { rows.count(of: $0.count) }
        var logits = wanted.map { count -> [Float] in
            // Initializing none would write into the empty array that all threads share.
            guard count > 0 else { return [] }
            return [Float](unsafeUninitializedCapacity: count * width) {
                $1 = count * width
                _ = $0
            }
        }
        try extend(&caches, by: tokens, wanting: wanted, rowsTogether: Self.rowLimit) { stream, rows, pass in
            score(stream, rows, pass, &logits)
        }
        return try logits.map { try Tensor(shape: [$0.count / width, width], elements: $0) }
    }
}
