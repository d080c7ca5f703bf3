//  What of a step is kept for others: snapshots where they were planned, and answers that ended.

import DualityQuant

extension ServingLoop {
    /// Takes the snapshots that are due behind what sequences have read.
    func takeSnapshots(of sequences: [ServingSequence]) {
        guard limits.cachesPrefixes else { return }
        for sequence in sequences {
            var kind: SnapshotKind?
            while let next = sequence.plan.first, next.tokenCount <= sequence.read {
                if next.tokenCount == sequence.read { kind = next.kind }
                sequence.plan.removeFirst()
            }
            // While it decodes, for resuming.
            if kind == nil, sequence.read > sequence.promptCount, sequence.read % budget.grid == 0 { kind = .grid }
            if let kind { place(sequence, kind) }
        }
    }

    private func place(_ sequence: ServingSequence, _ kind: SnapshotKind) {
        let tokens = Array(sequence.tokens[..<sequence.read])
        guard !tree.hasSnapshot(of: tokens, salt: sequence.salt) else { return }
        // Its own states now, or those that the sequence copies when it goes on.
        guard makeRoomInTree(budget.stateBytes) else { return }
        let snapshot = sequence.cache.snapshot()
        guard tree.place(snapshot, behind: tokens, salt: sequence.salt, kind: kind) else { return }
        statistics.placed[kind, default: 0] += 1
        sequence.sharesMemory = true
        files?.placed(tokens, snapshot, kind, salt: sequence.salt)
    }

    /// Lets snapshots go until so many bytes are free.
    private func makeRoomInTree(_ bytes: Int) -> Bool {
        while !fits(bytes) {
            guard let kind = tree.evictLeast() else { return false }
            statistics.evictions[kind, default: 0] += 1
        }
        return true
    }

    /// Keeps the memory of an answer that ended by itself: the next turn may go on behind it.
    ///
    /// - Parameter count: the answer's tokens.
    func keepAnswer(of sequence: ServingSequence, _ reason: ServingReason, tokens count: Int) {
        guard limits.cachesPrefixes, sequence.phase == .running, reason != .cancelled, reason != .length,
            sequence.read > sequence.promptCount, sequence.read <= sequence.promptCount + count
        else { return }
        let tokens = Array(sequence.tokens[..<sequence.read])
        if tree.place(sequence.cache.snapshot(), behind: tokens, salt: sequence.salt, kind: .answer) {
            statistics.placed[.answer, default: 0] += 1
        }
    }
}
