//  Fork and join in microseconds.
//
//      run(parts) { part, thread in … }      every part once, on whichever thread claims it first; returns when all are done
//
//  The caller is one of the threads. Workers spin for a short while after a job and then sleep; a
//  job that begins while they sleep wakes them and starts at once, and since parts are claimed and
//  not assigned, the caller does a late worker's share itself. A result must not depend on who
//  computed a part; then it does not depend on the number of threads either.
//
//      state    generation (24 bits) | parts of the job (20) | next part to claim (20)        one word, so that a claim is one
//                                                                                              compare-and-swap
//      A worker that read the job of one generation can never claim a part of another: the word would have changed.

import DualityCore
import DualityKernels
import Foundation
import Synchronization

/// A fixed set of threads that work on one job at a time.
public final class ThreadPool: Sendable {
    /// Threads that take part in a job, the caller among them.
    public let threadCount: Int
    private let shared: Shared

    /// As many threads as `defaultThreadCount`.
    public static let common = ThreadPool(threads: defaultThreadCount)

    /// What the environment variable DUALITY_THREADS asks for, else `processorCount`.
    package static var defaultThreadCount: Int {
        ((try? demandedThreadCount()) ?? nil) ?? processorCount
    }

    /// Threads that DUALITY_THREADS asks for; nil when it is absent or empty.
    ///
    /// - Throws: `InputError` (`.value`) for anything but a whole number from 1 to 4096.
    package static func demandedThreadCount(
        _ environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws(InputError) -> Int? {
        guard let text = environment["DUALITY_THREADS"], !text.isEmpty else { return nil }
        guard let count = Int(text), (1...4096).contains(count) else {
            throw InputError(
                .value, in: "DUALITY_THREADS", expected: "a number of threads from 1 to 4096",
                found: "\"\(text.prefix(40))\"",
                remedy: "Without the variable there is a thread per core.")
        }
        return count
    }

    /// Cores that this process may use, at least 1: what its affinity mask and its control groups
    /// leave it of the machine's, two processors of one core counted once.
    public static var processorCount: Int {
        ProcessorTopology.current.threadCount ?? max(ProcessInfo.processInfo.activeProcessorCount, 1)
    }

    /// Cores of this host, as `processorCount` counts them for a process that nobody has bound to
    /// some of them, over the `count` ranks on it; at least 1.
    package static func share(ofRanks count: Int) -> Int {
        ProcessorTopology.host.share(ofRanks: count)
            ?? max(ProcessInfo.processInfo.activeProcessorCount / max(count, 1), 1)
    }

    /// On a machine of several NUMA nodes the workers stay on one each: they fill the caller's
    /// node, then the next.
    ///
    /// - Parameter threads: at least 1; with 1 there is no worker and every job runs on the caller.
    public init(threads: Int) {
        threadCount = max(threads, 1)
        let shared = Shared()
        self.shared = shared
        let places = ProcessorTopology.current.places(threadCount, from: ProcessorTopology.here)
        for index in 1..<threadCount {
            let worker = Thread {
                if let places { ProcessorTopology.stay(on: places[index]) }
                shared.work(as: index)
            }
            worker.name = "duality worker"
            worker.stackSize = 4 << 20
            worker.qualityOfService = .userInteractive
            worker.start()
        }
    }

    deinit { shared.stop() }

    /// Runs `body(0, …)` … `body(parts - 1, …)`, each once, and returns when all have run.
    ///
    /// Callable from any thread. While another job runs (a concurrent caller, or a part of a job
    /// that starts one) the caller does all parts itself, one after another.
    ///
    /// - Parameters:
    ///   - parts: at most 2^20 - 1.
    ///   - body: is given the part and the number of the thread that runs it, 0 ..< `threadCount`,
    ///     0 being the caller; two parts of one job that run at the same time have different ones.
    public func run(_ parts: Int, _ body: (Int, Int) -> Void) {
        guard threadCount > 1, parts > 1, shared.begin() else {
            for part in 0..<parts { body(part, 0) }
            return
        }
        shared.execute(parts, body)
        shared.end()
    }

    /// Runs `body` on consecutive ranges that cover `0..<count`.
    ///
    /// - Parameters:
    ///   - multiple: boundaries of ranges are multiples of this.
    ///   - parts: how many ranges, at most; nil for four a thread.
    public func run(over count: Int, multiple: Int = 1, parts: Int? = nil, _ body: (Range<Int>, Int) -> Void) {
        guard count > 0 else { return }
        let units = (count + multiple - 1) / multiple
        let parts = min(units, max(parts ?? 4 * threadCount, 1))
        run(parts) { part, thread in
            let (first, last) = (units * part / parts, units * (part + 1) / parts)
            body(first * multiple..<min(last * multiple, count), thread)
        }
    }
}

/// What the threads of a pool share; it outlives the pool until the last worker has left.
private final class Shared: Sendable {
    private let state = Atomic<UInt64>(0)
    /// Parts of the current job that have not finished.
    private let unfinished = Atomic<Int>(0)
    /// The address of the job's closure.
    private let job = Atomic<UInt>(0)
    private let isBusy = Atomic<Bool>(false)
    private let isStopping = Atomic<Bool>(false)
    private let sleepers = Atomic<Int>(0)
    private let condition = NSCondition()

