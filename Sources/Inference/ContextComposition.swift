//  A context longer than it needs to be read in one piece: chunks read in parallel, their memories
//  composed, a question after them.
//
//      rows = read every chunk apart        threads at once; or taken from a file
//      cache = compose(rows)                Reference/Composition
//      the question's tokens but the last are read; generation starts with the last one

import DualityCore
import DualityQuant
import DualityReference

/// A context that was read in chunks, composed, and asked a question: all that generation goes on
/// from.
public struct ComposedContext<Cache: Sendable>: Sendable {
    /// The tokens it stands for: the prefix (or filler), the context and the question.
    public let tokens: [Int]
    /// The memory of all of them but the last.
    public let cache: Cache

    /// A context from its parts; `cache` must be the memory of all tokens but the last.
    public init(tokens: [Int], cache: Cache) {
        self.tokens = tokens
        self.cache = cache
    }
}

extension HybridModel {
    /// Reads the rows of a plan, several at once.
    ///
    /// - Parameters:
    ///   - readsRows: false where the whole context is all that is wanted of the plan.
    ///   - readsWhole: false where its memory is at hand already.
    ///   - threads: rows read at once; each has its own memory.
    ///   - progress: is told the rows read and their number.
    /// - Throws: as `extend`; `CancellationError`.
    public func read(
        _ plan: ChunkPlan, readsRows: Bool = true, readsWhole: Bool = true, threads: Int,
        progress: (@Sendable (Int, Int) -> Void)? = nil
    ) async throws -> ReadRows<Scalar> {
        var jobs: [Int?] = plan.whole == nil || !readsWhole ? [] : [nil]
        if readsRows { jobs += plan.rows.indices.map { $0 } }
        var rows: [HybridCache<Scalar>?] = Array(repeating: nil, count: readsRows ? plan.rows.count : 0)
        var whole: HybridCache<Scalar>?
        // Transitions cost nothing where there is no Gated DeltaNet layer, and every type can then
        // be made of the same rows.
        try await withThrowingTaskGroup(of: (Int?, HybridCache<Scalar>).self) { group in
            var (next, done) = (0, 0)
            func start() {
                guard next < jobs.count else { return }
                let job = jobs[next]
                next += 1
                group.addTask {
                    try Task.checkCancellation()
                    if let job { return (job, try self.read(plan.rows[job], tracksTransitions: true)) }
                    var cache = self.makeCache()
                    _ = try self.extend(&cache, by: plan.whole ?? [], logits: .none)
                    return (nil, cache)
                }
            }
            for _ in 0..<max(threads, 1) { start() }
            while let (job, cache) = try await group.next() {
                if let job { rows[job] = cache } else { whole = cache }
                done += 1
                progress?(done, jobs.count)
                start()
            }
        }
        return ReadRows(rows: rows.compactMap { $0 }, whole: whole)
    }

    /// Composes the memories of a plan's rows and reads all of the question but its last token.
    ///
    /// - Parameters:
    ///   - context: the tokens the plan was made of.
    ///   - question: at least one token.
    ///   - forgetsPrefix: numbers what is generated as the official tool does after sequential
    ///     positions.
    /// - Throws: as `compose` and `extend`; `InputError` (`.value`) for an empty question.
    public func compose(
        _ read: ReadRows<Scalar>, plan: ChunkPlan, type: ComposeType, gap: GapVisibility = .hidden, context: [Int],
        question: [Int], forgetsPrefix: Bool = false
    ) throws -> ComposedContext<HybridCache<Scalar>> {
        guard !question.isEmpty else {
            throw InputError(.value, in: "question", expected: "at least one token", found: "none")
        }
        var cache = try compose(read, plan: plan, type: type, gap: gap)
        let first = Array(question.dropLast())
        if !first.isEmpty { _ = try extend(&cache, by: first, logits: .none) }
        if type.keyValues == .sliding && gap == .generation { cache.hideGap(of: plan) }
        if forgetsPrefix { cache.forgetPrefix(of: plan) }
        return ComposedContext(tokens: plan.lead + context + question, cache: cache)
    }
}

/// A memory that says where its next token stands.
public protocol PositionedMemory {
    /// The position of the next token.
    var tokenCount: Int { get }
}

extension HybridCache: PositionedMemory {}
extension QuantCache: PositionedMemory {}

extension LanguageModel where Cache: PositionedMemory {
    /// Goes on from a composed context.
    ///
    /// - Parameters:
    ///   - maxTokens: the most tokens to sample; fewer when the positions of the model run out.
    ///   - endTokens: end the text and are not part of it.
    ///   - onToken: is told every token as it is sampled.
    /// - Returns: the tokens sampled.
    /// - Throws: as `extend`; `InputError` for sampling parameters out of range.
    public func generate(
        after composed: ComposedContext<Cache>, sampling: SamplingParameters, maxTokens: Int, endTokens: Set<Int>,
        onToken: (Int) -> Void = { _ in }
    ) throws -> [Int] {
        try sampling.validate(vocabularySize: vocabularySize)
        var sampler = Sampler(sampling)
        var cache = composed.cache
        var history = composed.tokens
        while history.count - composed.tokens.count < maxTokens, cache.tokenCount < contextLimit ?? .max {
            let logits = try nextScores(&cache, after: [history[history.count - 1]])
            let token = try sampler.next(logits: logits, history: history)
            if endTokens.contains(token) { break }
            history.append(token)
            onToken(token)
        }
        return Array(history[composed.tokens.count...])
    }
}
