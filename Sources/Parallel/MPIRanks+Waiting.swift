//  Waiting for other ranks, and when to stop.

#if MPI
    import CMPI
    import DualityQuant
    import Foundation

    extension MPIRanks {
        /// Turns of the waiting loop that only test; then the processor is offered to others.
        private static let busyTurns = 2000
        /// The same for a word, and microseconds of sleep between further ones.
        private static let testsOfAWord = 20
        private static let sleepOfAWord: UInt32 = 100

        /// - Parameters:
        ///   - isPatient: asleep, where the processor belongs to others: a word is received when
        ///     its reader looks for words, and a stage may have to compute first.
        ///   - silent: whom this rank waits for.
        func wait(isPatient: Bool, for silent: () -> Int?, until isDone: () -> Bool) {
            var (turns, began) = (0, UInt64(0))
            while !isDone() {
                turns += 1
                if isPatient {
                    if turns > Self.testsOfAWord { usleep(Self.sleepOfAWord) }
                } else {
                    guard turns > Self.busyTurns else { continue }
                    sched_yield()
                }
                if turns % 64 != 0 { continue }
                let now = Self.now
                if began == 0 { began = now }
                if case .stage = place { attend() }
                guard isInPass, now - began > timeout else { continue }
                let peer = silent()
                // Who has given a sign of life has been waiting itself, or computing.
                if let peer, let sign = posts.signs[peer], sign + timeout > now { continue }
                giveUp(peer)
            }
        }

        /// Nanoseconds.
        static var now: UInt64 { DispatchTime.now().uptimeNanoseconds }

        var isInPass: Bool {
            if case .outside = place { false } else { true }
        }

        private func giveUp(_ silent: Int?) -> Never {
            let text =
                switch place {
                case .layer(let layer), .stage(let layer?): "layer \(layer)"
                case .campaign: "a campaign"
                case .head, .stage(nil), .outside: "the head"
                }
            let seconds = String(format: "%g", Double(timeout) / 1e9)
            stop("no answer from \(silent.map(name) ?? "another rank") for \(seconds) s in \(text)")
        }
    }
#endif
