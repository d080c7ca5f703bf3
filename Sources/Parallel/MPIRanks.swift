//  Ranks that are processes under MPI.
//
//  An exchange is non-blocking messages between all pairs, tested in turn: as fast as the
//  collectives in shared memory and over TCP, and it can be watched. MPI itself waits forever when
//  a link is cut; here a rank gives up after a while, says whom it has waited for, and ends all.

#if MPI
    import CMPI
    import DualityCore
    import DualityQuant
    import Foundation

    /// The connection of this process to the others.
    final class MPIRanks: RankExchange, @unchecked Sendable {
        let rank: Int
        let count: Int
        private let hosts: [String]
        /// Nanoseconds that a rank waits for another within a pass.
        let timeout: UInt64
        // Used by one thread at a time, as the protocol says.
        var messages = MPIMessages()
        private(set) var place = RankPlace.outside
        let posts = MPIPosts()
        let signs = MPISigns()

        enum Tag: Int32 {
            case parts = 1
            case step
            case word
            case post
            case sign
        }
        /// Messages are counted in 32 bits.
        static let largestMessage = 1 << 30

        private init(hosts: [String], timeout: Double) {
            (rank, count) = (Int(cmpi_rank()), Int(cmpi_count()))
            self.hosts = hosts
            self.timeout = UInt64(min(max(timeout, 0.001), 1e9) * 1e9)
        }

        static func start(timeout: Double) throws(InputError) -> ParallelWorld {
            let version = text(Int(CMPI_VERSION_BYTES)) { cmpi_version($0) }
            // One library's numbers are the other's addresses.
            let header = String(cString: cmpi_header())
            guard version.hasPrefix(header) else {
                throw InputError(
                    .unsupported, in: "MPI", expected: "a program compiled with the header of its library, \(version)",
                    found: "the header of \(header)",
                    remedy: "Build again in another --scratch-path: a build folder keeps the header that it met first.")
            }
            var mayTakeTurns: Int32 = 0
            guard cmpi_start(&mayTakeTurns) == 0 else {
                throw InputError(
                    .unsupported, in: "MPI", expected: "MPI_Init_thread to succeed", found: "a failure",
                    remedy: "Run the command under mpirun.")
            }
            guard mayTakeTurns != 0 else {
                throw InputError(
                    .unsupported, in: "MPI", expected: "MPI_THREAD_SERIALIZED", found: "less",
                    remedy: "Use an MPI library that was built with threads, as those of Debian are.")
            }
            let size = Int(CMPI_NAME_BYTES)
            var own = [CChar](repeating: 0, count: size)
            _ = cmpi_host(&own)
            var all = [CChar](repeating: 0, count: size * Int(cmpi_count()))
            _ = cmpi_all(own, Int32(size), &all)
            let hosts = (0..<Int(cmpi_count())).map { string(all[$0 * size..<($0 + 1) * size]) }
            return ParallelWorld(
                exchange: MPIRanks(hosts: hosts, timeout: timeout), hosts: hosts,
                localCount: Int(cmpi_local_count()), library: version)
        }

        static func abort(_ status: Int32) { cmpi_abort(status) }

        /// Ends MPI, when all ranks do.
        func finish() {
            hearTheLastSigns()
            cmpi_finish()
        }

        /// The first line of what `write` writes.
        private static func text(_ size: Int, _ write: (UnsafeMutablePointer<CChar>) -> Int32) -> String {
            var buffer = [CChar](repeating: 0, count: size + 1)
            _ = write(&buffer)
            let all = string(buffer[...])
            return String(all.prefix { $0 != "\n" && $0 != "," })
        }

        private static func string(_ bytes: ArraySlice<CChar>) -> String {
            String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }

        func enter(_ place: RankPlace) {
            switch place {
            case .outside: settle()
            case .stage: attend()
            case .step, .layer, .head, .campaign: break
            }
            self.place = place
        }

        func fromFirst(_ bytes: [UInt8]) -> [UInt8] {
            guard rank > 0 else {
                bytes.withUnsafeBytes { raw in
                    guard let base = raw.baseAddress else { return }
                    for peer in 1..<max(count, 1) { send(base, raw.count, to: peer, .step, in: &messages) }
                    wait()
                }
                return bytes
            }
            var received = [UInt8](repeating: 0, count: waitForStep())
            received.withUnsafeMutableBytes { raw in
                guard let base = raw.baseAddress else { return }
                receive(base, raw.count, from: 0, .step, in: &messages)
                wait()
            }
            return received
        }

        func tell(_ bytes: [UInt8], to rank: Int) {
            bytes.withUnsafeBytes { raw in
                guard let base = raw.baseAddress else { return }
                send(base, raw.count, to: rank, .word, in: &messages)
                wait(isPatient: true)
            }
        }

        func heard() -> (rank: Int, bytes: [UInt8])? {
            var peer: Int32 = 0
            let size = cmpi_waiting_of_any(Tag.word.rawValue, &peer)
            guard size >= 0 else { return nil }
            var bytes = [UInt8](repeating: 0, count: Int(size))
            bytes.withUnsafeMutableBytes { raw in
                guard let base = raw.baseAddress else { return }
                receive(base, raw.count, from: Int(peer), .word, in: &messages)
                wait(isPatient: true)
            }
            return (Int(peer), bytes)
        }

        func send(
            _ bytes: UnsafeRawPointer, _ count: Int, to peer: Int, _ tag: Tag, in messages: inout MPIMessages
        ) {
            forEachMessage(count) { offset, size in
                let isTaken = messages.begin(with: peer) {
                    cmpi_send(bytes + offset, size, Int32(peer), tag.rawValue, $0)
                }
                if !isTaken { refuse(peer) }
            }
        }

        func receive(
            _ bytes: UnsafeMutableRawPointer, _ count: Int, from peer: Int, _ tag: Tag, in messages: inout MPIMessages
        ) {
            forEachMessage(count) { offset, size in
                let isTaken = messages.begin(with: peer) {
                    cmpi_receive(bytes + offset, size, Int32(peer), tag.rawValue, $0)
                }
                if !isTaken { refuse(peer) }
            }
        }

        private func forEachMessage(_ count: Int, _ body: (Int, Int32) -> Void) {
            for offset in stride(from: 0, to: count, by: Self.largestMessage) {
                body(offset, Int32(min(Self.largestMessage, count - offset)))
            }
        }

        private func refuse(_ peer: Int) -> Never { stop("MPI does not take a message for \(name(peer))") }

        /// Waits until all messages of an exchange are done.
        func wait(isPatient: Bool = false) {
            wait(isPatient: isPatient, for: { messages.silentPeer() }, until: { messages.areDone() })
        }

        func name(_ rank: Int) -> String { "rank \(rank) (host \(hosts[rank]))" }

        func stop(_ message: String) -> Never {
            FileHandle.standardError.write(Data("\(name(rank)): \(message); stopping all ranks\n".utf8))
            cmpi_abort(3)
            exit(3)
        }
    }
#endif
