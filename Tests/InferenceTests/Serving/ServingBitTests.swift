//  An answer has the same bits, whatever it was computed beside and begun from.

import DualityCore
import DualityQuant
import Foundation
import TestSupport
import Testing

@testable import DualityInference

@Suite struct ServingBitTests {
    /// Around the ends of chunks (64) and of pages (128).
    private static let lengths = [1, 2, 15, 62, 63, 64, 65, 66, 126, 127, 128, 129, 130, 191, 192, 193, 255, 256, 257]

    @Test func aCachedPrefixChangesNothing() async throws {
        let model = try ServingFixtures.embedded.get()
        let engine = try ServingEngine(model: model, limits: ServingFixtures.limits())
        for length in Self.lengths {
            let prefix = ServingFixtures.tokens(length, seed: UInt64(1000 + length))
            for tail in [3, 40] {
                var request = ServingFixtures.request(prefix + ServingFixtures.tokens(tail, seed: UInt64(tail)))
                request.places = [SnapshotPlace(.turn, at: length, isKept: true)]
                let (found, cached) = try await engine.submit(request).collect()
                #expect(cached == (tail == 3 ? 0 : length), "prefix of \(length)")
                let expected = try ServingFixtures.alone(request, on: model)
                #expect(found == expected, "prefix of \(length), \(cached) cached")
            }
        }
        #expect(engine.statistics.hits[.turn] == Self.lengths.count)
    }

    @Test(arguments: ["m2_rope", "swa", "gdn", "gka", "qwen3_dense"]) func soInEveryKindOfLayer(name: String)
        async throws
    {
        let model = try ServingFixtures.load(Fixtures.path("models/\(name)"), .bf16)
        let engine = try ServingEngine(
            model: model, limits: ServingFixtures.limits { $0.maxBatchedTokens = 37 })
        for length in [63, 64, 65, 127, 128, 129] {
            let prefix = ServingFixtures.tokens(length, seed: UInt64(length))
            for tail in [2, 30] {
                var request = ServingFixtures.request(prefix + ServingFixtures.tokens(tail, seed: UInt64(tail)))
                request.places = [SnapshotPlace(.turn, at: length, isKept: true)]
                let (found, cached) = try await engine.submit(request).collect()
                #expect(cached == (tail == 2 ? 0 : length), "prefix of \(length)")
                #expect(try found == ServingFixtures.alone(request, on: model), "prefix of \(length), \(cached) cached")
            }
        }
    }

    @Test(arguments: [1, 2, 3]) func aBatchOfSixtyFourIsSixtyFourAlone(threads: Int) async throws {
        let model = try ServingFixtures.small.get()
        let engine = try ServingEngine(
            model: model.on(ThreadPool(threads: threads)), limits: ServingFixtures.limits { $0.maxBatchedTokens = 100 })
        let requests = (0..<64).map { i in
            ServingFixtures.request(
                ServingFixtures.tokens(1 + i * 3, seed: UInt64(i)), tokens: 3 + i % 7, seed: UInt64(i))
        }
        let answers = try engine.submit(requests)
        for (request, answer) in zip(requests, answers) {
            let (found, _) = try await answer.collect()
            #expect(try found == ServingFixtures.alone(request, on: model))
        }
        #expect(engine.statistics.stepRows.count == engine.statistics.steps)
        #expect(engine.statistics.running == 0 && engine.statistics.waiting == 0)
    }

    @Test(arguments: [64, 2]) func choicesAreRequestsOfTheirOwn(sequences: Int) async throws {
        let model = try ServingFixtures.small.get()
        let engine = try ServingEngine(
            model: model, limits: ServingFixtures.limits { $0.maxSequences = sequences })
        for length in [1, 2, 64, 129, 200] {
            var request = ServingFixtures.request(ServingFixtures.tokens(length, seed: UInt64(length)), tokens: 6)
            request.choices = 5
            let (found, _) = try await engine.submit(request).collect(choices: 5)
            #expect(try found == ServingFixtures.alone(request, on: model), "prompt of \(length)")
            #expect(Set(found.choices.map(\.tokens)).count > 1)
        }
    }

    @Test func saltsShareNothingAndChangeNothing() async throws {
        let model = try ServingFixtures.small.get()
        let engine = try ServingEngine(model: model, limits: ServingFixtures.limits())
        let request = ServingFixtures.request(ServingFixtures.tokens(200, seed: 5))
        let expected = try ServingFixtures.alone(request, on: model)
        for (salt, cached) in [(nil, 0), ("a", 0), ("b", 0), ("a", 199), (nil, 199), ("b", 199)] as [(String?, Int)] {
            var salted = request
            salted.cacheSalt = salt
            let (found, reused) = try await engine.submit(salted).collect()
            #expect(found == expected)
            #expect(reused == cached, "salt \(salt ?? "none")")
        }
    }

