//  Speculation changes the number of passes and no bit of a text.

import DualityCore
import DualityInference
import DualityQuant
import DualityReference
import Foundation
import TestSupport
import Testing

@testable import DualityInference

private enum Fast {
    static let loaded = Result { () throws -> (QuantModel, Tokenizer) in
        let checkpoint = try Checkpoint(directory: Fixtures.embeddedModel)
        let model = try QuantModel(
            checkpoint, configuration: checkpoint.configuration,
            options: QuantOptions(.int8, pool: ThreadPool(threads: 2)))
        return (model, try Tokenizer(directory: Fixtures.embeddedModel))
    }
}

/// Guesses at random and often wrongly, so that memories are taken back at every place.
private struct WildDrafter: TokenDrafter {
    var random: RandomSource
    /// The tokens to come, if they are known.
    let truth: [Int]

    mutating func draft(after tokens: [Int], atMost limit: Int) -> [Int] {
        let right =
            truth.count > tokens.count ? Array(truth[tokens.count...].prefix(random.integer(in: 0...limit))) : []
        let wrong = random.integer(in: 0...2) == 0 ? [] : [random.integer(in: 0...4095)]
        return Array((right + wrong).prefix(limit))
    }
}

@Suite struct SpeculationTests {
    let model: QuantModel
    let tokenizer: Tokenizer

    init() throws {
        (model, tokenizer) = try Fast.loaded.get()
    }

    private struct Text: Equatable {
        var tokens: [Int]
        var text: String
        var reason: Completion<QuantModel>.Reason
    }

    private func generate(
        _ prompt: [Int], _ sampling: SamplingParameters, maxTokens: Int = 24, stop: [String] = [],
        constraint: TokenConstraint? = nil, drafters: [any TokenDrafter] = []
    ) async throws -> (Text, Completion<QuantModel>) {
        let limits = GenerationLimits(maxTokens: maxTokens, endTokens: [4095, 4093], stopStrings: stop)
        let generation = try Generation(
            model, tokenizer: tokenizer, prompt: prompt, sampling: sampling, limits: limits, constraint: constraint,
            drafters: drafters)
        var last: Completion<QuantModel>?
        for try await event in generation {
            if case .finished(let completion) = event { last = completion }
        }
        let completion = try #require(last)
        return (Text(tokens: completion.tokens, text: completion.text, reason: completion.reason), completion)
    }

    /// The scores after a context, which show every bit of its memory.
    private func scores(_ context: ModelContext<QuantModel>) throws -> [UInt32] {
        var cache = context.cache
        let rest = Array(context.tokens[context.readCount...]) + [7, 11]
        return try model.nextScores(&cache, after: rest).map(\.bitPattern)
    }

    private static let prompts = [
        "Once upon a time there was a little fox named Pip. Once upon a time there was a",
        "The cat sat on the mat. The cat sat on the mat. The cat sat on", "It was a cold evening in November, and",
        "one two three four one two three four one two", "{\"name\": \"Pip\", \"age\": 3}\n{\"name\": \"Pip\",",
        "<|im_start|>user\nWhat is 17 plus 25?<|im_end|>\n<|im_start|>assistant\n",
    ]

    private static let samplings: [SamplingParameters] = {
        var warm = SamplingParameters()
        (warm.temperature, warm.topK, warm.topP, warm.seed) = (0.8, 40, 0.95, 5)
        var penal = SamplingParameters.greedy
        (penal.repetitionPenalty, penal.presencePenalty, penal.frequencyPenalty) = (1.2, 0.3, 0.1)
        var both = warm
        (both.repetitionPenalty, both.frequencyPenalty, both.minP) = (1.1, 0.2, 0.02)
        return [.greedy, warm, penal, both]
    }()

