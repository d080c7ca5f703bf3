//  Exchanges in which all ranks take part, or some neighbours.

#if MPI
    import DualityQuant
    import Foundation

    extension MPIRanks {
        func gather(_ own: UnsafeRawPointer, sizes: [Int], into all: UnsafeMutableRawPointer) {
            gather(own, sizes: sizes, into: all, among: 0..<count)
        }

        func deal(_ own: UnsafeRawPointer, sizes: [Int], into all: UnsafeMutableRawPointer, receiving: [Int]) {
            deal(own, sizes: sizes, into: all, receiving: receiving, among: 0..<count)
        }

        func toFirst(_ own: UnsafeRawPointer, sizes: [Int], into all: UnsafeMutableRawPointer) {
            toFirst(own, sizes: sizes, into: all, among: 0..<count)
        }

        func neighbours(_ ranks: Range<Int>) -> any PartExchange { MPINeighbours(self, ranks) }

        /// - Parameter members: those who take part, of which `sizes` has one each.
        fileprivate func gather(
            _ own: UnsafeRawPointer, sizes: [Int], into all: UnsafeMutableRawPointer, among members: Range<Int>
        ) {
            var place = all
            for (peer, size) in zip(members, sizes) {
                if peer == rank {
                    if size > 0 { memcpy(place, own, size) }
                } else {
                    receive(place, size, from: peer, .parts, in: &messages)
                }
                place += size
            }
            let size = sizes[rank - members.lowerBound]
            for peer in members where peer != rank { send(own, size, to: peer, .parts, in: &messages) }
            wait()
        }

        fileprivate func deal(
            _ own: UnsafeRawPointer, sizes: [Int], into all: UnsafeMutableRawPointer, receiving: [Int],
            among members: Range<Int>
        ) {
            var (mine, place) = (own, all)
            for (index, peer) in members.enumerated() {
                if peer == rank {
                    if sizes[index] > 0 { memcpy(place, mine, sizes[index]) }
                } else {
                    receive(place, receiving[index], from: peer, .parts, in: &messages)
                }
                mine += sizes[index]
                place += receiving[index]
            }
            mine = own
            for (peer, size) in zip(members, sizes) {
                if peer != rank { send(mine, size, to: peer, .parts, in: &messages) }
                mine += size
            }
            wait()
        }

        fileprivate func toFirst(
            _ own: UnsafeRawPointer, sizes: [Int], into all: UnsafeMutableRawPointer, among members: Range<Int>
        ) {
            guard rank == members.lowerBound else {
                send(own, sizes[rank - members.lowerBound], to: members.lowerBound, .parts, in: &messages)
                return wait()
            }
            if sizes[0] > 0 { memcpy(all, own, sizes[0]) }
            var place = all + sizes[0]
            for (peer, size) in zip(members, sizes).dropFirst() {
                receive(place, size, from: peer, .parts, in: &messages)
                place += size
            }
            wait()
        }
    }

    /// Ranks next to each other, seen from one of them.
    private final class MPINeighbours: PartExchange {
        private let ranks: MPIRanks
        private let members: Range<Int>

        init(_ ranks: MPIRanks, _ members: Range<Int>) { (self.ranks, self.members) = (ranks, members) }

        var rank: Int { ranks.rank - members.lowerBound }
        var count: Int { members.count }

        func gather(_ own: UnsafeRawPointer, sizes: [Int], into all: UnsafeMutableRawPointer) {
            ranks.gather(own, sizes: sizes, into: all, among: members)
        }

        func deal(_ own: UnsafeRawPointer, sizes: [Int], into all: UnsafeMutableRawPointer, receiving: [Int]) {
            ranks.deal(own, sizes: sizes, into: all, receiving: receiving, among: members)
        }

        func toFirst(_ own: UnsafeRawPointer, sizes: [Int], into all: UnsafeMutableRawPointer) {
            ranks.toFirst(own, sizes: sizes, into: all, among: members)
        }
    }
#endif
