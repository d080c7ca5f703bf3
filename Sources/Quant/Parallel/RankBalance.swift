//  How much of the work each rank has: equal shares, given ones, or by what each rank's memory
//  delivers. Bits do not depend on it.

import DualityCore
import DualityKernels

/// The shares of ranks of unequal speed.
package enum RankBalance: Sendable, Equatable {
    case equal
    /// By the rate at which each rank reads memory, measured at the start, all ranks at once.
    case measured
    /// One number per rank.
    case shares([Int])

    /// Larger ones would say nothing more.
    private static let largestShare = 1_000_000

    /// `5:3`, `equal` or `auto`; nil for anything else.
    package init?(_ text: String) {
        switch text {
        case "equal": self = .equal
        case "auto": self = .measured
        default:
            let shares = text.split(separator: ":", omittingEmptySubsequences: false).map { part in
                part.allSatisfy { ("0"..."9").contains($0) } ? Int(part) ?? 0 : 0
            }
            guard shares.allSatisfy((1...Self.largestShare).contains) else { return nil }
            self = .shares(shares)
        }
    }

    /// What `init` reads.
    package var text: String {
        switch self {
        case .equal: "equal"
        case .measured: "auto"
        case .shares(let shares): Self.text(shares)
        }
    }

    /// `5:3`.
    package static func text(_ shares: [Int]) -> String { shares.map { "\($0)" }.joined(separator: ":") }

    /// Refuses another number of shares than ranks.
    package func requireCount(_ count: Int) throws(InputError) {
        guard case .shares(let shares) = self, shares.count != count else { return }
        let fitting = (0..<count).map { $0 < shares.count ? shares[$0] : 1 }
        throw InputError(
            .value, in: "--balance \(text)", expected: "\(count) shares, one per process", found: "\(shares.count)",
            remedy: "Start \(shares.count) processes, or give \(count) shares such as --balance \(Self.text(fitting)).")
    }

    /// One share per rank, the same on all of them.
    ///
    /// - Parameter pool: the threads that will compute.
    /// - Throws: `InputError` (`.value`), the same on every rank, where ranks were told different
    ///   shares or another number of them than there are ranks.
    package func shares(on exchange: any RankExchange, _ pool: ThreadPool) throws(InputError) -> [Int] {
        try exchange.requireSame([("--balance", text)])
        try requireCount(exchange.count)
        switch self {
        case .equal: return Array(repeating: 1, count: exchange.count)
        case .shares(let shares): return shares
        case .measured:
            let kernels = try KernelTable.active()
            let memory = AlignedMemory(byteCount: Self.measuredBytes)
            pool.run(over: Self.measuredBytes, multiple: 1 << 21) { range, _ in
                (memory.base + range.lowerBound).initializeMemory(as: UInt8.self, repeating: 1, count: range.count)
            }
            // All begin together: ranks of one host share its memory.
            _ = exchange.gatherTexts([1])
            let rate = Self.rate(memory, pool, kernels)
            return exchange.gatherTexts(Int(rate.rounded()).portableBytes).map { bytes in
                max((try? Int(portableBytes: bytes)) ?? 1, 1)
            }
        }
    }

    private static let measuredBytes = 256 << 20

    /// Megabytes per second, the median of some readings.
    private static func rate(_ memory: AlignedMemory, _ pool: ThreadPool, _ kernels: KernelTable) -> Double {
        let piece = measuredBytes / pool.threadCount / 4096 * 4096
        let rates = (0..<5).map { _ in
            let begin = ContinuousClock.now
            pool.run(pool.threadCount) { part, _ in _ = kernels.probe_read(memory.base + part * piece, Int64(piece)) }
            return Double(piece * pool.threadCount) / max((ContinuousClock.now - begin).seconds, 1e-9) * 1e-6
        }
        return rates.sorted()[rates.count / 2]
    }
}
