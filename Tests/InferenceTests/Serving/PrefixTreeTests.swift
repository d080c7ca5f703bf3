import DualityCore
import DualityQuant
import TestSupport
import Testing

@testable import DualityInference

@Suite struct PrefixTreeTests {
    /// Against a list of everything that was placed.
    @Test func matchesAreTheLongestOfAll() throws {
        let cache = try ServingFixtures.small.get().makeCache()
        let tree = PrefixTree(pathBytes: 1 << 20)
        var random = RandomSource(seed: 3)
        func prompt() -> [Int] { (0..<random.integer(in: 1...12)).map { _ in random.integer(in: 0...1) } }
        var placed: Set<[Int]> = []
        var learnt: [[Int]] = []
        for round in 0..<2000 {
            let tokens = prompt()
            switch round % 3 {
            case 0:
                #expect(tree.place(cache, behind: tokens, salt: nil, kind: .turn) == !placed.contains(tokens))
                placed.insert(tokens)
                learnt.append(tokens)
            case 1:
                tree.learn(tokens, salt: nil)
                learnt.append(tokens)
            default:
                let limit = random.integer(in: 0...12)
                let match = tree.match(tokens, salt: nil, atMost: limit)
                let expected = (0...tokens.count).last { $0 <= limit && placed.contains(Array(tokens[..<$0])) } ?? 0
                #expect(match.tokenCount == expected)
                let path = learnt.map { zip($0, tokens).prefix { $0 == $1 }.count }.max() ?? 0
                #expect(match.pathTokens == path)
                #expect(match.node?.path ?? [] == Array(tokens[..<expected]))
                #expect(tree.match(tokens, salt: "other", atMost: 12).pathTokens == 0)
            }
        }
        #expect(tree.snapshotCount == placed.count)
        while tree.evictLeast() != nil {}
        #expect(tree.snapshotCount == 0)
        for tokens in placed { #expect(tree.match(tokens, salt: nil, atMost: 99).evictedTokens > 0) }
    }

    @Test func whatCostsMuchAndIsUsedStays() throws {
        let cache = try ServingFixtures.small.get().makeCache()
        let tree = PrefixTree(pathBytes: 1 << 20)
        let long = ServingFixtures.tokens(1000, seed: 1)
        tree.place(cache, behind: long, salt: nil, kind: .system)
        tree.place(cache, behind: ServingFixtures.tokens(20, seed: 2), salt: nil, kind: .turn)
        tree.place(cache, behind: ServingFixtures.tokens(30, seed: 3), salt: nil, kind: .prompt)
        // Twenty tokens that are often used are worth more than thirty that are not.
        for _ in 0..<5 { _ = tree.match(ServingFixtures.tokens(20, seed: 2), salt: nil, atMost: 20).node.map(tree.use) }
        // A step of ten tokens behind a thousand is worth ten tokens.
        tree.place(cache, behind: long + [7, 7, 7, 7, 7], salt: nil, kind: .answer)
        #expect((0..<4).map { _ in tree.evictLeast() } == [.answer, .prompt, .turn, .system])
        #expect(tree.evictLeast() == nil)
    }

    @Test func oldSnapshotsThatWereUsedGoInTheEnd() throws {
        let cache = try ServingFixtures.small.get().makeCache()
        let tree = PrefixTree(pathBytes: 1 << 20)
        let old = ServingFixtures.tokens(100, seed: 1)
        tree.place(cache, behind: old, salt: nil, kind: .system)
        for _ in 0..<3 { _ = tree.match(old, salt: nil, atMost: 100).node.map(tree.use) }
        // The clock rises with what is evicted, and what is new begins at the clock.
        var rounds = 0
        while tree.match(old, salt: nil, atMost: 100).tokenCount > 0, rounds < 100 {
            rounds += 1
            tree.place(cache, behind: ServingFixtures.tokens(90, seed: UInt64(100 + rounds)), salt: nil, kind: .turn)
            if tree.snapshotCount > 2 { _ = tree.evictLeast() }
        }
        #expect(rounds > 3 && rounds < 20, "\(rounds) rounds")
    }

    @Test func pathsAreForgottenAndSnapshotsAreNot() throws {
        let cache = try ServingFixtures.small.get().makeCache()
        let tree = PrefixTree(pathBytes: 20_000)
        let kept = ServingFixtures.tokens(100, seed: 1)
        tree.place(cache, behind: kept, salt: nil, kind: .turn)
        for seed in 0..<200 { tree.learn(ServingFixtures.tokens(100, seed: UInt64(seed + 2)), salt: "\(seed % 3)") }
        #expect(tree.pathBytes <= 20_000)
        #expect(tree.match(kept, salt: nil, atMost: 100).tokenCount == 100)
        #expect(tree.match(ServingFixtures.tokens(100, seed: 201), salt: "1", atMost: 100).pathTokens == 100)
        #expect(tree.match(ServingFixtures.tokens(100, seed: 2), salt: "0", atMost: 100).pathTokens < 100)
    }

    @Test func placesNearEachOtherAreMerged() {
        func plan(_ places: [SnapshotPlace], from start: Int = 0, branch: Int? = nil, grid: Int = 256) -> [Int] {
            PlacementPlan.snapshots(of: 600, places: places, from: start, grid: grid, branch: branch).map(\.tokenCount)
        }
        #expect(plan([]) == [256, 512, 599])
        let turns = [50, 200, 300, 450].map { SnapshotPlace(.turn, at: $0) }
        let generation = SnapshotPlace(.turn, at: 595, isKept: true)
        #expect(plan(turns + [generation, SnapshotPlace(.system, at: 40)]) == [40, 256, 300, 450, 512, 595, 599])
        #expect(plan([SnapshotPlace(.turn, at: 590)]) == [256, 512, 599])
        #expect(plan([SnapshotPlace(.system, at: 250)]) == [256, 512, 599])
        #expect(plan([], from: 300, branch: 400) == [400, 512, 599])
        #expect(
            plan([SnapshotPlace(.turn, at: 0), SnapshotPlace(.turn, at: 600), SnapshotPlace(.turn, at: -3)]) == plan([])
        )
        // The shapes of the design's table.
        #expect(PlacementPlan.grid(snapshotBytes: 530 * 72, pageSetBytes: 128 * 72, pageTokens: 128) == 1024)
        #expect(PlacementPlan.grid(snapshotBytes: 268 * 56, pageSetBytes: 128 * 56, pageTokens: 128) == 512)
        #expect(PlacementPlan.grid(snapshotBytes: 1, pageSetBytes: 128, pageTokens: 128) == 256)
    }

