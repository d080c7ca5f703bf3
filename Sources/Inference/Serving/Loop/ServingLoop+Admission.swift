//  Which of the sequences that wait begin, and from what.
//
//  First come, first served. One that needs what another is reading now steps aside until that is
//  read, and one that the memory does not hold keeps those behind it waiting.

import DualityCore
import DualityQuant

extension ServingLoop {
    /// Tokens of an answer for which there must be memory before a sequence begins.
    private static let tokensAhead = 256

    func admit() {
        guard !waiting.isEmpty else { return }
        for sequence in waiting {
            guard running.count < limits.maxSequences else { return }
            if stillWaits(sequence) { continue }
            let match = match(of: sequence)
            if let awaited = prefixBeingRead(for: sequence, match) {
                if !sequence.hasWaited { statistics.prefixWaits += 1 }
                (sequence.awaited, sequence.hasWaited) = (awaited, true)
                continue
            }
            let cache = match.node?.snapshot?.cache
            guard running.isEmpty || hasRoom(for: sequence, beginningWith: cache) else { return }
            begin(sequence, match)
        }
    }

    // MARK: What is known of a prompt

    private func match(of sequence: ServingSequence) -> PrefixTree.Match {
        guard limits.cachesPrefixes else { return PrefixTree.Match() }
        // Tokens that are to be scored are read, and one is for its logits.
        let known = sequence.scores.map { $0.known < sequence.promptCount ? $0.known - 1 : .max } ?? .max
        return tree.match(sequence.tokens, salt: sequence.salt, atMost: min(sequence.tokens.count - 1, known))
    }

    private func begin(_ sequence: ServingSequence, _ match: PrefixTree.Match) {
        waiting.removeAll { $0 === sequence }
        running.append(sequence)
        (sequence.phase, sequence.awaited) = (.running, nil)
        let start = ContinuousClock.now
        if let node = match.node, let kind = node.snapshot?.kind, let cache = tree.use(node) {
            sequence.cache = cache
            sequence.sharesMemory = true
            statistics.hits[kind, default: 0] += 1
            files?.used(node, salt: sequence.salt)
            statistics.restoreSeconds.observe((ContinuousClock.now - start).seconds)
        } else {
            sequence.cache = model.makeCache(in: memory)
            sequence.sharesMemory = false
        }
        let isNew = sequence.times.admitted == nil
        count(sequence, match, isNew: isNew)
        plan(sequence, match)
        guard isNew else { return }
        sequence.times.admitted = start
        sequence.group.cachedTokens = match.tokenCount
        tell(sequence.group, .admitted(cachedTokens: match.tokenCount))
    }

    /// Counts why which tokens will be read.
    private func count(_ sequence: ServingSequence, _ match: PrefixTree.Match, isNew: Bool) {
        func read(_ tokens: Int, _ reason: ServingStatistics.ReadReason) {
            if tokens > 0 { statistics.tokensRead[reason, default: 0] += tokens }
        }
        guard isNew else { return read(sequence.pending, .preempted) }
        statistics.promptTokens += sequence.promptCount
        guard sequence.scores == nil else { return read(sequence.promptCount, .scored) }
        if limits.cachesPrefixes {
            statistics.prefixQueries += sequence.promptCount
            statistics.prefixHits += match.tokenCount
        }
        let evicted = max(match.evictedTokens, match.tokenCount)
        let known = max(match.pathTokens, evicted)
        read(evicted - match.tokenCount, .evicted)
        read(known - evicted, .divergence)
        read(sequence.promptCount - known, .new)
        if limits.cachesPrefixes,
            let line = misses.notice(tokens: sequence.promptCount, hit: match.tokenCount > 0, statistics.tokensRead)
        {
            limits.notice?(line)
        }
    }

    /// Decides where snapshots are taken.
    private func plan(_ sequence: ServingSequence, _ match: PrefixTree.Match) {
        guard limits.cachesPrefixes else { return }
        let parts = match.pathTokens < sequence.promptCount
        let branch =
            parts && match.pathTokens - match.tokenCount >= PlacementPlan.leastBranch ? match.pathTokens : nil
        sequence.plan = PlacementPlan.snapshots(
            of: sequence.promptCount, places: sequence.group.request.places, from: sequence.read, grid: budget.grid,
            branch: branch)
        tree.learn(sequence.tokens[..<sequence.promptCount], salt: sequence.salt)
    }

