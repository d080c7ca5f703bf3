//  The loop of a generation: Generation.swift says what it does.

import DualityCore

/// The events of a generation, one a call of `next`.
public struct GenerationIterator<Model: LanguageModel>: AsyncIteratorProtocol {
    private let generation: Generation<Model>
    private var reader: SpeculativeReader<Model>
    private var sampler: Sampler
    private var decoder: StreamingDecoder
    private var stops: StopStrings
    private var constraint: TokenConstraint?
    private var timings = GenerationTimings()
    private var sampled: [Int] = []
    private var emitted = ""
    private var pending: Completion<Model>.Reason?
    private var isFinished = false
    private var firstToken: ContinuousClock.Instant?

    init(_ generation: Generation<Model>) {
        self.generation = generation
        var start = ModelContext(generation.model)
        if let context = generation.context, context.remainder(of: generation.prompt) != nil { start = context }
        reader = SpeculativeReader(start, drafters: generation.drafters)
        sampler = Sampler(generation.sampling)
        decoder = StreamingDecoder(generation.tokenizer)
        stops = StopStrings(generation.limits.stopStrings)
        constraint = generation.constraint
    }

    public mutating func next() async throws -> GenerationEvent<Model>? {
        if isFinished { return nil }
        // One token is a long time: let other tasks of the pool run in between.
        await Task.yield()
        if Task.isCancelled { return finish(.cancelled) }
        if let pending { return finish(pending) }
        if let limit = generation.limits.maxTokens, sampled.count >= limit { return finish(.maxTokens) }
        if let limit = generation.model.contextLimit, reader.context.tokens.count >= limit, firstToken != nil {
            return finish(.contextFull)
        }

        var logits = try readPending()
        if let constraint {
            let mask = try constraint.mask()
            logits.withUnsafeMutableBufferPointer { mask.apply(to: $0) }
        }
        let token = try sampler.next(logits: logits, history: reader.context.tokens)
        let now = ContinuousClock.now
        if firstToken == nil { firstToken = now }

        if generation.limits.endTokens.contains(token) { return finish(.endToken(token)) }
        // A constraint's own end token that the limits do not name ends the text all the same.
        if let constraint, !constraint.isText(token) { return finish(.endToken(token)) }
        try constraint?.advance(by: token)
        timings.generateSeconds = firstToken.map { (now - $0).seconds } ?? 0
        reader.append(token)
        sampled.append(token)
        timings.generatedTokens = sampled.count
        let text = stops.push(decoder.push(token))
        emitted += text
        if let stop = stops.matched { pending = .stopString(stop) }
        return .token(id: token, text: text)
    }

    /// Reads what the model has not seen yet: the prompt at first, then the last sampled token,
    /// with guesses behind it.
    private mutating func readPending() throws -> [Float] {
        guard firstToken == nil else {
            // A token that is the last in any case has no use for a row behind it.
            let left = (generation.limits.maxTokens ?? .max) - sampled.count - 1
            let free = (generation.model.contextLimit ?? .max) - reader.context.tokens.count
            return try reader.nextScores(generation.model, room: min(left, free), constraint: constraint)
        }
        let start = ContinuousClock.now
        timings.reusedTokens = reader.context.readCount
        timings.promptTokens = generation.prompt.count - reader.context.readCount
        let logits = try reader.read(prompt: generation.prompt, model: generation.model)
        timings.promptSeconds = (ContinuousClock.now - start).seconds
        return logits
    }

    private mutating func finish(_ reason: Completion<Model>.Reason) -> GenerationEvent<Model> {
        isFinished = true
        var remaining = ""
        if case .stopString = reason {} else { remaining = stops.push(decoder.finish()) + stops.finish() }
        reader.settle()
        timings.speculation = reader.timings
        return .finished(
            Completion(
                reason: reason, tokens: sampled, text: emitted + remaining, remainingText: remaining,
                timings: timings, context: reader.context))
    }
}
