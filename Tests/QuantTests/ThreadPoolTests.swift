import DualityCore
import Foundation
import Synchronization
import Testing

@testable import DualityQuant

@Suite struct ThreadPoolTests {
    @Test(arguments: [1, 2, 3, 5]) func everyPartRunsExactlyOnce(threads: Int) {
        let pool = ThreadPool(threads: threads)
        for parts in [0, 1, 2, 3, 7, 100] {
            let counts = (0..<parts).map { _ in Counter() }
            for _ in 0..<200 { pool.run(parts) { part, _ in counts[part].add() } }
            #expect(counts.allSatisfy { $0.value == 200 }, "\(parts) parts: \(counts.map(\.value))")
        }
    }

    @Test func twoPartsAtTheSameTimeHaveDifferentThreads() {
        let pool = ThreadPool(threads: 3)
        let inUse = (0..<3).map { _ in Counter() }
        let clashes = Counter()
        for _ in 0..<500 {
            pool.run(12) { _, thread in
                if inUse[thread].add() != 1 { clashes.add() }
                for _ in 0..<50 { _ = inUse[thread].value }
                inUse[thread].add(-1)
            }
        }
        #expect(clashes.value == 0)
    }

    @Test func rangesCoverTheWholeOnceAndRespectTheMultiple() {
        let pool = ThreadPool(threads: 2)
        for (count, multiple) in [(1, 4), (16, 4), (17, 4), (100, 1), (513, 16)] {
            let seen = (0..<count).map { _ in Counter() }
            pool.run(over: count, multiple: multiple) { range, _ in
                #expect(range.lowerBound % multiple == 0 && !range.isEmpty)
                for i in range { seen[i].add() }
            }
            #expect(seen.allSatisfy { $0.value == 1 })
        }
    }

    /// Workers that have gone to sleep come back, and a job does not wait for one that does not.
    @Test func jobsRunAfterTheWorkersFellAsleep() {
        let pool = ThreadPool(threads: 2)
        let total = Counter()
        for _ in 0..<5 {
            usleep(3000)
            pool.run(8) { _, _ in total.add() }
        }
        #expect(total.value == 40)
    }

    @Test func theEnvironmentMayAskForANumberOfThreads() throws {
        #expect(try ThreadPool.demandedThreadCount([:]) == nil)
        #expect(try ThreadPool.demandedThreadCount(["DUALITY_THREADS": ""]) == nil)
        #expect(try ThreadPool.demandedThreadCount(["DUALITY_THREADS": "3"]) == 3)
        for text in ["0", "-1", "4097", "two", "1.5", " 2", "99999999999999999999"] {
            let error = #expect(throws: InputError.self) {
                try ThreadPool.demandedThreadCount(["DUALITY_THREADS": text])
            }
            #expect(error?.description.contains("DUALITY_THREADS") == true)
        }
    }

    @Test func concurrentAndNestedJobsFinish() async {
        let pool = ThreadPool(threads: 2)
        let total = Counter()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    for _ in 0..<100 {
                        pool.run(3) { _, _ in pool.run(2) { _, _ in total.add() } }
                    }
                }
            }
        }
        #expect(total.value == 4 * 100 * 3 * 2)
    }

    @Test func aPoolThatIsGivenUpEndsItsThreads() {
        for _ in 0..<50 {
            let pool = ThreadPool(threads: 3)
            let total = Counter()
            pool.run(5) { _, _ in total.add() }
            #expect(total.value == 5)
        }
    }
}

/// A number that threads count up.
private final class Counter: Sendable {
    private let count = Atomic<Int>(0)
    var value: Int { count.load(ordering: .sequentiallyConsistent) }

    @discardableResult func add(_ amount: Int = 1) -> Int {
        count.wrappingAdd(amount, ordering: .sequentiallyConsistent).newValue
    }
}
