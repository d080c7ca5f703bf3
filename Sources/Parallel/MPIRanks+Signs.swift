//  Signs of life: a word of one byte that says no more than that a rank is there.
//
//      in a pass       a stage may compute for longer than others are to wait without a word, so it gives signs between
//                      its layers; and whoever waits for a rank begins to count at its last one
//      between passes  ranks that wait for work, and rank 0 as long as it has none
//
//  Since ranks that wait give signs too, the one whose neighbour is lost is the first to give up,
//  and names the right one. A cable that is cut is missed on both its ends.

#if MPI
    import CMPI
    import DualityQuant
    import Foundation

    /// The signs of a rank, and of the others.
    final class MPISigns {
        /// Signs under way, and when this rank began the last ones.
        var given = MPIMessages()
        var lastGiven: UInt64 = 0
        /// When others have given theirs.
        var heard: [Int: UInt64] = [:]
        /// Those that have said that they give no more.
        var gone: Set<Int> = []
        /// Rank 0's, between passes.
        var patience: Patience?
        /// What is sent first, and the last time; then room for one that comes.
        let bytes: MPIMemory

        init() {
            bytes = MPIMemory()
            bytes.base.storeBytes(of: 0, as: UInt8.self)
            bytes.base.storeBytes(of: 1, toByteOffset: 1, as: UInt8.self)
        }
    }

    /// How long a rank has waited. What it was itself stopped for (by a signal, or with the whole
    /// machine) does not count.
    struct Patience {
        private var began: UInt64
        private var last: UInt64
        /// Nanoseconds between two calls from which on a rank was not waiting but stopped.
        private let pause: UInt64

        init(_ now: UInt64, pause: UInt64 = 1_000_000_000) { (began, last, self.pause) = (now, now, pause) }

        /// Whether it has waited for more than `limit` nanoseconds, and no sign has come since.
        mutating func isOver(_ limit: UInt64, at now: UInt64, lastSign: UInt64?) -> Bool {
            if now - last > pause { began += now - last }
            last = now
            return now - began > limit && (lastSign ?? 0) + limit <= now
        }
    }

    extension MPIRanks {
        /// Nanoseconds between signs of ranks that wait for work, and after how many one of them is
        /// lost.
        private var signInterval: UInt64 { min(idleTimeout / 4, 5_000_000_000) }
        private var idleTimeout: UInt64 { max(timeout, 1_000_000_000) }

        var pulseInterval: Double? { count > 1 ? Double(signInterval) / 1e9 : nil }

        func pulse() {
            hearSigns()
            giveSigns(to: 0..<count, after: 0)
            let now = Self.now
            // The turn was another's in between, or none was had: others may have been busy.
            var patience = signs.patience ?? Patience(now, pause: 2 * signInterval)
            for peer in 0..<count where peer != rank {
                if patience.isOver(idleTimeout, at: now, lastSign: signs.heard[peer]) {
                    giveUp(peer, after: idleTimeout)
                }
            }
            signs.patience = patience
        }

        /// Gives signs, where the last ones are so many nanoseconds ago and all have been taken.
        func giveSigns(to peers: Range<Int>, after interval: UInt64) {
            let now = Self.now
            guard now - signs.lastGiven > interval, signs.given.areDone() else { return }
            signs.lastGiven = now
            for peer in peers where peer != rank { send(signs.bytes.base, 1, to: peer, .sign, in: &signs.given) }
        }

        /// Notes which ranks have given signs.
        func hearSigns() {
            var peer: Int32 = 0
            var heard = MPIMessages()
            let byte = signs.bytes.base + 2
            while cmpi_waiting_of_any(Tag.sign.rawValue, &peer) >= 0 {
                receive(byte, 1, from: Int(peer), .sign, in: &heard)
                while !heard.areDone() {}
                signs.heard[Int(peer)] = Self.now
                if byte.load(as: UInt8.self) == 1 { signs.gone.insert(Int(peer)) }
            }
        }

        /// Exchanges last signs with all, since one that nobody hears would be left over.
        func hearTheLastSigns() {
            while !signs.given.areDone() { usleep(Self.shortestSleep) }
            for peer in 0..<count where peer != rank {
                send(signs.bytes.base + 1, 1, to: peer, .sign, in: &signs.given)
            }
            while !(signs.given.areDone() && signs.gone.count == count - 1) {
                hearSigns()
                usleep(Self.shortestSleep)
            }
        }

        /// Waits for the next step: busily where one has just ended, as another is soon to come,
        /// then asleep for longer and longer; as long as rank 0 gives signs.
        func waitForStep() -> Int {
            let began = Self.now
            var patience = Patience(began)
            var (sleep, looked) = (Self.shortestSleep, began)
            while true {
                let size = cmpi_waiting(0, Tag.step.rawValue)
                if size >= 0 {
                    hearSigns()
                    return Int(size)
                }
                let now = Self.now
                if now - began < Self.busyWait {
                    sched_yield()
                    continue
                }
                usleep(sleep)
                sleep = min(sleep * 2, Self.longestSleep)
                guard now - looked > Self.lookInterval else { continue }
                looked = now
                hearSigns()
                giveSigns(to: 0..<1, after: signInterval)
                // Only of a model's passes rank 0 gives signs in between.
                guard let sign = signs.heard[0] else { continue }
                if patience.isOver(idleTimeout, at: Self.now, lastSign: sign) { giveUp(0, after: idleTimeout) }
            }
        }

        /// Nanoseconds that a rank without work stays awake, and between its looks for signs.
        private static let busyWait: UInt64 = 10_000_000
        private static let lookInterval: UInt64 = 50_000_000
        /// Microseconds; the longest is how much later a step may begin than it could.
        private static let shortestSleep: UInt32 = 50
        private static let longestSleep: UInt32 = 1000
    }
#endif
