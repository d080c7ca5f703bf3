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
        guard !tree.hasSnapshot(of: Array(sequence.tokens[..<sequence.read]), salt: sequence.salt) else { return }
        // Its own states now, or those that the sequence copies when it goes on.
        guard makeRoomInTree(budget.stateBytes) else { return }
        if place(sequence.cache, of: sequence, kind) { sequence.sharesMemory = true }
    }

    /// Keeps what was copied behind the places of a piece.
    func place(_ copies: [QuantCache], of piece: StepPiece) {
        for copy in copies {
            let planned = piece.sequence.plan.first { $0.tokenCount == copy.tokenCount }
            if let kind = planned?.kind { _ = place(copy, of: piece.sequence, kind) }
        }
    }

    /// Keeps a sequence's memory behind its first tokens; returns whether nobody else had.
    private func place(_ cache: QuantCache, of sequence: ServingSequence, _ kind: SnapshotKind) -> Bool {
        let (tokens, snapshot) = (Array(sequence.tokens[..<cache.tokenCount]), cache.snapshot())
        guard tree.place(snapshot, behind: tokens, salt: sequence.salt, kind: kind) else { return false }
        statistics.placed[kind, default: 0] += 1
        files?.placed(tokens, snapshot, kind, salt: sequence.salt)
        return true
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