    /// Prompts of held-out text, in half of which the beginning comes a second time: three here,
    /// `DUALITY_LOOKUP` of them where it is set.
    @Test(arguments: 0..<5) func heldOutTextIsTheSame(kind: Int) async throws {
        let count = ProcessInfo.processInfo.environment["DUALITY_LOOKUP"].flatMap { Int($0) } ?? 3
        let text = try String(contentsOfFile: Fixtures.embeddedModel + "/data/heldout.txt", encoding: .utf8)
        let all = tokenizer.encode(text)
        let trie = TokenTrie(tokenizer, endTokens: [4095], size: model.vocabularySize)
        var rules = AnswerRules()
        rules.form = .jsonObject
        let constraint = kind == 4 ? try ConstraintCompiler(trie).constraint(rules) : nil
        for index in 0..<count {
            let begin = index * (all.count - 200) / count
            var prompt = Array(all[begin..<begin + 40 + index % 89])
            if index % 2 == 1 { prompt += prompt.prefix(20) }
            var sampling = Self.samplings[kind % 4]
            sampling.seed = UInt64(index)
            let (plain, end) = try await generate(prompt, sampling, constraint: constraint)
            let (guessed, other) = try await generate(
                prompt, sampling, constraint: constraint, drafters: [LookupDrafter(weightBytes: index % 4 << 28)])
            #expect(plain == guessed)
            #expect(try scores(end.context) == scores(other.context))
        }
    }

