import DualityCore
import Foundation
import TestSupport
import Testing

@testable import DualityInference
@testable import DualityQuant

/// What a server remembers over a restart.
@Suite struct SnapshotFileTests {
    private final class Notices: @unchecked Sendable {
        private let lock = NSLock()
        private var lines: [String] = []
        func add(_ line: String) { lock.withLock { lines.append(line) } }
        var all: [String] { lock.withLock { lines } }
    }

    private func limits(_ folder: URL, _ notices: Notices? = nil, identity: String = "m") -> ServingLimits {
        ServingFixtures.limits {
            $0.stateDirectory = folder.path
            $0.modelIdentity = identity
            $0.notice = { notices?.add($0) }
        }
    }

    private func requests() -> [ServingRequest] {
        [63, 64, 100, 128, 131, 200].map { length in
            var request = ServingFixtures.request(ServingFixtures.tokens(length + 20, seed: UInt64(length)))
            request.places = [SnapshotPlace(length % 2 == 0 ? .system : .turn, at: length, isKept: true)]
            return request
        }
    }

    @Test(arguments: ["m2", "swa", "gdn"]) func aRestartKeepsSystemsAndTurnsAndEveryBit(name: String) async throws {
        let model = try ServingFixtures.load(Fixtures.path("models/\(name)"), .int8)
        let folder = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: folder) }
        let first = try ServingEngine(model: model, limits: limits(folder))
        for request in requests() { _ = try await first.submit(request).collect() }
        var salted = requests()[3]
        salted.prompt = ServingFixtures.tokens(90, seed: 77)
        salted.cacheSalt = "secret"
        _ = try await first.submit(salted).collect()
        await first.drain()
        let notices = Notices()
        let second = try ServingEngine(model: model, limits: limits(folder, notices))
        for request in requests() {
            let (found, cached) = try await second.submit(request).collect()
            #expect(cached == request.places[0].tokenCount)
            #expect(try found == ServingFixtures.alone(request, on: model))
        }
        let (_, cached) = try await second.submit(salted).collect()
        #expect(cached == 0)
        #expect(notices.all == [])
        await second.drain()
    }

    @Test func filesOfAnotherModelAndDamagedFilesAreNotUsed() async throws {
        let model = try ServingFixtures.small.get()
        let folder = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: folder) }
        let first = try ServingEngine(model: model, limits: limits(folder))
        let request = requests()[3]
        _ = try await first.submit(request).collect()
        await first.drain()

        let other = try ServingEngine(model: model, limits: limits(folder, identity: "other"))
        #expect(try await other.submit(request).collect().cached == 0)
        await other.drain()

        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(names.count == 2)
        for name in names {
            let file = folder.appendingPathComponent(name)
            var bytes = try Data(contentsOf: file)
            bytes[bytes.count - 5] ^= 1
            try bytes.write(to: file)
        }
        let notices = Notices()
        let third = try ServingEngine(model: model, limits: limits(folder, notices))
        let (found, cached) = try await third.submit(request).collect()
        #expect(cached == 0)
        #expect(try found == ServingFixtures.alone(request, on: model))
        #expect(notices.all.count == 1 && notices.all[0].contains("bytes that were written"), "\(notices.all)")
        await third.drain()
    }

    @Test func aFolderThatCannotBeWrittenIsRefusedAtOnce() throws {
        let model = try ServingFixtures.load(Fixtures.path("models/m2"), .int8)
        let folder = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appendingPathComponent("file")
        try Data().write(to: file)
        for path in [file, file.appendingPathComponent("below")] {
            #expect(throws: InputError.self) { try ServingEngine(model: model, limits: limits(path)) }
        }
    }

    @Test func aFolderIsKeptWithinTheBudget() async throws {
        let model = try ServingFixtures.small.get()
        let folder = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: folder) }
        var limits = limits(folder)
        limits.maxModelLength = 256
        limits.cacheMemory = model.cacheBytes(tokens: 256) * 4
        let engine = try ServingEngine(model: model, limits: limits)
        for seed in 0..<12 {
            var request = ServingFixtures.request(ServingFixtures.tokens(200, seed: UInt64(seed)), tokens: 1)
            request.places = [SnapshotPlace(.system, at: 150)]
            _ = try await engine.submit(request).collect()
        }
        await engine.drain()
        let sizes = try FileManager.default.contentsOfDirectory(atPath: folder.path).map {
            try Data(contentsOf: folder.appendingPathComponent($0)).count
        }
        #expect(!sizes.isEmpty && sizes.count < 12 && sizes.reduce(0, +) <= limits.cacheMemory ?? 0, "\(sizes)")
    }

    @Test func aSnapshotOnTheGridLeavesOutTheOpenChunk() throws {
        let model = try ServingFixtures.small.get()
        let tokens = ServingFixtures.tokens(200, seed: 9)
        for length in [64, 65, 128] {
            let memory = CacheMemory(for: model, bytes: 64 << 20)
            var cache = model.makeCache(in: memory)
            _ = try model.extend(&cache, by: Array(tokens[..<length]), logits: .none)
            let snapshot = cache.snapshot()
            #expect((snapshot.stateBytes < cache.stateBytes) == (length % 64 == 0))
            var copy = snapshot
            let rest = Array(tokens[length...])
            let (a, b) = (try model.extend(&copy, by: rest), try model.extend(&cache, by: rest))
            #expect(a == b)
            #expect(copy.stateBytes == cache.stateBytes)
        }
    }

    @Test func whatCachesShareIsCountedOnce() throws {
        let model = try ServingFixtures.small.get()
        let memory = CacheMemory(for: model, bytes: 64 << 20)
        var cache = model.makeCache(in: memory)
        _ = try model.extend(&cache, by: ServingFixtures.tokens(256, seed: 9), logits: .none)
        let one = memory.byteCount
        #expect(one == model.cacheBytes(tokens: 256))
        var copies = [cache, cache]
        #expect(memory.byteCount == one)
        _ = try model.extend(&copies[0], by: [5], logits: .none)
        #expect(memory.byteCount == one + model.stateBytes + model.pageSetBytes)
        copies = []
        #expect(memory.byteCount == one)
        cache = .none
        #expect(memory.byteCount == 0 && memory.idleBytes > 0)
        memory.trim(keeping: 0)
        #expect(memory.idleBytes == 0)
    }
}
