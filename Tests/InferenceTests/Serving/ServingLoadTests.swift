//  Several hundred requests of all kinds at once, in little memory, with readers that leave.

import DualityCore
import DualityQuant
import Foundation
import TestSupport
import Testing

@testable import DualityInference

@Suite struct ServingLoadTests {
    private static func mixed(_ i: Int, _ random: inout RandomSource) -> ServingRequest {
        // A few beginnings that many share, of lengths around chunks and pages.
        let beginning = ServingFixtures.tokens(60 + 5 * (i % 5) * (i % 7), seed: UInt64(i % 5))
        let rest = ServingFixtures.tokens(1 + random.integer(in: 0...60), seed: UInt64(i % 40))
        var request = ServingFixtures.request(
            beginning + rest, tokens: 1 + random.integer(in: 0...24), seed: UInt64(i % 11))
        request.places = [SnapshotPlace(.turn, at: beginning.count, isKept: i % 2 == 0)]
        if i % 6 == 0 { request.choices = 1 + random.integer(in: 0...3) }
        if i % 9 == 0 { request.promptScores = 1 }
        if i % 13 == 0 { request.cacheSalt = "salt \(i % 2)" }
        if i % 4 == 0 { request.sampling = .greedy }
        if i % 5 == 0 { request.endTokens = Set(0..<40) }
        return request
    }

    @Test(arguments: [1, 3]) func mixedRequestsLeaveNothingBehind(threads: Int) async throws {
        let model = try ServingFixtures.small.get()
        let budget = model.cacheBytes(tokens: 300) * 5
        let engine = try ServingEngine(
            model: model.on(ThreadPool(threads: threads)),
            limits: ServingFixtures.limits {
                $0.maxModelLength = 300
                $0.cacheMemory = budget
                $0.maxSequences = 24
                $0.maxQueue = 1000
                $0.maxBatchedTokens = threads == 1 ? 512 : 48
            })
        var random = RandomSource(seed: UInt64(threads))
        let requests = (0..<160).map { Self.mixed($0, &random) }
        let leaves = requests.map { _ in random.integer(in: 0...3) == 0 ? random.integer(in: 0...6) : nil }
        try await withThrowingTaskGroup(of: (Int, Collected?).self) { group in
            for (i, request) in requests.enumerated() {
                group.addTask {
                    let answer = try engine.submit(request)
                    guard let events = leaves[i] else {
                        return (i, try await answer.collect(choices: request.choices).answer)
                    }
                    var count = 0
                    for await _ in answer.events {
                        if count == events { break }
                        count += 1
                    }
                    engine.cancel(answer.id)
                    return (i, nil)
                }
            }
            for try await (i, found) in group {
                guard let found, i % 4 == 1 || requests[i].promptScores != nil else { continue }
                #expect(try found == ServingFixtures.alone(requests[i], on: model), "request \(i)")
            }
        }
        await engine.drain()
        let statistics = engine.statistics
        #expect(statistics.running == 0 && statistics.waiting == 0 && statistics.liveBytes == 0)
        #expect(statistics.peakBytes <= budget, "\(statistics.peakBytes) of \(budget) bytes")
        #expect(statistics.ended.values.reduce(0, +) == requests.reduce(0) { $0 + $1.choices })
        #expect(statistics.evictions.values.reduce(0, +) > 0)
        #expect(statistics.prefixHits > 0)
        let read = statistics.tokensRead.filter { $0.key != .preempted }.values.reduce(0, +)
        #expect(read + statistics.prefixHits == statistics.promptTokens)
    }
}