    // MARK: Prefixes that are being read

    private func stillWaits(_ sequence: ServingSequence) -> Bool {
        guard let (reader, tokens) = sequence.awaited else { return false }
        if reader.phase == .running, reader.read < tokens { return true }
        sequence.awaited = nil
        return false
    }

    /// The sequence that reads a prefix of this one's prompt now, and how far it has to come; nil
    /// if none does, or if waiting would save nothing.
    private func prefixBeingRead(
        for sequence: ServingSequence, _ match: PrefixTree.Match
    ) -> (sequence: ServingSequence, tokenCount: Int)? {
        guard limits.cachesPrefixes, sequence.scores == nil, sequence.answerCount == 0 else { return nil }
        let least = match.tokenCount + PlacementPlan.leastBranch
        var best: (sequence: ServingSequence, tokenCount: Int)?
        for reader in running where reader.pending > 1 && reader.salt == sequence.salt {
            let most = min(sequence.promptCount - 1, reader.promptCount - 1)
            let common = Self.commonPrefix(sequence.tokens, reader.tokens, atMost: most)
            guard common >= least, reader.read < common else { continue }
            guard let point = point(of: reader, atMost: common, above: least), point > best?.tokenCount ?? 0 else {
                continue
            }
            // Reading by oneself would take as many rows.
            guard point - reader.read <= point - match.tokenCount else { continue }
            best = (reader, point)
        }
        return best
    }

    /// Where a reader will leave a snapshot that serves `common` tokens; it is asked for one where
    /// those it has planned would serve much less.
    private func point(of reader: ServingSequence, atMost common: Int, above least: Int) -> Int? {
        let planned = reader.plan.last { $0.tokenCount <= common && $0.tokenCount > reader.read }?.tokenCount ?? 0
        if planned >= least, common - planned < PlacementPlan.leastBranch { return planned }
        let place = reader.plan.firstIndex { $0.tokenCount > common } ?? reader.plan.count
        reader.plan.insert(PlannedSnapshot(tokenCount: common, kind: .branch), at: place)
        return common
    }

    private static func commonPrefix(_ a: [Int], _ b: [Int], atMost limit: Int) -> Int {
        var count = 0
        while count < limit, a[count] == b[count] { count += 1 }
        return count
    }

    // MARK: Memory

    /// Whether live sequences and this one have room for what they will read and some of what they
    /// will say, if the tree gives way.
    func hasRoom(for sequence: ServingSequence, beginningWith cache: QuantCache?) -> Bool {
        var pages = PageCount()
        for other in running { pages.add(other.cache) }
        if let cache { pages.add(cache) }
        var bytes = pages.bytes
        for other in running + [sequence] {
            bytes += budget.stateBytes
            let read = other === sequence ? cache?.tokenCount ?? 0 : other.read
            let ahead = other === sequence || other.answerCount == 0 ? Self.tokensAhead : 0
            let length = min(
                max(other.tokens.count + ahead, other.promptCount + Self.tokensAhead),
                other.promptCount + other.group.submission.maxTokens)
            bytes += pageSets(from: read, to: max(length, read), copiesLast: true) * budget.pageSetBytes
        }
        return bytes <= budget.cacheBytes
    }

    /// Bytes that live sequences hold; a page that several hold counts once.
    func liveBytes() -> Int {
        guard !running.isEmpty else { return 0 }
        var pages = PageCount()
        for sequence in running { pages.add(sequence.cache) }
        return pages.bytes + running.reduce(0) { $0 + $1.cache.stateBytes }
    }

    /// Pages of all layers that reading `start..<end` takes.
    func pageSets(from start: Int, to end: Int, copiesLast: Bool) -> Int {
        let page = QuantCache.pageTokens
        let whole = (end + page - 1) / page - (start + page - 1) / page
        return whole + (copiesLast && start % page != 0 && end > start ? 1 : 0)
    }
}

/// The bytes of pages, each counted once.
private struct PageCount {
    private var seen: Set<ObjectIdentifier> = []
    private(set) var bytes = 0

    mutating func add(_ cache: QuantCache) {
        cache.forEachPage { page, count in
            if seen.insert(page).inserted { bytes += count }
        }
    }
}
