//  Cases handed out to ranks, here threads of one process.

import DualityCore
import Foundation
import Synchronization
import Testing

@testable import DualityQuant

@Suite struct CaseDeskTests {
    /// What was taken on rank 0, or why it ended; and the numbers that each rank worked on.
    private struct Outcome {
        var taken: [Int] = []
        var values: [String] = []
        var error: (any Error)?
        var work: [[Int]] = []
        var others: [any Error] = []
    }

    /// Runs `lists` one after another on `count` ranks.
    private func run(
        _ count: Int, _ lists: [CaseList], workers: Int = 1, timeout: Double = 60, endsAt: Int? = nil,
        isCut: @escaping @Sendable () -> Bool = { false }, others: Bool = true,
        _ work: @escaping @Sendable (Int, _ rank: Int) throws -> String
    ) -> Outcome {
        let worked = Mutex<[Int: [Int]]>([:])
        let failed = Mutex<[any Error]>([])
        @Sendable func part(_ exchange: any RankExchange, _ take: (Int, String) -> Void) throws {
            let desk = CaseDesk(exchange, workers: workers, timeout: timeout, isCut: isCut)
            for list in lists {
                var begun = 0
                try desk.run(
                    list,
                    item: { number in
                        begun += 1
                        return number
                    },
                    work: { [rank = exchange.rank] number in
                        worked.withLock { $0[rank, default: []].append(number) }
                        return try work(number, rank)
                    },
                    isEnded: { endsAt.map { begun >= $0 } ?? false }, take: take)
            }
        }
        var outcome = Outcome()
        do {
            try ThreadRanks.run(count) { exchange in
                try part(exchange) { number, value in
                    outcome.taken.append(number)
                    outcome.values.append(value)
                }
            } other: { exchange in
                guard others else { return }
                do { try part(exchange) { _, _ in } } catch { failed.withLock { $0.append(error) } }
            }
        } catch {
            outcome.error = error
        }
        outcome.work = (0..<count).map { rank in worked.withLock { $0[rank] ?? [] } }
        outcome.others = failed.withLock { $0 }
        return outcome
    }

    @Test func resultsComeInTheOrderOfTheList() {
        let numbers = [7, 3, 3, 0, 12, 5, 1, 9, 2, 8, 4, 6]
        for (count, workers) in [(1, 1), (1, 3), (2, 1), (3, 2), (5, 1)] {
            let found = run(count, [CaseList(numbers), CaseList([]), CaseList(first: 4)], workers: workers) {
                number, _ in
                // Those that are handed out first take longest.
                if number == 7 { usleep(30_000) }
                return "of \(number)"
            }
            #expect(found.error == nil && found.others.isEmpty)
            #expect(found.taken == numbers + [0, 1, 2, 3], "\(count) ranks of \(workers)")
            #expect(found.values == found.taken.map { "of \($0)" })
            #expect(found.work.flatMap { $0 }.sorted() == found.taken.sorted())
        }
    }

    /// A case that waits for others, but not for ever: then the test fails.
    private static func wait(until isTrue: () -> Bool) {
        for _ in 0..<60_000 where !isTrue() { usleep(1000) }
    }

    /// While one rank has the long case the other does the rest, but for one that may follow it.
    @Test func whoeverIsReadyGetsTheNextCase() {
        let done = Atomic<Int>(0)
        let found = run(2, [CaseList(first: 12)]) { number, rank in
            if number == 0 { Self.wait { done.load(ordering: .relaxed) >= 10 } }
            done.add(1, ordering: .relaxed)
            return "\(rank)"
        }
        #expect(found.error == nil && found.taken == Array(0..<12))
        #expect(found.work.map(\.count).sorted()[0] <= 2, "\(found.work)")
    }

    @Test func theFirstCaseThatFailsIsTheErrorForAnyNumberOfRanks() {
        struct Other: Error {}
        for count in 1...3 {
            for foreign in [false, true] {
                let found = run(count, [CaseList(first: 20)]) { number, _ in
                    // The later one fails sooner.
                    if number == 5 { usleep(20_000) }
                    if number == 5 || number == 6 {
                        if foreign { throw Other() }
                        throw InputError(.malformed, in: "case \(number)", expected: "a", found: "b")
                    }
                    return ""
                }
                let error = found.error as? InputError
                #expect(error?.place == (foreign ? "a case" : "case 5") && error?.kind == .malformed)
                #expect(found.taken == Array(0..<5) && found.others.isEmpty, "\(found.others)")
            }
        }
    }

    @Test func anEndlessListEndsWhenItIsTold() {
        for count in 1...3 {
            let found = run(count, [CaseList(first: nil)], timeout: .infinity, endsAt: 9) { number, _ in "\(number)" }
            #expect(found.error == nil && found.others.isEmpty)
            #expect(found.taken.count >= 9 && found.taken == Array(0..<found.taken.count))
            #expect(found.work.flatMap { $0 }.count == found.taken.count)
        }
    }

