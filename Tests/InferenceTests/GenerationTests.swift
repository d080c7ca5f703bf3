//  Generation: text from the embedded model, and why it ends.

import DualityCore
import DualityReference
import Foundation
import TestSupport
import Testing

@testable import DualityInference

/// The embedded model, loaded once.
private enum Embedded {
    static let loaded = Result { () throws -> (HybridModel<Float>, Tokenizer) in
        let checkpoint = try Checkpoint(directory: Fixtures.embeddedModel)
        return (
            try HybridModel<Float>(checkpoint, configuration: checkpoint.configuration),
            try Tokenizer(directory: Fixtures.embeddedModel)
        )
    }
}

@Suite struct GenerationTests {
    let model: HybridModel<Float>
    let tokenizer: Tokenizer

    init() throws {
        (model, tokenizer) = try Embedded.loaded.get()
    }

    private func generate(
        _ prompt: [Int], continuing context: ModelContext<HybridModel<Float>>? = nil,
        sampling: SamplingParameters = .greedy, maxTokens: Int? = 24, end: Set<Int> = [], stop: [String] = []
    ) async throws -> (text: String, ids: [Int], completion: Completion<HybridModel<Float>>) {
        let limits = GenerationLimits(maxTokens: maxTokens, endTokens: end, stopStrings: stop)
        let generation = try Generation(
            model, tokenizer: tokenizer, prompt: prompt, continuing: context, sampling: sampling, limits: limits)
        var (text, ids) = ("", [Int]())
        var completion: Completion<HybridModel<Float>>?
        for try await event in generation {
            switch event {
            case .token(let id, let piece):
                ids.append(id)
                text += piece
            case .finished(let last):
                text += last.remainingText
                completion = last
            }
        }
        return (text, ids, try #require(completion))
    }

    /// Prompt text to text, against the continuations that the official code wrote.
    @Test func greedyTextsAreTheReferenceOnes() async throws {
        let greedy = try JSON(contentsOf: Fixtures.embeddedModel + "/reference/greedy.json")
        let end = Set(try #require(greedy["end_tokens"]?.array).compactMap(\.int))
        let limit = try #require(greedy["max_new_tokens"]?.int)
        for item in try #require(greedy["cases"]?.array) {
            let prompt = tokenizer.encode(try #require(item["prompt"]?.string))
            let expected = try #require(item["greedy_ids"]?.array).compactMap(\.int)
            let result = try await generate(prompt, maxTokens: limit, end: end)
            #expect(result.ids == expected.filter { !end.contains($0) })
            #expect(result.completion.tokens == result.ids)
            #expect(result.text == (try tokenizer.decode(result.ids)))
            if let last = expected.last, end.contains(last) { #expect(result.completion.reason == .endToken(last)) }
        }
    }

    @Test func aStopStringEndsTheTextAndIsNotPartOfIt() async throws {
        let prompt = tokenizer.encode("Once upon a time there was a little fox named Pip.")
        let whole = try await generate(prompt, maxTokens: 60)
        let stop = String(whole.text.dropFirst(30).prefix(7))
        let result = try await generate(prompt, maxTokens: 60, stop: ["never to be seen", stop])
        let expected = whole.text.range(of: stop).map { String(whole.text[..<$0.lowerBound]) }
        #expect(result.text == expected)
        #expect(result.completion.reason == .stopString(stop))
        #expect(result.completion.text == expected, "a conversation remembers what was shown")
    }

    @Test func theSameSeedGivesTheSameTextAndAnotherSeedAnother() async throws {
        var sampling = SamplingParameters()
        sampling.temperature = 1
        let prompt = tokenizer.encode("It was a cold evening in November, and")
        var texts: [String] = []
        for seed: UInt64 in [1, 1, 2] {
            sampling.seed = seed
            texts.append(try await generate(prompt, sampling: sampling).text)
        }
        #expect(texts[0] == texts[1])
        #expect(texts[0] != texts[2])
    }

    @Test func aContextContinuesWhereItEnded() async throws {
        let prompt = tokenizer.encode("Once upon a time there was a little fox named Pip.")
        let first = try await generate(prompt, maxTokens: 10)
        #expect(first.completion.timings.promptTokens == prompt.count)
        let longer = prompt + first.ids + tokenizer.encode(" Then")
        let continued = try await generate(longer, continuing: first.completion.context)
        let fresh = try await generate(longer)
        #expect(continued.ids == fresh.ids)
        #expect(continued.completion.timings.reusedTokens == prompt.count + 9)
        #expect(continued.completion.timings.promptTokens == longer.count - prompt.count - 9)
        let other = try await generate(tokenizer.encode("Another"), continuing: first.completion.context)
        #expect(other.completion.timings.reusedTokens == 0)
    }

    @Test func cancellationEndsTheTextWithWhatThereIs() async throws {
        let prompt = tokenizer.encode("Once upon a time")
        let generation = try Generation(
            model, tokenizer: tokenizer, prompt: prompt, sampling: .greedy, limits: GenerationLimits())
        let task = Task {
            var count = 0
            for try await event in generation {
                switch event {
                case .token:
                    count += 1
                    if count == 3 { withUnsafeCurrentTask { $0?.cancel() } }
                case .finished(let completion): return (count, completion.reason, completion.tokens.count)
                }
            }
            return (count, .maxTokens, -1)
        }
        let (count, reason, tokens) = try await task.value
        #expect(count == 3 && tokens == 3)
        #expect(reason == .cancelled)
    }

    @Test func aTextEndsWhenTheContextIsFull() async throws {
        var small = model
        small.contextLimit = 20
        let prompt = Array(tokenizer.encode("Once upon a time there was a little fox").prefix(8))
        let generation = try Generation(
            small, tokenizer: tokenizer, prompt: prompt, sampling: .greedy, limits: GenerationLimits())
        var sampled = 0
        for try await event in generation {
            switch event {
            case .token: sampled += 1
            case .finished(let completion): #expect(completion.reason == .contextFull)
            }
        }
        #expect(prompt.count + sampled == 20)
        #expect(throws: InputError.self) {
            try Generation(
                small, tokenizer: tokenizer, prompt: Array(repeating: 1, count: 21), sampling: .greedy,
                limits: GenerationLimits())
        }
        #expect(throws: InputError.self) {
            try Generation(
                small, tokenizer: tokenizer, prompt: [], sampling: .greedy, limits: GenerationLimits())
        }
    }

    @Test func aConversationReadsEveryTurnOnce() async throws {
        var conversation = Conversation(
            model: model, tokenizer: tokenizer, template: try ChatTemplate(directory: Fixtures.embeddedModel),
            sampling: .greedy, limits: GenerationLimits(maxTokens: 40, endTokens: [4095, 4093]))
        var (answers, read): ([String], [Int]) = ([], [])
        for question in ["What is 17 plus 25?", "What is 3 plus 4?"] {
            var answer = ""
            for try await event in try conversation.ask(question) {
                switch event {
                case .token(_, let piece): answer += piece
                case .finished(let completion):
                    answer += completion.remainingText
                    read.append(completion.timings.promptTokens)
                    conversation.take(completion)
                }
            }
            answers.append(answer)
        }
        #expect(answers[0] == "17 + 25 = 42.")
        #expect(conversation.messages.map(\.role) == [.user, .assistant, .user, .assistant])
        // The second turn reads the end of the first answer, its own question and the header of the
        // answer: no more.
        #expect(read[1] < read[0] + 8, "read \(read) tokens")
    }
}
