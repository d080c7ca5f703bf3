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
        /// Nanoseconds.
        private let timeout: UInt64
        // Used by one thread at a time, as the protocol says.
        private var requests: [cmpi_request] = []
        /// Whom each of the requests is with.
        private var peers: [Int] = []
        private var place = RankPlace.outside

        private enum Tag: Int32 {
            case parts = 1
            case step
            case word
        }
        /// Turns of the waiting loop that only test; then the processor is offered to others.
        private static let busyTurns = 2000
        /// The same for a word, and microseconds of sleep between further ones.
        private static let testsOfAWord = 20
        private static let sleepOfAWord: UInt32 = 100
        /// Messages are counted in 32 bits.
        private static let largestMessage = 1 << 30

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

        static func finish() { cmpi_finish() }

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

        func enter(_ place: RankPlace) { self.place = place }

        func gather(_ own: UnsafeRawPointer, sizes: [Int], into all: UnsafeMutableRawPointer) {
            var place = all
            for (peer, size) in sizes.enumerated() {
                if peer == rank {
                    if size > 0 { memcpy(place, own, size) }
                } else {
                    receive(place, size, from: peer, .parts)
                }
                place += size
            }
            for peer in 0..<count where peer != rank { send(own, sizes[rank], to: peer, .parts) }
            wait()
        }

        func deal(
            _ own: UnsafeRawPointer, sizes: [Int], into all: UnsafeMutableRawPointer, receiving: [Int]
        ) {
            var (mine, place) = (own, all)
            for peer in 0..<count {
                if peer == rank {
                    if sizes[rank] > 0 { memcpy(place, mine, sizes[rank]) }
                } else {
                    receive(place, receiving[peer], from: peer, .parts)
                }
                mine += sizes[peer]
                place += receiving[peer]
            }
            mine = own
            for peer in 0..<count {
                if peer != rank { send(mine, sizes[peer], to: peer, .parts) }
                mine += sizes[peer]
            }
            wait()
        }

        func toFirst(_ own: UnsafeRawPointer, sizes: [Int], into all: UnsafeMutableRawPointer) {
            guard rank == 0 else {
                send(own, sizes[rank], to: 0, .parts)
                return wait()
            }
            if sizes[0] > 0 { memcpy(all, own, sizes[0]) }
            var place = all + sizes[0]
            for peer in 1..<max(count, 1) {
                receive(place, sizes[peer], from: peer, .parts)
                place += sizes[peer]
            }
            wait()
        }

        func fromFirst(_ bytes: [UInt8]) -> [UInt8] {
            guard rank > 0 else {
                bytes.withUnsafeBytes { raw in
                    guard let base = raw.baseAddress else { return }
                    for peer in 1..<max(count, 1) { send(base, raw.count, to: peer, .step) }
                    wait()
                }
                return bytes
            }
            var received = [UInt8](repeating: 0, count: waitForStep())
            received.withUnsafeMutableBytes { raw in
                guard let base = raw.baseAddress else { return }
                receive(base, raw.count, from: 0, .step)
                wait()
            }
            return received
        }

        func tell(_ bytes: [UInt8], to rank: Int) {
            bytes.withUnsafeBytes { raw in
                guard let base = raw.baseAddress else { return }
                send(base, raw.count, to: rank, .word)
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
                receive(base, raw.count, from: Int(peer), .word)
                wait(isPatient: true)
            }
            return (Int(peer), bytes)
        }

        private func send(_ bytes: UnsafeRawPointer, _ count: Int, to peer: Int, _ tag: Tag) {
            forEachMessage(count) { offset, size in
                begin(peer) { cmpi_send(bytes + offset, size, Int32(peer), tag.rawValue, $0) }
            }
        }

        private func receive(_ bytes: UnsafeMutableRawPointer, _ count: Int, from peer: Int, _ tag: Tag) {
            forEachMessage(count) { offset, size in
                begin(peer) { cmpi_receive(bytes + offset, size, Int32(peer), tag.rawValue, $0) }
            }
        }

        private func forEachMessage(_ count: Int, _ body: (Int, Int32) -> Void) {
            for offset in stride(from: 0, to: count, by: Self.largestMessage) {
                body(offset, Int32(min(Self.largestMessage, count - offset)))
            }
        }

        private func begin(_ peer: Int, _ body: (UnsafeMutablePointer<cmpi_request>) -> Int32) {
            var request = cmpi_request()
            guard body(&request) == 0 else { stop("MPI does not take a message for \(name(peer))") }
            requests.append(request)
            peers.append(peer)
        }

        /// Waits until all messages that have begun are done.
        ///
        /// - Parameter isPatient: asleep, where the processor belongs to others: a word is received
        ///   when its reader looks for words.
        private func wait(isPatient: Bool = false) {
            guard !requests.isEmpty else { return }
            var (turns, began) = (0, UInt64(0))
            while cmpi_are_done(Int32(requests.count), &requests) == 0 {
                turns += 1
                if isPatient {
                    if turns > Self.testsOfAWord { usleep(Self.sleepOfAWord) }
                } else {
                    guard turns > Self.busyTurns else { continue }
                    sched_yield()
                }
                if turns % 64 != 0 { continue }
                let now = DispatchTime.now().uptimeNanoseconds
                if began == 0 { began = now }
                if now - began > timeout, isInPass { giveUp() }
            }
            requests.removeAll(keepingCapacity: true)
            peers.removeAll(keepingCapacity: true)
        }

        /// Waits for the next step without an end: busily where one has just ended, as another is
        /// soon to come, then asleep for longer and longer.
        private func waitForStep() -> Int {
            let began = DispatchTime.now().uptimeNanoseconds
            var sleep: UInt32 = 50
            while true {
                let size = cmpi_waiting(0, Tag.step.rawValue)
                if size >= 0 { return Int(size) }
                if DispatchTime.now().uptimeNanoseconds - began < Self.busyWait {
                    sched_yield()
                } else {
                    usleep(sleep)
                    sleep = min(sleep * 2, Self.longestSleep)
                }
            }
        }

        /// Nanoseconds that a rank without work stays awake.
        private static let busyWait: UInt64 = 10_000_000
        /// Microseconds, which is how much later a step may begin than it could.
        private static let longestSleep: UInt32 = 1000

        private var isInPass: Bool {
            if case .outside = place { false } else { true }
        }

        private func giveUp() -> Never {
            let silent = requests.indices.first { cmpi_is_done(&requests[$0]) == 0 }.map { peers[$0] }
            let text =
                switch place {
                case .layer(let layer): "layer \(layer)"
                case .campaign: "a campaign"
                case .head, .outside: "the head"
                }
            let seconds = String(format: "%g", Double(timeout) / 1e9)
            stop("no answer from \(silent.map(name) ?? "another rank") for \(seconds) s in \(text)")
        }

        private func name(_ rank: Int) -> String { "rank \(rank) (host \(hosts[rank]))" }

        private func stop(_ message: String) -> Never {
            FileHandle.standardError.write(Data("\(name(rank)): \(message); stopping all ranks\n".utf8))
            cmpi_abort(3)
            exit(3)
        }
    }
#endif
