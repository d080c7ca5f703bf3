//  What this machine can do at most, measured now: the denominators of every share that is
//  reported.
//
//  | limit        | how                                                                                     |
//  |--------------|-----------------------------------------------------------------------------------------|
//  | int8, bf16, f32 | multiply-adds on numbers that stay in registers, on all threads at once; 2 operations each |
//  | read         | memory far larger than the caches, read once in order, each thread its own part           |
//
//  The median of several repeats, each between a common start and the end of the last thread.

import DualityCore
import DualityKernels
import DualityQuant

/// Limits of the machine for a number of threads.
public struct Roofline: Sendable, Equatable {
    public let threads: Int
    /// Operations per second, in units of 10^12; 0 where there is no such instruction.
    public let int8Tops: Double
    public let bf16Tflops: Double
    public let f32Tflops: Double
    /// What the products of bf16-split's parts can reach: the rate of `tdpbf16ps` where there is
    /// AMX, else that of float32.
    public let splitTflops: Double
    /// 10^9 bytes per second.
    public let readGBps: Double
    /// What the kernels use.
    public let kernels: String

    /// Measures for about `seconds` altogether.
    ///
    /// - Parameter readBytes: memory to read, at least a few times the caches; it is allocated for
    ///   the while.
    /// - Throws: `InputError` when DUALITY_ISA names no instruction set of this machine.
    public static func measure(pool: ThreadPool, seconds: Double = 2, readBytes: Int = 2 << 30) throws -> Roofline {
        let kernels = try KernelTable.active()
        let share = seconds / 5
        let (int8, bf16, f32) = (kernels.probe_int8, kernels.probe_bf16, kernels.probe_f32)
        let split = kernels.probe_split
        return Roofline(
            threads: pool.threadCount,
            int8Tops: compute(pool, share, int8) * 1e-12,
            bf16Tflops: compute(pool, share, bf16) * 1e-12,
            f32Tflops: compute(pool, share, f32) * 1e-12,
            splitTflops: compute(pool, share, split) * 1e-12,
            readGBps: read(pool, share, readBytes, kernels) * 1e-9,
            kernels: "\(kernels.name): \(kernels.summary)")
    }

    /// Operations per second of products in bytes, or in float32, measured for about `seconds`.
    package static func operations(pool: ThreadPool, inBytes: Bool, seconds: Double) throws -> Double {
        let kernels = try KernelTable.active()
        return inBytes ? compute(pool, seconds, kernels.probe_int8) : compute(pool, seconds, kernels.probe_f32)
    }

    /// Operations per second.
    private static func compute(
        _ pool: ThreadPool, _ seconds: Double, _ probe: (Int64) -> Double
    ) -> Double {
        let probeRate = { () -> Double in
            let start = ContinuousClock.now
            let operations = probe(10_000)
            return operations > 0 ? 10_000 / (ContinuousClock.now - start).seconds : 0
        }()
        guard probeRate > 0 else { return 0 }
        // Seven repeats that take a tenth of the time each, after one to warm up.
        let iterations = Int64(max(probeRate * seconds / 10, 1000))
        var rates: [Double] = []
        for repeatIndex in 0..<8 {
            let start = ContinuousClock.now
            pool.run(pool.threadCount) { _, _ in _ = probe(iterations) }
            let elapsed = (ContinuousClock.now - start).seconds
            // The number of operations of an iteration is what one call says.
            if repeatIndex > 0 {
                rates.append(Double(pool.threadCount) * probe(1) * Double(iterations) / elapsed)
            }
        }
        return median(rates)
    }

    private static func read(_ pool: ThreadPool, _ seconds: Double, _ bytes: Int, _ kernels: KernelTable) -> Double {
        let memory = AlignedMemory(byteCount: bytes)
        let piece = bytes / pool.threadCount / 4096 * 4096
        // Real pages: untouched ones would all be the same page of zeros.
        pool.run(over: bytes, multiple: 1 << 21) { range, _ in
            (memory.base + range.lowerBound).initializeMemory(as: UInt8.self, repeating: 1, count: range.count)
        }
        var rates: [Double] = []
        let begin = ContinuousClock.now
        while rates.count < 3 || ((ContinuousClock.now - begin).seconds < seconds && rates.count < 50) {
            let start = ContinuousClock.now
            pool.run(pool.threadCount) { part, _ in _ = kernels.probe_read(memory.base + part * piece, Int64(piece)) }
            rates.append(Double(piece * pool.threadCount) / (ContinuousClock.now - start).seconds)
        }
        return median(rates)
    }
}

/// The middle of the sorted values; 0 for none.
public func median(_ values: [Double]) -> Double {
    guard !values.isEmpty else { return 0 }
    let sorted = values.sorted()
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
