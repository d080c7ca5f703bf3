//  One step: rows are chosen, read, and what came of them is taken.

import DualityCore
import DualityQuant

/// The rows of one sequence in a step.
struct StepPiece {
    let sequence: ServingSequence
    /// Known tokens that are read.
    let count: Int
    /// What is read behind them before it is known.
    var draft = DraftSource.Draft()
    /// Tokens of the sequence, between those that are read, behind which its memory is copied for a
    /// snapshot.
    var places: [Int] = []

    var rows: Int { count + draft.tokens.count }
    /// Whether the states and the last page are copied, for they are needed as they are too.
    var copies: Bool { sequence.sharesMemory || !draft.tokens.isEmpty }
}

extension ServingLoop {
    func step() {
        let pieces = makeRoom(for: rows())
        guard !pieces.isEmpty else { return }
        let start = ContinuousClock.now
        let decoding = pieces.count { $0.sequence.isDecoding && $0.sequence.answerCount > 0 }
        let keys = pieces.reduce(0) { $0 + $1.rows * $1.sequence.read + $1.rows * $1.rows / 2 }
        let rows = pieces.reduce(0) { $0 + $1.rows }
        let copies: [[QuantCache]]
        do {
            copies = try extend(pieces)
        } catch {
            let error =
                error as? InputError
                ?? InputError(.unsupported, in: "step", expected: "a step", found: "\(error)")
            for piece in pieces where piece.sequence.phase != .ended { fail(piece.sequence.group, error) }
            return
        }
        let seconds = (ContinuousClock.now - start).seconds
        times.observe(rows: rows, keys: keys, seconds: seconds)
        if decoding > 0 { timesBeside.observe(rows: rows, keys: keys, seconds: seconds) }
        tree.costs.secondsPerToken = times.perRow + times.fixed / Double(rowLimit)
        tree.costs.secondsPerKey = times.perKey
        count(pieces, rows: rows, decoding: decoding, seconds: seconds)
        settle(pieces)
        for (piece, copies) in zip(pieces, copies) { place(copies, of: piece) }
        takeSnapshots(of: pieces.map(\.sequence))
        for piece in pieces { takeOutcome(of: piece.sequence) }
    }

    /// Reads the rows, and lets sequences draw from the logits.
    ///
    /// - Returns: for each piece the copies behind its places.
    private func extend(_ pieces: [StepPiece]) throws -> [[QuantCache]] {
        let tokens = pieces.map { piece in
            let read = piece.sequence.read
            return Array(piece.sequence.tokens[read..<read + piece.count]) + piece.draft.tokens
        }
        let wanted = pieces.map { $0.sequence.rowsWanted(of: $0.count) + $0.draft.tokens.count }
        for piece in pieces where !piece.draft.tokens.isEmpty {
            piece.sequence.expect(piece.draft, width: model.configuration.vocabularySize)
        }
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
        let kept = zip(pieces, first).map { piece, first in piece.places.map { $0 - first } }
        let copies = try model.extend(&caches, by: tokens, wanting: wanted, keeping: kept) { index, row, logits in
            sequences.all[index].take(logits, behind: first[index] + row)
        }
        for piece in pieces { piece.sequence.sharesMemory = false }
        return copies
    }

    // MARK: What came of it

    private func takeOutcome(of sequence: ServingSequence) {
        guard !sequence.outcomes.isEmpty, sequence.phase == .running else { return }
        if sequence.toldCount == 0, sequence.choice == 0 {
            if let scores = sequence.scores { tell(sequence.group, .promptScores(scores.all)) }
            beginHeirs(of: sequence)
            // A choice that cannot be computed ends the request.
            guard sequence.phase == .running else { return }
        }
        takeOutcomes(of: sequence)
    }

    private func takeOutcomes(of sequence: ServingSequence) {
        let outcomes = sequence.takeOutcomes()
        for outcome in outcomes where sequence.phase != .ended { take(outcome, of: sequence) }
    }

    private func take(_ outcome: ServingSequence.Outcome, of sequence: ServingSequence) {
        switch outcome {
        case .failed(let error):
            if sequence.phase != .ended { fail(sequence.group, error) }
        case .over(let reason):
            end(sequence, reason)
        case .drawn(let score, let reason):
            sequence.toldCount += 1
            let now = ContinuousClock.now
            if let last = sequence.times.lastToken {
                statistics.interTokenLatency.observe((now - last).seconds)
            } else {
                sequence.times.firstToken = now
                statistics.timeToFirstToken.observe((now - sequence.group.submission.arrival).seconds)
            }
            sequence.times.lastToken = now
            // A caller who may end a choice earlier says at its end how many tokens it has.
            if !sequence.group.request.mayBeFinished { count(sequence.toldCount, of: sequence) }
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
            guard !heir.outcomes.isEmpty, heir.phase == .unborn else { continue }
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
            takeOutcomes(of: heir)
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