    @Test(arguments: 0..<4) func lookUpChangesNoBit(sampling index: Int) async throws {
        var (passes, tokens) = (0, 0)
        for prompt in Self.prompts.map({ tokenizer.encode($0) }) {
            let (plain, end) = try await generate(prompt, Self.samplings[index])
            let (guessed, other) = try await generate(prompt, Self.samplings[index], drafters: [LookupDrafter()])
            #expect(plain == guessed)
            #expect(try scores(end.context) == scores(other.context))
            passes += other.timings.speculation.passes
            tokens += plain.tokens.count
        }
        if index == 0 { #expect(passes < tokens, "\(passes) passes for \(tokens) tokens") }
    }

    @Test(arguments: 0..<4) func wrongGuessesLeaveNoTrace(sampling index: Int) async throws {
        var random = RandomSource(seed: 41).stream("wild \(index)")
        for prompt in Self.prompts.prefix(3).map({ tokenizer.encode($0) }) {
            let (plain, end) = try await generate(prompt, Self.samplings[index])
            let stop = String(plain.text.dropFirst(20).prefix(4))
            for truth in [prompt + plain.tokens, []] {
                let wild = WildDrafter(random: random.stream("\(random.integer(in: 0...9999))"), truth: truth)
                let (guessed, other) = try await generate(prompt, Self.samplings[index], drafters: [wild])
                #expect(plain == guessed)
                #expect(try scores(end.context) == scores(other.context))
                guard !stop.isEmpty else { continue }
                let (short, _) = try await generate(prompt, Self.samplings[index], stop: [stop])
                let (shortGuessed, _) = try await generate(
                    prompt, Self.samplings[index], stop: [stop], drafters: [wild])
                #expect(short == shortGuessed)
            }
        }
    }

    @Test func grammarsGiveTheSameBits() async throws {
        let trie = TokenTrie(tokenizer, endTokens: [4095], size: model.vocabularySize)
        let compiler = ConstraintCompiler(trie)
        let schema = try JSON(
            parsing: """
                {"type": "object", "properties": {"name": {"type": "string", "maxLength": 12},
                "kind": {"enum": ["little fox", "little bear"]}, "age": {"type": "integer", "minimum": 0, "maximum": 99}},
                "required": ["name", "kind", "age"], "additionalProperties": false}
                """)
        var rules = AnswerRules()
        var spared = 0
        for form in [AnswerRules.Form.jsonObject, .schema(schema, place: "schema")] {
            rules.form = form
            let constraint = try #require(try compiler.constraint(rules))
            for sampling in Self.samplings {
                for prompt in Self.prompts.prefix(1).map({ tokenizer.encode($0) }) {
                    let (plain, _) = try await generate(prompt, sampling, constraint: constraint)
                    let (guessed, other) = try await generate(
                        prompt, sampling, constraint: constraint, drafters: [LookupDrafter()])
                    #expect(plain == guessed)
                    if case .endToken = plain.reason { #expect(throws: Never.self) { try JSON(parsing: plain.text) } }
                    spared += plain.tokens.count - other.timings.speculation.passes
                }
            }
        }
        #expect(spared > 0, "what a schema leaves no choice about takes no pass of its own")
    }

    @Test func aModelThatGuessesChangesNoBitAndItselfSparesPasses() async throws {
        for (index, sampling) in Self.samplings.enumerated() {
            for prompt in Self.prompts.prefix(1).map({ tokenizer.encode($0) }) {
                let (plain, _) = try await generate(prompt, sampling)
                let drafter = ModelDrafter(model, vocabularySize: model.vocabularySize)
                let (guessed, other) = try await generate(prompt, sampling, drafters: [drafter])
                #expect(plain == guessed)
                if index == 0 { #expect(other.timings.speculation.passes < plain.tokens.count) }
            }
        }
    }

    @Test func aFullContextEndsTheTextAtTheSameToken() async throws {
        let prompt = tokenizer.encode(Self.prompts[1])
        var small = model
        small.contextLimit = prompt.count + 21
        var counts: [Int] = []
        for drafters in [[], [LookupDrafter() as any TokenDrafter]] {
            let generation = try Generation(
                small, tokenizer: tokenizer, prompt: prompt, sampling: .greedy, limits: GenerationLimits(),
                drafters: drafters)
            for try await event in generation {
                if case .finished(let end) = event {
                    counts.append(end.tokens.count)
                    #expect(end.reason == .contextFull)
                }
            }
        }
        #expect(counts == [21, 21])
    }

    @Test func theReferenceIsRefused() throws {
        let checkpoint = try Checkpoint(directory: Fixtures.embeddedModel)
        let reference = try HybridModel<Float>(checkpoint, configuration: checkpoint.configuration)
        #expect(throws: InputError.self) {
            try Generation(
                reference, tokenizer: tokenizer, prompt: [1], sampling: .greedy, limits: GenerationLimits(),
                drafters: [LookupDrafter()])
        }
    }

    // MARK: What look-up guesses

    @Test func theLatestOfTheLongestMatchesIsTaken() {
        var drafter = LookupDrafter()
        // 1 2 3 was followed by 4, later 9 2 3 by 5: the longer match is the earlier one.
        #expect(drafter.draft(after: [1, 2, 3, 4, 9, 2, 3, 5, 8, 1, 2, 3], atMost: 4).first == 4)
        #expect(drafter.draft(after: [1, 2], atMost: 4).isEmpty, "another text begins anew")
        // A period goes on beyond what there is.
        var periodic = LookupDrafter()
        let text = (0..<40).map { $0 % 3 }
        #expect(periodic.draft(after: text, atMost: 7) == [1, 2, 0, 1, 2, 0, 1])
    }

    @Test func aLargeModelIsGuessedAtFromASmallerChanceOn() {
        /// Guesses in a text of four letters, of which each follows any other as often.
        func guesses(_ weightBytes: Int) -> Int {
            var (drafter, random) = (LookupDrafter(weightBytes: weightBytes), RandomSource(seed: 9))
            var (text, guessed) = ([Int](), 0)
            for _ in 0..<1000 {
                text.append(random.integer(in: 0...3))
                guessed += drafter.draft(after: text, atMost: 11).count
            }
            return guessed
        }
        let (small, large) = (guesses((1 << 29) - 1), guesses(1 << 29))
        #expect(guesses(0) == small)
        #expect(large > 4 * small, "\(large) and \(small) guesses")
        // Another text begins anew, with the same chance.
        var (random, used) = (RandomSource(seed: 9), LookupDrafter(weightBytes: 1 << 29))
        let texts = (0..<20).map { count in (0..<200 - count).map { _ in random.integer(in: 0...3) } }
        for text in texts {
            var fresh = LookupDrafter(weightBytes: 1 << 29)
            #expect(used.draft(after: text, atMost: 11) == fresh.draft(after: text, atMost: 11))
        }
    }

    @Test func aTextThatDoesNotRepeatIsNotGuessedAt() {
        var (drafter, random) = (LookupDrafter(), RandomSource(seed: 8))
        var (text, guessed) = ([Int](), 0)
        for _ in 0..<3000 {
            // Pairs repeat often, and what follows them does not.
            text.append(random.integer(in: 0...30))
            guessed += drafter.draft(after: text, atMost: 11).count
        }
        #expect(guessed < 100, "\(guessed) guesses")
    }
}
