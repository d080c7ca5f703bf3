//  Bytes from one rank to another while both compute.
//
//      post        copies the bytes and lets MPI carry them
//      attend      between layers and in every wait: MPI gets on, what has come begins to be received,
//                  and a rank that is busy for long gives a sign of life (MPIRanks+Signs.swift)
//      take        waits for the rest

#if MPI
    import CMPI
    import DualityQuant
    import Foundation

    /// What is on its way to and from a rank.
    final class MPIPosts {
        /// Posted by this rank, and not taken yet.
        var outgoing = MPIMessages()
        let sent = MPIMemory()
        /// What another rank has posted before it is asked for: whose it is, and its bytes.
        var ahead: (peer: Int, count: Int)?
        var incoming = MPIMessages()
        let received = MPIMemory()
    }

    extension MPIRanks {
        func post(_ bytes: UnsafeRawPointer, _ count: Int, to peer: Int) {
            settle()
            posts.sent.reserve(count)
            memcpy(posts.sent.base, bytes, count)
            send(posts.sent.base, count, to: peer, .post, in: &posts.outgoing)
        }

        /// Waits until all that was posted has been taken.
        func settle() {
            wait(isPatient: true, for: { posts.outgoing.silentPeer() }, until: { posts.outgoing.areDone() })
        }

        func take(_ bytes: UnsafeMutableRawPointer, _ count: Int, from peer: Int) {
            let ahead = posts.ahead.flatMap { $0.peer == peer ? $0 : nil }
            if ahead == nil {
                // What has begun to come from another rank comes first: there is one place for
                // both.
                wait(isPatient: true, for: { posts.incoming.silentPeer() }, until: { posts.incoming.areDone() })
                receive(bytes, count, from: peer, .post, in: &posts.incoming)
            }
            wait(isPatient: true, for: { peer }, until: { posts.incoming.areDone() })
            guard let ahead else { return }
            posts.ahead = nil
            guard ahead.count == count else {
                stop("\(name(peer)) gives \(ahead.count) bytes where \(count) are due")
            }
            memcpy(bytes, posts.received.base, count)
        }

        /// Lets MPI get on, and others know of this rank.
        func attend() {
            _ = posts.outgoing.areDone()
            hearSigns()
            lookAhead()
            giveSigns(to: 0..<count, after: timeout / 4)
        }

        /// Begins to receive what has come and was not asked for yet.
        private func lookAhead() {
            if posts.ahead != nil {
                _ = posts.incoming.areDone()
                return
            }
            guard posts.incoming.isEmpty else { return }
            var peer: Int32 = 0
            let size = Int(cmpi_waiting_of_any(Tag.post.rawValue, &peer))
            // Bytes that came in several messages are received when they are asked for.
            guard size >= 0, size < Self.largestMessage else { return }
            posts.ahead = (Int(peer), size)
            posts.received.reserve(size)
            receive(posts.received.base, size, from: Int(peer), .post, in: &posts.incoming)
        }
    }
#endif
