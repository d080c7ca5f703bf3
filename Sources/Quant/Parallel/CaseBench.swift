//  The workers of one process: threads that take cases off a bench and lay down what came of them.

import DualityCore
import Foundation

/// Cases that wait for a worker, and what came of those that are done.
final class CaseBench<Item: Sendable, Value: Portable & Sendable>: @unchecked Sendable {
    private let condition = NSCondition()
    // All guarded by `condition`.
    private var waiting: [(k: Int, item: Item)] = []
    private var done: [(k: Int, outcome: CaseOutcome<Value>)] = []
    private var isClosed = false
    private let finished = DispatchGroup()

    init(workers: Int, _ work: @escaping @Sendable (Item) throws -> Value) {
        for _ in 0..<workers {
            finished.enter()
            let thread = Thread { [self] in
                while let (k, item) = next() {
                    let outcome = CaseOutcome { try work(item) }
                    condition.withLock {
                        done.append((k, outcome))
                        condition.broadcast()
                    }
                }
                finished.leave()
            }
            thread.name = "duality cases"
            thread.stackSize = 16 << 20
            thread.start()
        }
    }

    func add(_ k: Int, _ item: Item) {
        condition.withLock {
            waiting.append((k, item))
            condition.broadcast()
        }
    }

    /// What has come of cases since the last call.
    func takeDone() -> [(k: Int, outcome: CaseOutcome<Value>)] {
        condition.withLock {
            defer { done = [] }
            return done
        }
    }

    /// Waits until something is done, at most so long.
    func wait(_ seconds: Double) {
        condition.withLock {
            if done.isEmpty { _ = condition.wait(until: Date(timeIntervalSinceNow: seconds)) }
        }
    }

    /// Ends the workers: cases under way are finished, those that wait are dropped.
    ///
    /// - Parameter waits: whether until they have ended.
    func close(waits: Bool = true) {
        condition.withLock {
            isClosed = true
            waiting = []
            condition.broadcast()
        }
        if waits { finished.wait() }
    }

    private func next() -> (k: Int, item: Item)? {
        condition.withLock {
            while waiting.isEmpty, !isClosed { condition.wait() }
            return waiting.isEmpty ? nil : waiting.removeFirst()
        }
    }
}