    @Test func theTimesOfStepsAreFoundOut() {
        var times = StepTimes()
        var random = RandomSource(seed: 8)
        func observe(_ fixed: Double, _ perRow: Double, _ perKey: Double) {
            for _ in 0..<600 {
                let (rows, keys) = (random.integer(in: 1...64), random.integer(in: 0...100_000))
                times.observe(
                    rows: rows, keys: keys, seconds: fixed + perRow * Double(rows) + perKey * Double(keys))
            }
        }
        observe(0.27, 0.004, 1e-7)
        #expect(abs(times.fixed - 0.27) < 1e-4 && abs(times.perRow - 0.004) < 1e-6 && abs(times.perKey - 1e-7) < 1e-10)
        #expect(times.rows(beside: 1, keys: 0, at: 0, slowdown: 1.5) == 34)
        observe(0.1, 0.012, 0)
        #expect(abs(times.fixed - 0.1) < 0.01 && abs(times.perRow - 0.012) < 1e-3)
        var alike = StepTimes()
        for _ in 0..<50 { alike.observe(rows: 1, keys: 10, seconds: 0.2) }
        #expect(abs(alike.seconds(rows: 1, keys: 10) - 0.2) < 1e-3)
        #expect(alike.perRow >= 0 && alike.perKey >= 0)
    }

    /// Steps whose rows are free up to the twentieth and cost a hundredth of a second each beyond.
    @Test func linesAreTrueOfShortStepsAndRowsNeverForgotten() {
        var times = StepTimes()
        func seconds(_ rows: Int) -> Double { 0.2 + 0.01 * Double(max(rows - 20, 0)) }
        for rows in [1, 1, 16, 64] { times.observe(rows: rows, keys: 0, seconds: seconds(rows), isFirst: true) }
        // One stream alone for long: a row beside it is as dear as it was.
        for _ in 0..<5000 { times.observe(rows: 1, keys: 0, seconds: seconds(1)) }
        let first = times.rows(beside: 1, keys: 0, at: 0, slowdown: 1.5)
        #expect((12...24).contains(first), "\(first)")
        // Long prompts alone say little of what rows cost beside four streams.
        for _ in 0..<20 { times.observe(rows: 512, keys: 0, seconds: seconds(512)) }
        var rows = 16
        for _ in 0..<200 {
            times.observe(rows: 4 + rows, keys: 0, seconds: seconds(4 + rows))
            rows = times.rows(beside: 4, keys: 0, at: 0, slowdown: 1.5)
        }
        #expect((24...27).contains(rows), "\(rows)")
    }
}
