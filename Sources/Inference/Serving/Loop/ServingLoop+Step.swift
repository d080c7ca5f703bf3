//  One step: rows are chosen, read, and what came of them is taken.

import DualityCore
import DualityQuant

/// The rows of one sequence in a step.
struct StepPiece {
    let sequence: ServingSequence
    let count: Int
}

extension ServingLoop {
    func step() {
        let pieces = makeRoom(for: rows())
        guard !pieces.isEmpty else { return }
        let start = ContinuousClock.now
        let decoding = pieces.count { $0.count == 1 && $0.sequence.answerCount > 0 }
        let keys = pieces.reduce(0) { $0 + $1.count * $1.sequence.read + $1.count * $1.count / 2 }
        let rows = pieces.reduce(0) { $0 + $1.count }
        do {
            try extend(pieces)
        } catch {
            let error =
                error as? InputError
                ?? InputError(.unsupported, in: "step", expected: "a step", found: "\(error)")
            for piece in pieces where piece.sequence.phase != .ended { fail(piece.sequence.group, error) }
            return
        }
        let seconds = (ContinuousClock.now - start).seconds
        times.observe(rows: rows, keys: keys, seconds: seconds)
        tree.costs.secondsPerToken = times.perRow + times.fixed / Double(rowLimit)
        tree.costs.secondsPerKey = times.perKey
        count(pieces, rows: rows, decoding: decoding, seconds: seconds)
        takeSnapshots(of: pieces.map(\.sequence))
        for piece in pieces { takeOutcome(of: piece.sequence) }
    }

    /// Reads the rows, and lets sequences draw from the logits.
    private func extend(_ pieces: [StepPiece]) throws {
        let tokens = pieces.map { Array($0.sequence.tokens[$0.sequence.read..<$0.sequence.read + $0.count]) }
        let wanted = pieces.map { $0.sequence.rowsWanted(of: $0.count) }
        let first = pieces.map(\.sequence.read)
        // Moved, not copied, so that every cache keeps its one owner.
        var caches = pieces.map { $0.sequence.takeCache() }
        defer {
            for (piece, cache) in zip(pieces, caches) {
                piece.sequence.cache = cache
                if let scores = piece.sequence.scores {
                    scores.known = max(scores.known, min(cache.tokenCount + 1, piece.sequence.promptCount))
                }
            }
        }
        let sequences = SharedSequences(pieces.map(\.sequence))
        try model.extend(&caches, by: tokens, wanting: wanted) { index, row, logits in
            sequences.all[index].take(logits, behind: first[index] + row)
        }
        for piece in pieces { piece.sequence.sharesMemory = false }
    }

    // MARK: What came of it

    private func takeOutcome(of sequence: ServingSequence) {
        guard let outcome = sequence.outcome, sequence.phase == .running else { return }
        if sequence.answerCount == 0, sequence.choice == 0 {
            if let scores = sequence.scores { tell(sequence.group, .promptScores(scores.all)) }
            beginHeirs(of: sequence)
            // A choice that cannot be computed ends the request.
            guard sequence.phase == .running else { return }
        }
        take(outcome, of: sequence)
    }

    private func take(_ outcome: ServingSequence.Outcome, of sequence: ServingSequence) {
        sequence.outcome = nil
        switch outcome {
        case .failed(let error):
            if sequence.phase != .ended { fail(sequence.group, error) }
        case .over(let reason):
            end(sequence, reason)
        case .drawn(let score, let reason):
            sequence.append(score.token)
            let now = ContinuousClock.now
            if let last = sequence.times.lastToken {
                statistics.interTokenLatency.observe((now - last).seconds)
            } else {
                sequence.times.firstToken = now
                statistics.timeToFirstToken.observe((now - sequence.group.submission.arrival).seconds)
            }
            sequence.times.lastToken = now
            // A caller who may end a choice earlier says at its end how many tokens it has.
            if !sequence.group.request.mayBeFinished { count(sequence.answerCount, of: sequence) }
            tell(sequence.group, .token(choice: sequence.choice, score))
            if let reason { end(sequence, reason) }
        }
    }

    /// Counts the first `tokens` tokens of an answer.
    func count(_ tokens: Int, of sequence: ServingSequence) {
        statistics.generationTokens += max(tokens - sequence.countedTokens, 0)
        sequence.countedTokens = max(tokens, sequence.countedTokens)
    }

    /// The other choices of a prompt that has been read: each goes on from a copy, or waits where
    /// there is no room for it, with the token that it drew.
    private func beginHeirs(of leader: ServingSequence) {
        var late: [ServingSequence] = []
        for heir in leader.group.unborn {
            guard let outcome = heir.outcome, heir.phase == .unborn else { continue }
            heir.times.admitted = ContinuousClock.now
            if running.count < limits.maxSequences, hasRoom(for: heir, beginningWith: leader.cache) {
                heir.phase = .running
                heir.cache = leader.cache
                (heir.sharesMemory, leader.sharesMemory) = (true, true)
                running.append(heir)
            } else {
                heir.phase = .waiting
                late.append(heir)
            }
            take(outcome, of: heir)
        }
        waiting.insert(contentsOf: late.filter { $0.phase == .waiting }, at: 0)
    }

    private func count(_ pieces: [StepPiece], rows: Int, decoding: Int, seconds: Double) {
        let kind: ServingStatistics.StepKind =
            decoding == pieces.count ? .decode : decoding == 0 ? .prompt : .mixed
        statistics.steps += 1
        statistics.stepSeconds[kind, default: .tokenSeconds].observe(seconds)
        statistics.stepRows.observe(Double(rows))
        statistics.iterationTokens.observe(Double(rows))
    }
}

/// Sequences that threads of the pool draw for, each from one thread at a time.
private struct SharedSequences: @unchecked Sendable {
    let all: [ServingSequence]
    init(_ all: [ServingSequence]) { self.all = all }
}
