//  Who is served when, what is refused, and what is left behind.

import DualityCore
import DualityQuant
import Foundation
import TestSupport
import Testing

@testable import DualityInference

@Suite struct ServingScheduleTests {
    private func small(_ change: (inout ServingLimits) -> Void = { _ in }) throws -> ServingEngine {
        try ServingEngine(model: ServingFixtures.small.get(), limits: ServingFixtures.limits(change))
    }

    /// An engine whose sequences may be so long that none ends by itself.
    private func endless(
        _ change: (inout ServingLimits) -> Void = { _ in }
    ) throws -> (engine: ServingEngine, request: ServingRequest) {
        var model = try ServingFixtures.small.get()
        model.contextLimit = nil
        let engine = try ServingEngine(
            model: model,
            limits: ServingFixtures.limits {
                $0.maxModelLength = 200_000
                $0.cacheMemory = 1 << 30
                change(&$0)
            })
        return (engine, ServingFixtures.request(ServingFixtures.tokens(50, seed: 1), tokens: 190_000))
    }

    @Test func whoLeavesIsGoneWithinTwoSteps() async throws {
        let (engine, request) = try endless()
        let answer = try engine.submit(request)
        var tokens = 0
        for await event in answer.events {
            if case .token = event { tokens += 1 }
            if tokens == 5 { break }
        }
        let steps = engine.mailbox.send { state in
            state.commands.append(.cancel(answer.id))
            return state.statistics.steps
        }
        while engine.statistics.cancelled == 0 { try await Task.sleep(for: .milliseconds(1)) }
        #expect(engine.statistics.steps <= steps + 2)
        #expect(engine.statistics.ended["abort"] == 1 && engine.statistics.running == 0)
        #expect(engine.statistics.liveBytes == 0)
    }

    @Test func aReaderWhoseTaskIsCancelledCancelsTheRequest() async throws {
        let (engine, request) = try endless()
        let answer = try engine.submit(request)
        await answer.begun()
        let reader = Task { for await _ in answer.events {} }
        reader.cancel()
        while engine.statistics.cancelled == 0 { try await Task.sleep(for: .milliseconds(1)) }
        #expect(engine.statistics.running == 0)
    }

    @Test func aChoiceThatIsFinishedEndsAloneAndCountsWhatItsCallerSays() async throws {
        var (engine, request) = try endless()
        request.choices = 2
        let answer = try engine.submit(request)
        var (counts, usages) = ([0, 0], [0, 0])
        var reasons: [ServingReason?] = [nil, nil]
        for await event in answer.events {
            switch event {
            case .token(let choice, _):
                counts[choice] += 1
                if choice == 1, counts[1] == 20 { engine.finish(answer.id, choice: 1, tokens: 18) }
            case .finished(let choice, let reason, let usage):
                (reasons[choice], usages[choice]) = (reason, usage.tokens)
                if choice == 1 { engine.cancel(answer.id) }
            default: break
            }
        }
        #expect(usages == [counts[0], 18])
        #expect(reasons == [.cancelled, .finished])
        #expect(engine.statistics.generationTokens == counts[0] + 18)
    }

