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
            var turns = 0
            var patience: Patience?
            while !isDone() {
                turns += 1
                if isPatient {
                    if turns > Self.testsOfAWord { usleep(Self.sleepOfAWord) }
                } else {
                    guard turns > Self.busyTurns else { continue }
                    sched_yield()
                }
                if case .stage = place, turns % 64 == 0 { attend() }
                guard isInPass else { continue }
                let now = Self.now
                var waited = patience ?? Patience(now)
                // Who has given a sign of life has been waiting itself, or computing.
                if waited.isOver(timeout, at: now, lastSign: nil) {
                    let peer = silent()
                    let sign = peer.flatMap { signs.heard[$0] }
                    if waited.isOver(timeout, at: now, lastSign: sign) { giveUp(peer, after: timeout) }
                }
                patience = waited
            }
        }

        /// Nanoseconds.
        static var now: UInt64 { DispatchTime.now().uptimeNanoseconds }

        var isInPass: Bool {
            if case .outside = place { false } else { true }
        }

        func giveUp(_ silent: Int?, after limit: UInt64) -> Never {
            let text =
                switch place {
                case .layer(let layer), .stage(let layer?): "in layer \(layer)"
                case .campaign: "in a campaign"
                case .head, .stage(nil): "in the head"
                case .step: "at the beginning of a pass"
                case .outside: "between passes"
                }
            let seconds = String(format: "%g", Double(limit) / 1e9)
            stop("no answer from \(silent.map(name) ?? "another rank") for \(seconds) s \(text)")
        }
    }
#endif
