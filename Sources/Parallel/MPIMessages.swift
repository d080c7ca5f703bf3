//  Messages that MPI carries while the program goes on.

#if MPI
    import CMPI

    /// Messages under way.
    struct MPIMessages {
        private var requests: [cmpi_request] = []
        /// Whom each of them is with.
        private var peers: [Int] = []

        /// Whether none was begun since all were done.
        var isEmpty: Bool { requests.isEmpty }

        /// Begins one; returns whether MPI has taken it.
        mutating func begin(with peer: Int, _ body: (UnsafeMutablePointer<cmpi_request>) -> Int32) -> Bool {
            var request = cmpi_request()
            guard body(&request) == 0 else { return false }
            requests.append(request)
            peers.append(peer)
            return true
        }

        /// Whether all are done, and forgotten then. MPI gets on with what it carries in such calls
        /// only.
        mutating func areDone() -> Bool {
            guard !requests.isEmpty else { return true }
            guard cmpi_are_done(Int32(requests.count), &requests) != 0 else { return false }
            requests.removeAll(keepingCapacity: true)
            peers.removeAll(keepingCapacity: true)
            return true
        }

        /// Whom the first of those that are not done is with.
        mutating func silentPeer() -> Int? {
            requests.indices.first { cmpi_is_done(&requests[$0]) == 0 }.map { peers[$0] }
        }
    }

    /// Memory that MPI may write and read between calls.
    final class MPIMemory {
        private(set) var base = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
        private var capacity = 64

        /// Room for `count` bytes; what was there is gone.
        func reserve(_ count: Int) {
            guard count > capacity else { return }
            base.deallocate()
            base = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 64)
            capacity = count
        }

        deinit { base.deallocate() }
    }
#endif
