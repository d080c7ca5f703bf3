//  Which rows a step has, and whether the memory holds them.
//
//  Reading the weights is the price of a step; further rows are nearly free until arithmetic takes
//  as long. Decoding sequences are never left out. Rows of prompts come beside them as long as the
//  step takes no more than `decodeSlowdown` times what it takes without, and so do rows of long
//  prompts beside a short one that ends with the step.
//
//  Among prompts the one with the least `remaining - rate · time waited` goes first: the shortest,
//  with ageing, so that none waits longer than the backlog at its arrival. Up to half of the rows
//  go to the oldest.

import DualityQuant

extension ServingLoop {
    /// Rows of a step, at most.
    var rowLimit: Int { min(limits.maxBatchedTokens ?? 512, 512) }
    /// Rows of prompts that a step has at least, if there are any.
    private static let leastRows = 16

    /// The pieces of the next step.
    func rows() -> [StepPiece] {
        let ready = running.filter(\.isReady)
        let decoding = ready.filter(\.isDecoding)
        let reading = ready.filter { !$0.isDecoding }
        let pieces = decoding.map { StepPiece(sequence: $0, count: $0.pending) }
        guard !reading.isEmpty else { return guess(pieces) }
        let order = inOrder(reading)
        var (room, rest) = room(for: order, beside: decoding)
        let oldest = reading.min { $0.group.submission.arrival < $1.group.submission.arrival }
        var counts: [ObjectIdentifier: Int] = [:]
        func read(_ sequence: ServingSequence, atMost limit: Int) {
            let already = counts[ObjectIdentifier(sequence)] ?? 0
            let ends = sequence.pending <= already + limit
            let count = piece(of: sequence, atMost: already + (ends ? limit : min(limit, rest)))
            counts[ObjectIdentifier(sequence)] = count
            room -= count - already
            if !ends { rest -= count - already }
        }
        if let oldest, oldest !== order[0] { read(oldest, atMost: room / 2) }
        for sequence in order where room > 0 { read(sequence, atMost: room) }
        return pieces
            + order.compactMap { sequence in
                let count = counts[ObjectIdentifier(sequence)] ?? 0
                return count > 0
                    ? StepPiece(sequence: sequence, count: count, places: places(in: sequence, count)) : nil
            }
    }

    /// How many rows prompts have in a step, and how many of these such as do not end with it.
    ///
    /// What decodes waits for the step, and so does a prompt that ends with it, if its turn has
    /// come: the rows of others keep the step within `decodeSlowdown` times what it takes without
    /// them.
    private func room(for order: [ServingSequence], beside decoding: [ServingSequence]) -> (all: Int, rest: Int) {
        let known = decoding.reduce(0) { $0 + $1.pending }
        let keys = decoding.reduce(0) { $0 + $1.read * $1.pending }
        let most = max(rowLimit - known, 1)
        func bounded(_ rows: Int, _ keys: Int, at position: Int) -> Int {
            let fast = timesBeside.rows(beside: rows, keys: keys, at: position, slowdown: limits.decodeSlowdown)
            return max(fast, Self.leastRows)
        }
        guard decoding.isEmpty else {
            let room = min(bounded(known, keys, at: order[0].read), most)
            return (room, room)
        }
        guard order[0].pending < most else { return (most, most) }
        var (rows, endKeys, position) = (0, 0, 0)
        for sequence in order {
            if sequence.pending <= most - rows {
                rows += sequence.pending
                endKeys += sequence.pending * (sequence.read + sequence.pending / 2)
            } else {
                position = sequence.read
            }
        }
        return (most, bounded(rows, endKeys, at: position))
    }

    private func inOrder(_ reading: [ServingSequence]) -> [ServingSequence] {
        let now = ContinuousClock.now
        let rate = 1 / max(times.perRow + times.fixed / Double(rowLimit), 1e-9)
        func urgency(_ sequence: ServingSequence) -> Double {
            Double(sequence.pending) - rate * (now - sequence.group.submission.arrival).seconds
        }
        return reading.map { ($0, urgency($0)) }.sorted { $0.1 < $1.1 }.map(\.0)
    }

    /// How many of `limit` tokens a sequence reads: up to the next snapshot where the model cannot
    /// copy its memory on the way.
    private func piece(of sequence: ServingSequence, atMost limit: Int) -> Int {
        let most = min(limit, sequence.pending)
        if model.keepsBetweenRows { return most }
        let next = sequence.plan.first { $0.tokenCount > sequence.read }?.tokenCount ?? .max
        return min(most, next - sequence.read)
    }

    /// Where snapshots are due before the last of `count` tokens that a sequence reads.
    private func places(in sequence: ServingSequence, _ count: Int) -> [Int] {
        guard model.keepsBetweenRows else { return [] }
        return sequence.plan.map(\.tokenCount).filter {
            $0 > sequence.read && $0 < sequence.read + count
                && !tree.hasSnapshot(of: Array(sequence.tokens[..<$0]), salt: sequence.salt)
        }
    }

    // MARK: Memory

    /// Makes room for the pages and states that a step takes: the tree gives way first, then
    /// snapshots on the way, then the sequences admitted last.
    ///
    /// - Returns: the pieces that are left.
    func makeRoom(for pieces: [StepPiece]) -> [StepPiece] {
        var pieces = pieces
        while !fits(bytes(of: pieces)) {
            if let kind = tree.evictLeast() {
                statistics.evictions[kind, default: 0] += 1
            } else if let index = pieces.firstIndex(where: { !$0.places.isEmpty }) {
                pieces[index].places = []
            } else if running.count > 1, let last = running.last {
                preempt(last)
                pieces.removeAll { $0.sequence === last }
            } else {
                break
            }
        }
        memory.trim(keeping: max(budget.cacheBytes - memory.byteCount - stateBytes(of: pieces), 0))
        return pieces
    }

    /// Whether so many more bytes can be held.
    func fits(_ bytes: Int) -> Bool { memory.byteCount + bytes <= budget.cacheBytes }

    func bytes(of pieces: [StepPiece]) -> Int {
        let sets = pieces.reduce(0) { sum, piece in
            let start = piece.sequence.read
            return sum + pageSets(from: start, to: start + piece.rows, copiesLast: piece.copies)
                + piece.places.count { $0 % QuantCache.pageTokens != 0 }
        }
        return stateBytes(of: pieces) + sets * budget.pageSetBytes
    }

    private func stateBytes(of pieces: [StepPiece]) -> Int {
        pieces.reduce(0) { $0 + ($1.copies ? 1 : 0) + $1.places.count } * budget.stateBytes
    }

    /// Takes a sequence's memory; it goes on later from the deepest snapshot there is, with the
    /// same bits.
    private func preempt(_ sequence: ServingSequence) {
        running.removeAll { $0 === sequence }
        sequence.cache = .none
        sequence.plan = []
        sequence.sharesMemory = false
        sequence.phase = .waiting
        sequence.preemptions += 1
        statistics.preemptions += 1
        waiting.insert(sequence, at: 0)
    }
}