    @Test func aSilentRankIsNamedWithItsCases() {
        // Ranks that never come.
        let silent = run(3, [CaseList(first: 4)], timeout: 2, others: false) { _, _ in "" }
        #expect(silent.error as? BrokenCampaign == BrokenCampaign(lost: 1, done: 4, underWay: [[], [], []]))
        #expect(silent.taken == [0, 1, 2, 3])
        // A case that does not end before it is told to.
        let isOver = Atomic<Bool>(false)
        let kept = run(2, [CaseList(first: 4)], timeout: 2, others: false) { number, _ in
            if number == 1 { Self.wait { isOver.load(ordering: .relaxed) } }
            return ""
        }
        isOver.store(true, ordering: .relaxed)
        #expect(kept.error as? BrokenCampaign == BrokenCampaign(lost: 1, done: 1, underWay: [[1], []]))
    }

    @Test func whoeverWorksForLongIsNotLost() {
        let found = run(2, [CaseList(first: 2)], timeout: 2) { _, _ in
            sleep(5)
            return ""
        }
        #expect(found.error == nil && found.others.isEmpty && found.taken == [0, 1])
    }

    @Test func aLauncherEndsACampaign() {
        let isCut = Atomic<Bool>(false)
        let isSeen = Atomic<Bool>(false)
        @Sendable func isOver() -> Bool {
            guard isCut.load(ordering: .relaxed) else { return false }
            isSeen.store(true, ordering: .relaxed)
            return true
        }
        let found = run(2, [CaseList(first: 50)], isCut: isOver) { number, _ in
            if number == 3 {
                isCut.store(true, ordering: .relaxed)
                Self.wait { isSeen.load(ordering: .relaxed) }
            }
            return ""
        }
        let error = found.error as? BrokenCampaign
        #expect(error?.lost == nil && error?.underWay.flatMap { $0 }.contains(3) == true && found.others.isEmpty)
    }
}

@Suite struct RankBalanceTests {
    @Test func onlyWholeSharesAreRead() {
        #expect(RankBalance("5:3") == .shares([5, 3]) && RankBalance("7") == .shares([7]))
        #expect(RankBalance("1:1:1000000") == .shares([1, 1, 1_000_000]))
        #expect(RankBalance("equal") == .equal && RankBalance("auto") == .measured)
        for text in [
            "", ":", "5:", ":3", "5:0", "0:0", "-5:3", "5:-3", "5.5:3", "5:3:", "5;3", "5 : 3", "5:1000001", "nan:1",
            "1e3:1",
            "99999999999999999999:1", "٥:3", "Auto",
        ] { #expect(RankBalance(text) == nil, "\(text)") }
        for text in ["equal", "auto", "5:3"] { #expect(RankBalance(text)?.text == text) }
    }

    @Test func sharesAreTheSameOnAllRanks() throws {
        func shares(_ count: Int, _ balance: @escaping @Sendable (Int) -> RankBalance) throws -> [Result<
            [Int], InputError
        >] {
            let others = Mutex<[Int: Result<[Int], InputError>]>([:])
            @Sendable func own(_ exchange: any RankExchange) -> Result<[Int], InputError> {
                do throws(InputError) {
                    return .success(try balance(exchange.rank).shares(on: exchange, ThreadPool(threads: 1)))
                } catch { return .failure(error) }
            }
            let first = try ThreadRanks.run(count) { exchange in
                own(exchange)
            } other: { exchange in
                let result = own(exchange)
                others.withLock { $0[exchange.rank] = result }
            }
            return try [first] + (1..<count).map { rank in try #require(others.withLock { $0[rank] }) }
        }
        #expect(try shares(3) { _ in .equal }.map { try $0.get() } == Array(repeating: [1, 1, 1], count: 3))
        #expect(try shares(2) { _ in .shares([5, 3]) }.map { try $0.get() } == [[5, 3], [5, 3]])
        let measured = try shares(2) { _ in .measured }.map { try $0.get() }
        #expect(measured[0] == measured[1] && measured[0].count == 2 && measured[0].allSatisfy { $0 >= 1 })
        for wrong in try shares(3, { _ in .shares([5, 3]) }) {
            #expect(throws: InputError.self) { try wrong.get() }
            guard case .failure(let error) = wrong else { continue }
            #expect(error.description.contains("3 shares") && error.remedy.contains("--balance 5:3:1"), "\(error)")
        }
        for wrong in try shares(2, { $0 == 0 ? .shares([5, 3]) : .shares([3, 5]) }) {
            guard case .failure(let error) = wrong else {
                Issue.record("two balances were taken")
                continue
            }
            #expect(error.place == "rank 1: --balance")
        }
    }
}