    @Test func evictionChangesNothing() async throws {
        let model = try ServingFixtures.small.get()
        let one = model.cacheBytes(tokens: 400)
        let engine = try ServingEngine(
            model: model,
            limits: ServingFixtures.limits {
                $0.maxModelLength = 400
                $0.cacheMemory = 2 * one
            })
        let prompts = (0..<6).map { ServingFixtures.tokens(150 + 10 * $0, seed: UInt64($0)) }
        let expected = try prompts.map { try ServingFixtures.alone(ServingFixtures.request($0), on: model) }
        for round in 0..<4 {
            for (i, prompt) in prompts.enumerated() {
                let (found, _) = try await engine.submit(ServingFixtures.request(prompt)).collect()
                #expect(found == expected[i], "round \(round), prompt \(i)")
            }
        }
        let statistics = engine.statistics
        #expect(statistics.evictions.values.reduce(0, +) > 0)
        #expect(statistics.tokensRead[.evicted] ?? 0 > 0)
        #expect(statistics.peakBytes <= 2 * one)
    }

    @Test func preemptionChangesNothing() async throws {
        let model = try ServingFixtures.small.get()
        let one = model.cacheBytes(tokens: 700)
        let engine = try ServingEngine(
            model: model,
            limits: ServingFixtures.limits {
                $0.maxModelLength = 700
                $0.cacheMemory = one * 3 / 2
                $0.maxBatchedTokens = 64
            })
        var requests = (0..<3).map { i in
            ServingFixtures.request(ServingFixtures.tokens(40 + i, seed: UInt64(i)), tokens: 600, seed: UInt64(i))
        }
        (requests[1].sampling.repetitionPenalty, requests[1].sampling.frequencyPenalty) = (1.1, 0.2)
        (requests[2].sampling.presencePenalty, requests[2].sampling.logitBias) = (0.5, [7: 2])
        let answers = try engine.submit(requests)
        for (request, answer) in zip(requests, answers) {
            let (found, _) = try await answer.collect()
            #expect(try found == ServingFixtures.alone(request, on: model))
        }
        #expect(engine.statistics.preemptions > 0)
        #expect(engine.statistics.tokensRead[.preempted] ?? 0 > 0)
        #expect(engine.statistics.peakBytes <= one * 3 / 2)
    }

    @Test func constrainedAnswersAreValidAndTheSame() async throws {
        let model = try ServingFixtures.embedded.get()
        var rules = AnswerRules()
        rules.form = .regex("(yes|no), [a-z]{3,9} [0-9]{2,4}", place: "regex")
        let engine = try ServingEngine(model: model, limits: ServingFixtures.limits { $0.maxSequences = 3 })
        var request = ServingFixtures.request(ServingFixtures.tokens(70, seed: 9), tokens: 60)
        request.constraint = try ConstraintFixtures.compiler.get().constraint(rules)
        request.endTokens = [ConstraintFixtures.endToken]
        request.choices = 6
        request.sampling.temperature = 3
        let (first, _) = try await engine.submit(request).collect(choices: 6)
        let tokenizer = try ConstraintFixtures.tokenizer.get()
        for choice in first.choices {
            let text = try tokenizer.decode(Array(choice.tokens.dropLast()))
            #expect(text.wholeMatch(of: /(yes|no), [a-z]{3,9} [0-9]{2,4}/) != nil, "\(text)")
            #expect(choice.reason == .end(ConstraintFixtures.endToken))
        }
        let (second, cached) = try await engine.submit(request).collect(choices: 6)
        #expect(second == first && cached == 69)
        // Ends that may not come yet, where nothing else can.
        rules.form = .choice(["yes"], place: "choice")
        request.constraint = try ConstraintFixtures.compiler.get().constraint(rules)
        (request.choices, request.minTokens, request.ignoresEnd) = (1, 30, true)
        let (short, _) = try await engine.submit(request).collect()
        #expect(try tokenizer.decode(Array(short.choices[0].tokens.dropLast())) == "yes")
        #expect(short.choices[0].reason == .end(ConstraintFixtures.endToken))
    }

    @Test(arguments: [5, 512]) func scoresOfPromptsAreThoseOfTheModel(rows: Int) async throws {
        let model = try ServingFixtures.small.get()
        let engine = try ServingEngine(model: model, limits: ServingFixtures.limits { $0.maxBatchedTokens = rows })
        for length in [1, 2, 63, 64, 65, 130] {
            var request = ServingFixtures.request(ServingFixtures.tokens(length, seed: 3), tokens: 1)
            request.promptScores = 3
            for _ in 0..<2 {
                let (found, cached) = try await engine.submit(request).collect()
                #expect(cached == 0)
                #expect(try found == ServingFixtures.alone(request, on: model), "prompt of \(length)")
                #expect(found.scores?.count == length - 1)
            }
        }
        var request = ServingFixtures.request(ServingFixtures.tokens(30, seed: 3), tokens: 0)
        request.promptScores = 0
        let (found, _) = try await engine.submit(request).collect()
        #expect(found.scores?.count == 29 && found.choices[0].tokens.isEmpty && found.choices[0].reason == .length)
    }
}
