//  The processes that a launcher such as `mpirun` has started together.

import DualityCore
import DualityQuant
import Foundation

/// All ranks, seen from one of them.
package struct ParallelWorld: Sendable {
    /// The connection to the others.
    package let exchange: any RankExchange
    /// The host of every rank.
    package let hosts: [String]
    /// Ranks on this host.
    package let localCount: Int
    /// The MPI library of this program, one line.
    package let library: String

    /// This rank.
    package var rank: Int { exchange.rank }
    /// R.
    package var count: Int { exchange.count }
    /// `[rank 3 host]`.
    package var prefix: String { "[rank \(rank) \(hosts[rank])]" }

    /// The number of processes that a launcher says it has started; nil where none has.
    package static var launchedCount: Int? { number(["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"]) }

    /// Which of them this one is.
    package static var launchedRank: Int? { number(["OMPI_COMM_WORLD_RANK", "PMI_RANK"]) }

    /// The first of some variables that has a number.
    private static func number(_ names: [String]) -> Int? {
        let environment = ProcessInfo.processInfo.environment
        return names.lazy.compactMap { environment[$0].flatMap { Int($0) } }.first
    }

    /// How to build what can run on several ranks.
    package static let buildCommand =
        "swift build -c release --traits MPI --product duality (Debian: apt-get install libopenmpi-dev openmpi-bin first)"

    /// Whether this build can run on several ranks.
    package static var isBuilt: Bool {
        #if MPI
            true
        #else
            false
        #endif
    }

    /// Begins MPI. Once in a process.
    ///
    /// - Parameter timeout: seconds that a rank waits for another within a pass.
    /// - Throws: `InputError` (`.unsupported`) in a build without MPI, or where MPI does not start.
    package static func start(timeout: Double) throws(InputError) -> ParallelWorld {
        #if MPI
            return try MPIRanks.start(timeout: timeout)
        #else
            throw InputError(
                .unsupported, in: "--tensor-parallel", expected: "a build with MPI", found: "one without it",
                remedy: "Build with: \(buildCommand)")
        #endif
    }

    /// Ends all ranks at once.
    package func abort(_ status: Int32) -> Never {
        #if MPI
            MPIRanks.abort(status)
        #endif
        exit(status)
    }

    /// Ends MPI, when all ranks do.
    package func finish() {
        #if MPI
            (exchange as? MPIRanks)?.finish()
        #endif
    }

    /// Refuses a world of another size than was asked for.
    ///
    /// - Parameters:
    ///   - asked: how many processes.
    ///   - wish: what has asked for them.
    package func requireCount(_ asked: Int, _ wish: String) throws(InputError) {
        guard asked != count else { return }
        let start = "mpirun -n \(asked) --bind-to none duality ..."
        let options = wish.split(separator: " ").filter { $0.hasPrefix("--") }
        let others =
            options.count > 1
            ? "give \(options.joined(separator: " and ")) numbers whose product is \(count)"
            : "leave \(wish.prefix { $0 != " " }) out"
        let remedy =
            switch Self.launchedCount {
            case nil: "Start it with: \(start)"
            case count: "Start it with: \(start), or \(others)."
            case let launched?:
                "The launcher has started \(launched) that do not see each other: it is of another library than \(library). Start \(asked) with the mpirun of that one."
            }
        throw InputError(
            .value, in: wish, expected: asked == 1 ? "1 process" : "\(asked) processes",
            found: "\(count), of a program that is linked with \(library)", remedy: remedy)
    }

    /// Threads for this rank where no option asks for others: what DUALITY_THREADS says, else the
    /// cores of the host over the ranks on it, of those that the rank may use.
    package var defaultThreads: Int {
        ((try? ThreadPool.demandedThreadCount()) ?? nil) ?? min(ThreadPool.processorCount, fairShare)
    }

    private var fairShare: Int { ThreadPool.share(ofRanks: localCount) }

    /// What to say when the launcher has bound this rank to fewer cores than are its share.
    package var bindingWarning: String? {
        let (may, share) = (ThreadPool.processorCount, fairShare)
        guard may < share else { return nil }
        return "bound to \(may) of \(share) cores that are its share; start with `mpirun --bind-to none` "
            + "(several sockets: `--map-by socket:PE=\(share)`)"
    }
}
