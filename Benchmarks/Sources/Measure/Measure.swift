//  What the measurements of kernels share: memory, time, and the limits of the machine.
//
//  Time is the processor time of the busiest thread where nothing else is said, so that what else
//  runs on the machine does not count.

import DualityKernels
import Foundation
import Synchronization

/// The value behind `name` on the command line.
public func option(_ name: String) -> String? {
    guard let place = CommandLine.arguments.firstIndex(of: name), place + 1 < CommandLine.arguments.count else {
        return nil
    }
    return CommandLine.arguments[place + 1]
}

/// The number behind `name` on the command line, or `fallback`.
public func option(_ name: String, _ fallback: Int) -> Int { option(name).flatMap { Int($0) } ?? fallback }

public func text(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }

/// Prints columns of the given widths.
public func show(_ columns: [String], widths: [Int]) {
    print(
        zip(columns, widths).map { text, width in text.padding(toLength: width, withPad: " ", startingAt: 0) }
            .joined(separator: " "))
}

/// Zeroed memory on huge pages where the system has them; never freed.
public func memory<Element>(_ count: Int, of: Element.Type) -> UnsafeMutablePointer<Element> {
    let bytes = (count * MemoryLayout<Element>.stride + (2 << 20)) / (2 << 20) * (2 << 20)
    let raw = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 2 << 20)
    #if os(Linux)
        madvise(raw, bytes, 14)  // MADV_HUGEPAGE
    #endif
    raw.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    return raw.bindMemory(to: Element.self, capacity: count)
}

/// Random words, the same in every run.
public struct RandomWords {
    private var state: UInt64 = 88_172_645_463_325_252
    public init() {}
    public mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}

/// What is counted as time.
public enum Clock {
    /// Processor time of a thread.
    case processor
    /// Time on the wall, for comparisons with programs that report that.
    case wall

    /// Seconds.
    public func now() -> Double {
        var time = timespec()
        clock_gettime(self == .wall ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + 1e-9 * Double(time.tv_nsec)
    }
}

/// What the threads of a measurement share.
private final class Measurement: @unchecked Sendable {
    let arrived = Atomic<Int>(0)
    let finished = Atomic<Int>(0)
    let body: (_ repetition: Int, _ thread: Int) -> Void
    let (repeats, threads): (Int, Int)
    let clock: Clock
    /// [repeats][threads]
    let seconds: UnsafeMutablePointer<Double>

    init(repeats: Int, threads: Int, clock: Clock, _ body: @escaping (Int, Int) -> Void) {
        (self.repeats, self.threads, self.clock, self.body) = (repeats, threads, clock, body)
        seconds = .allocate(capacity: repeats * threads)
    }

    deinit { seconds.deallocate() }

    func run(_ thread: Int) {
        for repetition in 0..<repeats {
            // All begin together: each waits until all have arrived as often as itself.
            arrived.add(1, ordering: .acquiringAndReleasing)
            while arrived.load(ordering: .acquiring) < (repetition + 1) * threads { sched_yield() }
            let start = clock.now()
            body(repetition, thread)
            seconds[repetition * threads + thread] = clock.now() - start
        }
        finished.add(1, ordering: .acquiringAndReleasing)
    }
}

/// Measures kernels on a number of threads.
public struct Machine {
    public let kernels: dk_kernels
    public let threads: Int
    /// A workspace for each thread.
    public let workspaces: [UnsafeMutablePointer<UInt8>]
    /// 768 MiB of pairs of bfloat16 near 1 and of either sign: normal numbers in every format, and
    /// more than any cache holds.
    public let pool: UnsafeMutablePointer<UInt8>
    public let poolBytes = 768 << 20

    /// The kernels of this machine, or of DUALITY_ISA; ends the program with 2 when there are none
    /// of that name.
    public init(threads: Int) {
        var message = [CChar](repeating: 0, count: 256)
        guard let table = dk_active(&message, Int64(message.count)) else {
            FileHandle.standardError.write(
                Data((message.withUnsafeBufferPointer { String(cString: $0.baseAddress!) } + "\n").utf8))
            exit(2)
        }
        kernels = table.pointee
        self.threads = max(threads, 1)
        workspaces = (0..<self.threads).map { _ in memory(Int(DK_WORKSPACE_BYTES), of: UInt8.self) }
        pool = memory(poolBytes, of: UInt8.self)
        var random = RandomWords()
        pool.withMemoryRebound(to: UInt64.self, capacity: poolBytes / 8) { words in
            for i in 0..<poolBytes / 8 { words[i] = 0x3f80_3f80_3f80_3f80 ^ random.next() & 0x807f_80ff_807f_80ff }
        }
    }

    /// The part of `0..<count` that falls to a thread.
    public func range(_ count: Int64, _ thread: Int) -> Range<Int64> {
        count * Int64(thread) / Int64(threads)..<count * Int64(thread + 1) / Int64(threads)
    }

    /// The seconds of the slowest thread in each of `repeats` repetitions, after one that is not
    /// counted.
    public func times(
        repeats: Int, clock: Clock, _ body: @escaping (_ repetition: Int, _ thread: Int) -> Void
    ) -> [Double] {
        let measurement = Measurement(repeats: repeats + 1, threads: threads, clock: clock, body)
        for thread in 1..<threads {
            let other = Thread { measurement.run(thread) }
            other.qualityOfService = .userInteractive
            other.start()
        }
        measurement.run(0)
        while measurement.finished.load(ordering: .acquiring) < threads { usleep(50) }
        return (1...repeats).map { repetition in
            (0..<threads).map { measurement.seconds[repetition * threads + $0] }.max() ?? 0
        }
    }

    /// The median of the processor time of the busiest thread.
    public func time(repeats: Int, _ body: @escaping (_ repetition: Int, _ thread: Int) -> Void) -> Double {
        times(repeats: repeats, clock: .processor, body).sorted()[repeats / 2]
    }

    public enum Limit { case int8, f32, bf16 }

    /// Operations a second, two for each multiply-add; 0 where there is no such instruction.
    public func peak(_ limit: Limit) -> Double {
        let probe = limit == .int8 ? kernels.probe_int8 : limit == .f32 ? kernels.probe_f32 : kernels.probe_bf16
        let operations = probe(1)
        guard operations > 0 else { return 0 }
        let iterations = Int64(2.5e10 / operations)
        return operations * Double(iterations) * Double(threads) / time(repeats: 5) { _, _ in _ = probe(iterations) }
    }

    /// Bytes a second.
    public func readBandwidth() -> Double {
        let share = poolBytes / threads / 4096 * 4096
        return Double(share * threads)
            / time(repeats: 5) { _, thread in _ = kernels.probe_read(pool + thread * share, Int64(share)) }
    }
}