    private static let partBits: UInt64 = 20
    private static let partMask: UInt64 = (1 << 20) - 1
    /// Turns of the spin loop before a worker sleeps: about 100 microseconds.
    private static let spins = 2000

    private static func generation(_ word: UInt64) -> UInt64 { word >> (2 * partBits) }
    private static func parts(_ word: UInt64) -> UInt64 { (word >> partBits) & partMask }
    private static func next(_ word: UInt64) -> UInt64 { word & partMask }

    func begin() -> Bool {
        isBusy.compareExchange(expected: false, desired: true, ordering: .acquiring).exchanged
    }

    func end() { isBusy.store(false, ordering: .releasing) }

    func execute(_ parts: Int, _ body: (Int, Int) -> Void) {
        precondition(parts <= Int(Self.partMask), "too many parts for one job")
        withoutActuallyEscaping(body) { body in
            withUnsafePointer(to: body) { address in
                job.store(UInt(bitPattern: address), ordering: .relaxed)
                unfinished.store(parts, ordering: .relaxed)
                let generation = (Self.generation(state.load(ordering: .relaxed)) &+ 1) & 0xff_ffff
                // Sequentially consistent together with `sleepers`: either the worker sees this job
                // before it sleeps, or we see that it sleeps.
                state.store(
                    generation << (2 * Self.partBits) | UInt64(parts) << Self.partBits,
                    ordering: .sequentiallyConsistent)
                if sleepers.load(ordering: .sequentiallyConsistent) > 0 { wake() }
                claimParts(as: 0)
                var turns = 0
                while unfinished.load(ordering: .acquiring) > 0 {
                    dk_pause()
                    turns += 1
                    // The worker that is awaited may have lost its processor.
                    if turns % 4096 == 0 { sched_yield() }
                }
            }
        }
    }

    /// Claims and runs parts of the current job until none is left.
    private func claimParts(as thread: Int) {
        while true {
            let word = state.load(ordering: .acquiring)
            guard Self.next(word) < Self.parts(word) else { return }
            let address = job.load(ordering: .relaxed)
            guard
                state.weakCompareExchange(
                    expected: word, desired: word + 1, successOrdering: .acquiringAndReleasing,
                    failureOrdering: .relaxed
                ).exchanged
            else { continue }
            // The claim holds the caller in `execute`, and with it the closure, until `unfinished`
            // is counted down.
            if let body = UnsafePointer<(Int, Int) -> Void>(bitPattern: address) {
                body.pointee(Int(Self.next(word)), thread)
            }
            unfinished.wrappingSubtract(1, ordering: .acquiringAndReleasing)
        }
    }

    /// The life of a worker.
    func work(as thread: Int) {
        var seen: UInt64 = 0
        while !isStopping.load(ordering: .acquiring) {
            var turns = 0
            while Self.generation(state.load(ordering: .acquiring)) == seen {
                dk_pause()
                turns += 1
                if turns >= Self.spins {
                    sleep(whileGenerationIs: seen)
                    if isStopping.load(ordering: .acquiring) { return }
                    turns = 0
                }
            }
            seen = Self.generation(state.load(ordering: .acquiring))
            claimParts(as: thread)
        }
    }

    private func sleep(whileGenerationIs seen: UInt64) {
        condition.lock()
        sleepers.wrappingAdd(1, ordering: .sequentiallyConsistent)
        while Self.generation(state.load(ordering: .sequentiallyConsistent)) == seen,
            !isStopping.load(ordering: .sequentiallyConsistent)
        {
            condition.wait()
        }
        sleepers.wrappingSubtract(1, ordering: .sequentiallyConsistent)
        condition.unlock()
    }

    private func wake() {
        condition.lock()
        condition.broadcast()
        condition.unlock()
    }

    func stop() {
        isStopping.store(true, ordering: .sequentiallyConsistent)
        wake()
    }
}
