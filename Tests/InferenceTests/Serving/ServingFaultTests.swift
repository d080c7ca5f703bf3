//  A wrong snapshot is seen: the comparison of cached with cold answers is trusted because these
//  fail it.
//
//  The fault is planted in a file of snapshots, with a hash that fits, so that the engine takes it
//  for its own.

import DualityCore
import Foundation
import TestSupport
import Testing

@testable import DualityInference
@testable import DualityQuant

@Suite struct ServingFaultTests {
    enum Fault: String, CaseIterable {
        case none, stateHalved, windowZeroed, countTooHigh, pageZeroed, tokenMissing
    }

    /// A snapshot of `tokens` that is wrong in one way.
    private static func cache(_ tokens: [Int], _ fault: Fault, on model: QuantModel) throws -> QuantCache {
        var cache = model.makeCache()
        _ = try model.extend(&cache, by: fault == .countTooHigh ? Array(tokens.dropLast()) : tokens, logits: .none)
        switch fault {
        case .none, .tokenMissing: break
        case .countTooHigh: cache.tokenCount = tokens.count
        case .pageZeroed:
            for layer in cache.layers {
                layer.keyValues?.withAddresses { _ = memset($0[0], 0, layer.keyValues?.pageBytes ?? 0) }
            }
        case .stateHalved:
            for layer in cache.layers {
                guard let state = layer.scan?.state else { continue }
                for i in state.indices { state[i] /= 2 }
            }
        case .windowZeroed:
            let count = (cache.shape.taps - 1) * (cache.shape.mamba2?.channels ?? 0)
            for layer in cache.layers { for i in 0..<count { layer.scan?.window[i] = 0 } }
        }
        return cache
    }

    @Test(arguments: [128, 150]) func plantedFaultsAreSeen(length: Int) async throws {
        let model = try ServingFixtures.small.get()
        let prefix = ServingFixtures.tokens(length, seed: 31)
        for fault in Fault.allCases {
            let folder = try Fixtures.temporaryDirectory()
            defer { try? FileManager.default.removeItem(at: folder) }
            let limits = ServingFixtures.limits {
                $0.stateDirectory = folder.path
                $0.modelIdentity = "small"
            }
            let budget = try ServingBudget(model, limits)
            let files = SnapshotFiles(directory: folder.path, model: model, limits: limits, budget: budget)
            // A tree finds snapshots through their tokens: of other tokens it must find none.
            let named = fault == .tokenMissing ? Array(prefix.dropLast()) + [1] : prefix
            files.placed(named, try Self.cache(prefix, fault, on: model), .system, salt: nil)
            files.saveAll(of: PrefixTree(pathBytes: 1 << 20))

            let engine = try ServingEngine(model: model, limits: limits)
            let request = ServingFixtures.request(prefix + ServingFixtures.tokens(9, seed: 2), tokens: 6)
            let (found, cached) = try await engine.submit(request).collect()
            // At the end of a chunk a file has no place for an open one, and a wrong count is
            // refused.
            let isRefused = fault == .tokenMissing || (fault == .countTooHigh && length % 64 == 0)
            #expect(cached == (isRefused ? 0 : length), "\(fault)")
            let isRight = try found == ServingFixtures.alone(request, on: model)
            #expect(isRight == (fault == .none || isRefused), "\(fault) behind \(length) tokens")
            await engine.drain()
        }
    }
}
