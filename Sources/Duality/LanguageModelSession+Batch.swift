//  Several texts continued at once.
//
//  The fast engine reads one token of every sequence in one pass, so that each weight comes from
//  memory once per pass and not once per sequence. The numbers are those of one text alone, with
//  the same bits, and so are the texts.

import DualityCore
import DualityInference
import DualityQuant

extension LanguageModelSession {
    /// Continues each text, apart from the conversation and from each other.
    ///
    /// - Parameter prompts: texts as they are, without a chat template; none may be empty.
    /// - Returns: what follows each of them, in their order.
    /// - Throws: `InputError` for an empty text, or one that the model's context does not hold.
    /// - Complexity: with the fast engine the passes of the longest, each over all texts; with the
    ///   reference one text after another.
    public func complete(_ prompts: [String]) async throws -> [String] {
        let ids = prompts.map { tokenizer.encode($0) }
        if let model = model as? QuantModel { return try await together(ids, model) }
        var texts: [String] = []
        for prompt in ids { texts.append(try await alone(prompt, model)) }
        return texts
    }

    private func alone<Model: LanguageModel>(_ prompt: [Int], _ model: Model) async throws -> String {
        let generation = try Generation(
            model, tokenizer: tokenizer, prompt: prompt, sampling: sampling, limits: limits)
        for try await event in generation {
            if case .finished(let completion) = event { return completion.text }
        }
        return ""
    }

    /// All sequences in one pass per token; one that has ended takes no further part.
    private func together(_ prompts: [[Int]], _ model: QuantModel) async throws -> [String] {
        var caches = prompts.map { _ in model.makeCache() }
        var pending = prompts
        var lines = try prompts.map { try Line($0, session: self, vocabularySize: model.vocabularySize) }
        var active = Array(lines.indices)
        while !active.isEmpty {
            await Task.yield()
            try Task.checkCancellation()
            var some = active.map { caches[$0] }
            for i in active { caches[i] = model.makeCache() }  // each cache keeps one owner
            let logits = try model.extend(&some, by: active.map { pending[$0] }, logits: .last)
            var left: [Int] = []
            for (place, i) in active.enumerated() {
                caches[i] = some[place]
                guard let token = try lines[i].take(logits[place].elements, limits, model.contextLimit) else {
                    continue
                }
                pending[i] = [token]
                left.append(i)
            }
            active = left
        }
        return lines.map(\.text)
    }
}

/// One text of a batch.
private struct Line {
    private(set) var text = ""
    private var tokens: [Int]
    private var count = 0
    private var sampler: Sampler
    private var decoder: StreamingDecoder
    private var stops: StopStrings

    init(_ prompt: [Int], session: LanguageModelSession, vocabularySize: Int) throws {
        guard !prompt.isEmpty else {
            throw InputError(
                .value, in: "prompt", expected: "at least one token", found: "an empty prompt",
                remedy: "Give some text.")
        }
        try session.sampling.validate(vocabularySize: vocabularySize)
        tokens = prompt
        sampler = Sampler(session.sampling)
        decoder = StreamingDecoder(session.tokenizer)
        stops = StopStrings(session.limits.stopStrings)
    }

    /// Draws the next token from its scores.
    ///
    /// - Returns: the token to read next; nil when the text has ended.
    mutating func take(_ logits: [Float], _ limits: GenerationLimits, _ contextLimit: Int?) throws -> Int? {
        guard limits.maxTokens ?? 1 > 0 else { return nil }
        let token = try sampler.next(logits: logits, history: tokens)
        if limits.endTokens.contains(token) { return end() }
        tokens.append(token)
        count += 1
        text += stops.push(decoder.push(token))
        if stops.matched != nil { return nil }
        if count == limits.maxTokens || tokens.count >= contextLimit ?? .max { return end() }
        return token
    }

    private mutating func end() -> Int? {
        text += stops.push(decoder.finish()) + stops.finish()
        return nil
    }
}
