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
    package static var launchedCount: Int? {
        let environment = ProcessInfo.processInfo.environment
        for name in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"] {
            if let count = environment[name].flatMap({ Int($0) }) { return count }
        }
        return nil
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
            MPIRanks.finish()
        #endif
    }

    /// Refuses a world of another size than was asked for.
    ///
    /// - Parameter asked: T of `--tensor-parallel`.
    package func requireCount(_ asked: Int) throws(InputError) {
        guard asked != count else { return }
        let launcher =
            Self.launchedCount == nil
            ? "Start it with: mpirun -n \(asked) --bind-to none duality ..."
            : "Start \(asked) with `mpirun -n \(asked)` of the same library: the mpirun of another one starts processes that do not see each other."
        throw InputError(
            .value, in: "--tensor-parallel \(asked)", expected: "\(asked) processes",
            found: "\(count); this program is linked with \(library)", remedy: launcher)
    }

    /// Threads for this rank where nothing else is asked for: the processors of the host over the
    /// ranks on it, of those that the rank may use.
    package var defaultThreads: Int { min(ThreadPool.processorCount, fairShare) }

    private var fairShare: Int { max(Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))) / max(localCount, 1), 1) }

    /// What to say when the launcher has bound this rank to fewer processors than are its share.
    package var bindingWarning: String? {
        let (may, share) = (ThreadPool.processorCount, fairShare)
        guard may < share else { return nil }
        return "bound to \(may) of \(share) processors that are its share; start with `mpirun --bind-to none` "
            + "(several sockets: `--map-by socket:PE=\(share)`)"
    }
}