    @Test func requestsThatCannotBeServedAreRefused() throws {
        let engine = try small { $0.maxModelLength = 100 }
        func rejection(_ change: (inout ServingRequest) -> Void) -> ServingRejection? {
            var request = ServingFixtures.request(ServingFixtures.tokens(50, seed: 1))
            change(&request)
            do throws(ServingRejection) {
                _ = try engine.submit(request)
                return nil
            } catch {
                return error
            }
        }
        #expect(
            rejection { $0.maxTokens = 51 } == .contextLengthExceeded(limit: 100, promptTokens: 50, maxTokens: 51))
        #expect(
            rejection { ($0.prompt, $0.maxTokens) = (ServingFixtures.tokens(100, seed: 1), nil) }
                == .contextLengthExceeded(limit: 100, promptTokens: 100, maxTokens: nil))
        let wrong: [(inout ServingRequest) -> Void] = [
            { $0.prompt = [] }, { $0.prompt = [512] }, { $0.prompt = [-1] }, { $0.choices = 0 },
            { $0.maxTokens = 0 }, { $0.minTokens = 5 }, { $0.logprobs = -1 }, { $0.sampling.topP = 0 },
            { $0.stopTokens = [1 << 40] }, { $0.sampling.logitBias = [512: 1] }, { $0.minTokens = .max },
        ]
        for (i, change) in wrong.enumerated() {
            guard case .invalid = rejection(change) else {
                Issue.record("request \(i) was taken")
                continue
            }
        }
        #expect(engine.statistics.rejected["invalid_value"] == wrong.count)
    }

    @Test func aFullQueueSaysWhenToComeAgain() async throws {
        let engine = try small { ($0.maxSequences, $0.maxQueue) = (1, 2) }
        let request = ServingFixtures.request(ServingFixtures.tokens(50, seed: 1), tokens: 300)
        let taken = try (0..<3).map { _ in try engine.submit(request) }
        do throws(ServingRejection) {
            _ = try engine.submit(request)
            Issue.record("a fourth was taken")
        } catch {
            guard case .queueFull(let seconds) = error else { throw error }
            #expect((1...60).contains(seconds))
        }
        for answer in taken.dropFirst() { engine.cancel(answer.id) }
        _ = try await taken[0].collect()
        #expect(engine.statistics.rejected["queue_full"] == 1)
    }

    @Test func budgetsThatHoldNoSequenceAreRefusedWithWhatWould() throws {
        let error = #expect(throws: InputError.self) {
            _ = try small { $0.cacheMemory = 1 << 20 }
        }
        #expect(error?.remedy.contains("max_model_len of at most") == true, "\(String(describing: error))")
        #expect(throws: InputError.self) { _ = try small { $0.maxModelLength = 4096 } }
        #expect(throws: InputError.self) { _ = try small { $0.maxSequences = 0 } }
        #expect(throws: InputError.self) { _ = try small { $0.stateDirectory = "states" } }
    }

    @Test func hugeLimitsAreTaken() async throws {
        let engine = try small {
            ($0.cacheMemory, $0.maxSequences, $0.maxQueue) = (.max, .max, .max)
            ($0.maxBatchedTokens, $0.decodeSlowdown) = (.max, 1e300)
        }
        let request = ServingFixtures.request(ServingFixtures.tokens(100, seed: 1))
        let answers = try (0..<3).map { _ in try engine.submit(request) }
        for answer in answers {
            #expect(
                try await answer.collect().answer == ServingFixtures.alone(request, on: ServingFixtures.small.get()))
        }
    }

    @Test func drainingRefusesWhatWaitsAndWaitsForWhatRuns() async throws {
        let (engine, request) = try endless { $0.maxSequences = 1 }
        let (first, second) = (try engine.submit(request), try engine.submit(request))
        await first.begun()
        async let drained: Void = engine.drain()
        await #expect(throws: ServingRejection.shuttingDown) { _ = try await second.collect() }
        #expect(throws: ServingRejection.shuttingDown) { _ = try engine.submit(request) }
        #expect(engine.statistics.running == 1)
        engine.cancel(first.id)
        await drained
        await engine.drain()
        #expect(engine.statistics.running == 0)
    }

    @Test func allCanBeCancelled() async throws {
        let (engine, request) = try endless { $0.maxSequences = 2 }
        let answers = try (0..<4).map { _ in try engine.submit(request) }
        engine.cancelAll()
        await engine.drain()
        #expect(engine.statistics.running == 0 && engine.statistics.waiting == 0)
        for answer in answers { for await _ in answer.events {} }
    }

    @Test func requestsWithOnePrefixReadItOnce() async throws {
        let engine = try small()
        let prefix = ServingFixtures.tokens(1024, seed: 4)
        let requests = (0..<8).map { i in
            ServingFixtures.request(prefix + ServingFixtures.tokens(20, seed: UInt64(100 + i)), tokens: 3)
        }
        for (request, answer) in zip(requests, try engine.submit(requests)) {
            let (found, _) = try await answer.collect()
            #expect(try found == ServingFixtures.alone(request, on: ServingFixtures.small.get()))
        }
        let read = engine.statistics.tokensRead.values.reduce(0, +)
        #expect(Double(read) <= 1.3 * 1044, "\(read) tokens read")
        #expect(engine.statistics.prefixWaits >= 7)
    }

    @Test func theThirdPromptThatPartsThereBeginsThere() async throws {
        let engine = try small()
        let prefix = ServingFixtures.tokens(150, seed: 4)
        for (i, expected) in [0, 0, 150, 150].enumerated() {
            let request = ServingFixtures.request(prefix + ServingFixtures.tokens(60, seed: UInt64(20 + i)))
            let (_, cached) = try await engine.submit(request).collect()
            #expect(cached == expected, "request \(i)")
        }
        #expect(engine.statistics.tokensRead[.divergence] == 150)
        #expect(engine.statistics.placed[.branch] == 1)
    }

    @Test func snapshotsOnTheWayTakeNoStepOfTheirOwn() async throws {
        let (model, engine) = (try ServingFixtures.small.get(), try small())
        let prompt = ServingFixtures.tokens(300, seed: 4)
        var request = ServingFixtures.request(prompt, tokens: 1)
        request.places = [SnapshotPlace(.system, at: 40), SnapshotPlace(.turn, at: 200, isKept: true)]
        #expect(try await engine.submit(request).collect().answer == ServingFixtures.alone(request, on: model))
        #expect(engine.statistics.steps == 1)
        #expect(engine.statistics.placed == [.system: 1, .turn: 1, .prompt: 1])
        for length in [40, 200, 299] {
            let other = ServingFixtures.request(prompt[..<length] + ServingFixtures.tokens(9, seed: UInt64(length)))
            let (found, cached) = try await engine.submit(other).collect()
            #expect(cached == length)
            #expect(try found == ServingFixtures.alone(other, on: model), "behind \(length)")
        }
    }

    @Test func theNextTurnBeginsBehindTheAnswer() async throws {
        let engine = try small()
        var request = ServingFixtures.request(ServingFixtures.tokens(100, seed: 4), tokens: 30)
        request.endTokens = Set(0..<200)
        let (first, _) = try await engine.submit(request).collect()
        guard case .end = first.choices[0].reason else {
            Issue.record("the answer ended by \(String(describing: first.choices[0].reason))")
            return
        }
        let answer = first.choices[0].tokens.dropLast()
        request.prompt += answer + ServingFixtures.tokens(10, seed: 6)
        let (found, cached) = try await engine.submit(request).collect()
        #expect(cached == 100 + answer.count - (answer.isEmpty ? 1 : 0))
        #expect(try found == ServingFixtures.alone(request, on: ServingFixtures.small.get()))
    }

    @Test func aShortPromptDoesNotWaitForALongOne() async throws {
        let (engine, request) = try endless { $0.maxBatchedTokens = 64 }
        var long = request
        long.prompt = ServingFixtures.tokens(190_000, seed: 1)
        long.maxTokens = 1
        let short = ServingFixtures.request(ServingFixtures.tokens(20, seed: 2), tokens: 2)
        let answers = try engine.submit([long, short])
        _ = try await answers[1].collect()
        #expect(engine.statistics.running == 1)
        engine.cancel(answers[0].id)
    }

    @Test func aLongPromptDoesNotFillTheStepThatEndsAShortOne() async throws {
        let (engine, request) = try endless { $0.decodeSlowdown = 1 }
        var long = request
        (long.prompt, long.maxTokens) = (ServingFixtures.tokens(190_000, seed: 1), 1)
        let short = ServingFixtures.request(ServingFixtures.tokens(20, seed: 2), tokens: 1)
        let answers = try engine.submit([long, short])
        _ = try await answers[1].collect()
        // 20 rows and the least that a long prompt has; all other steps have 512.
        let rows = engine.statistics.iterationTokens
        #expect(Int(rows.sum) % 512 == 36, "\(rows.sum)")
        engine.cancel(answers[0].id)
    }

    @Test func minTokensAndIgnoredEndsAreKept() async throws {
        let model = try ServingFixtures.small.get()
        let engine = try small()
        var request = ServingFixtures.request(ServingFixtures.tokens(30, seed: 1), tokens: 40)
        request.endTokens = Set(0..<256)
        request.stopTokens = Set(256..<300)
        request.minTokens = 12
        let (found, _) = try await engine.submit(request).collect()
        let tokens = found.choices[0].tokens
        #expect(tokens.prefix(12).allSatisfy { $0 >= 300 } && tokens.count >= 13)
        request.ignoresEnd = true
        request.stopTokens = []
        let (ignoring, _) = try await engine.submit(request).collect()
        #expect(ignoring.choices[0].reason == .length && ignoring.choices[0].tokens.count == 40)
        var plain = request
        plain.endTokens = []
        #expect(try ignoring == ServingFixtures.alone(plain, on: model))
    }

    @Test func aPausedRequestDrawsNothing() async throws {
        let (engine, request) = try endless()
        let answer = try engine.submit(request)
        await answer.begun()
        engine.setPaused(true, for: answer.id)
        let other = ServingFixtures.request(ServingFixtures.tokens(30, seed: 2), tokens: 4)
        _ = try await engine.submit(other).collect()
        let rows = engine.statistics.iterationTokens.sum
        _ = try await engine.submit(other).collect()
        // One token of the prompt, and all tokens drawn but the last.
        #expect(engine.statistics.iterationTokens.sum == rows + 4)
        engine.setPaused(false, for: answer.id)
        while engine.statistics.iterationTokens.sum < rows + 10 { try await Task.sleep(for: .milliseconds(1)) }
        engine.cancel(answer.id)
    }
}
