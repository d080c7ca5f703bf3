//  The loop of the serving engine.
//
//      take arrivals and cancellations; drop what was cancelled
//      admit while memory and the number of sequences allow
//      rows = one for each sequence that decodes, and pieces of prompts
//      logits = extend(rows);  mask, draw, score             in parallel, where the logits lie
//      take snapshots; hand out tokens; end what ended; measure the step
//
//  Everything here belongs to one thread. What others see of a step (events, statistics) they see
//  at its end, the statistics first, so that who was told of a token finds it counted.

import DualityCore
import DualityQuant
import Foundation

/// The scheduler: sequences, their memory, and the prefix tree.
final class ServingLoop {
    let model: QuantModel
    let limits: ServingLimits
    let budget: ServingBudget
    let memory: CacheMemory
    let mailbox: ServingMailbox
    let tree: PrefixTree
    let files: SnapshotFiles?
    var statistics = ServingStatistics()
    /// Of all steps, and of those that somebody waits for, whose rows decode or end a prompt.
    var times = StepTimes()
    var timesBeside = StepTimes()
    /// In the order of admission.
    var running: [ServingSequence] = []
    /// In the order in which they will be admitted.
    var waiting: [ServingSequence] = []
    var groups: [ServingID: ServingGroup] = [:]
    /// What readers are told at the end of the step.
    private var news: [(AsyncStream<ServingEvent>.Continuation, ServingEvent?)] = []
    private var isDraining = false
    /// Seconds between two ends of sequences, lately.
    private var secondsBetweenEnds = 1.0
    private var lastEnd: ContinuousClock.Instant?
    var misses = MissNotice()

    init(_ model: QuantModel, _ limits: ServingLimits, _ budget: ServingBudget, _ mailbox: ServingMailbox) {
        (self.model, self.limits, self.budget, self.mailbox) = (model, limits, budget, mailbox)
        memory = CacheMemory(for: model, bytes: 2 * budget.bytes)
        tree = PrefixTree(pathBytes: budget.pathBytes)
        files = (limits.cachesPrefixes ? limits.stateDirectory : nil).map {
            SnapshotFiles(directory: $0, model: model, limits: limits, budget: budget)
        }
        tree.costs.pageSetBytes = budget.pageSetBytes
        statistics.weightBytes = model.weightBytes
        statistics.workspaceBytes = budget.workspaceBytes
        statistics.budgetBytes = budget.bytes
    }

    /// The life of the loop's thread.
    func run() {
        measure()
        files?.load(into: tree, memory)
        publish()
        while true {
            let waits = !hasWork && !(isDraining && groups.isEmpty)
            let (commands, isDraining, endsAll) = mailbox.receive(waits: waits, knowsOfDraining: isDraining)
            self.isDraining = isDraining
            for command in commands { obey(command) }
            if isDraining { refuseWaiting() }
            if endsAll { for group in Array(groups.values) { cancel(group) } }
            admit()
            step()
            publish()
            deliver()
            if isDraining, groups.isEmpty { break }
        }
        finish()
    }

    private var hasWork: Bool { running.contains(where: \.isReady) || (running.isEmpty && !waiting.isEmpty) }

    /// A few steps, so that the first ones are not predicted from nothing.
    private func measure() {
        let count = min(64, budget.maxModelLength)
        for rows in [1, 1, 16, count] where rows <= count {
            var caches = [model.makeCache(in: memory)]
            let start = ContinuousClock.now
            guard
                (try? model.extend(&caches, by: [Array(repeating: 0, count: rows)], wanting: [1]) { _, _, _ in }) != nil
            else { return }
            let seconds = (ContinuousClock.now - start).seconds
            times.observe(rows: rows, keys: rows * rows / 2, seconds: seconds, isFirst: true)
            timesBeside.observe(rows: rows, keys: rows * rows / 2, seconds: seconds, isFirst: true)
        }
        memory.trim(keeping: 0)
    }

    // MARK: Commands

    private func obey(_ command: ServingMailbox.Command) {
        switch command {
        case .submit(let submission):
            let drafter = limits.looksUp ? LookupDrafter(weightBytes: model.weightBytesPerToken) : nil
            let group = ServingGroup(submission, drafter: drafter)
            groups[group.id] = group
            waiting.append(group.leader)
            statistics.requestChoices.observe(Double(group.request.choices))
            statistics.requestMaxTokens.observe(Double(submission.maxTokens))
        case .cancel(let id):
            if let group = groups[id] { cancel(group) }
        case .finish(let id, let choice, let tokens):
            guard let group = groups[id], group.sequences.indices.contains(choice) else { return }
            let sequence = group.sequences[choice]
            guard sequence.phase == .running || sequence.phase == .waiting, sequence.answerCount > 0 else { return }
            end(sequence, .finished, tokens: tokens)
        case .pause(let id, let isPaused):
            groups[id]?.isPaused = isPaused
        }
    }

    private func cancel(_ group: ServingGroup) {
        statistics.cancelled += 1
        for sequence in group.sequences where sequence.phase != .ended { end(sequence, .cancelled) }
    }

    /// Requests that nothing has been computed for do not hold up an end.
    private func refuseWaiting() {
        for sequence in waiting where sequence.times.admitted == nil {
            let group = sequence.group
            tell(group, .rejected(.shuttingDown))
            for sequence in group.sequences where sequence.phase != .ended { drop(sequence, .cancelled) }
        }
    }

    // MARK: Ends

    /// Ends a sequence and says so.
    ///
    /// - Parameter tokens: those of the answer that count; nil for all.
    func end(_ sequence: ServingSequence, _ reason: ServingReason, tokens: Int? = nil) {
        let count = min(tokens ?? sequence.answerCount, sequence.answerCount)
        let now = ContinuousClock.now
        var usage = ServingUsage()
        usage.promptTokens = sequence.promptCount
        usage.cachedTokens = sequence.group.cachedTokens
        usage.tokens = count
        usage.preemptions = sequence.preemptions
        let arrival = sequence.group.submission.arrival
        let admitted = sequence.times.admitted ?? now
        let first = sequence.times.firstToken ?? now
        usage.queueSeconds = (admitted - arrival).seconds
        usage.promptSeconds = (first - admitted).seconds
        usage.answerSeconds = (now - first).seconds
        record(usage, of: sequence)
        tell(sequence.group, .finished(choice: sequence.choice, reason, usage))
        keepAnswer(of: sequence, reason, tokens: count)
        drop(sequence, reason)
    }

    /// Ends all sequences of a request that cannot go on.
    func fail(_ group: ServingGroup, _ error: InputError) {
        tell(group, .failed(error))
        for sequence in group.sequences where sequence.phase != .ended { drop(sequence, .cancelled) }
    }

    private func record(_ usage: ServingUsage, of sequence: ServingSequence) {
        count(usage.tokens, of: sequence)
        statistics.requestSeconds.observe(usage.queueSeconds + usage.promptSeconds + usage.answerSeconds)
        statistics.requestPromptTokens.observe(Double(usage.promptTokens))
        statistics.requestGenerationTokens.observe(Double(usage.tokens))
        guard sequence.times.admitted != nil else { return }
        statistics.queueSeconds.observe(usage.queueSeconds)
        statistics.promptSeconds.observe(usage.promptSeconds)
        statistics.decodeSeconds.observe(usage.answerSeconds)
        statistics.inferenceSeconds.observe(usage.promptSeconds + usage.answerSeconds)
        if usage.tokens > 1 {
            statistics.timePerOutputToken.observe(usage.answerSeconds / Double(usage.tokens - 1))
        }
    }

    /// Takes a sequence out of everything.
    private func drop(_ sequence: ServingSequence, _ reason: ServingReason) {
        statistics.ended[reason.label, default: 0] += 1
        if sequence.phase == .running { running.removeAll { $0 === sequence } }
        if sequence.phase == .waiting { waiting.removeAll { $0 === sequence } }
        sequence.phase = .ended
        sequence.cache = .none
        sequence.awaited = nil
        let now = ContinuousClock.now
        if let lastEnd {
            let seconds = (now - lastEnd).seconds
            secondsBetweenEnds += (min(seconds, 60) - secondsBetweenEnds) / 8
        }
        lastEnd = now
        let group = sequence.group
        group.ended(sequence)
        guard group.open == 0 else { return }
        statistics.requestMaxGenerationTokens.observe(Double(group.longestAnswer))
        groups[group.id] = nil
        news.append((group.submission.events, nil))
    }

    // MARK: News

    func tell(_ group: ServingGroup, _ event: ServingEvent) { news.append((group.submission.events, event)) }

    private func deliver() {
        for (events, event) in news {
            if let event { events.yield(event) } else { events.finish() }
        }
        news.removeAll(keepingCapacity: true)
    }

    private func publish() {
        let live = liveBytes()
        statistics.running = running.count
        statistics.waiting = waiting.count + groups.values.reduce(0) { $0 + $1.unborn.count }
        statistics.liveBytes = live
        statistics.peakBytes = max(statistics.peakBytes, memory.byteCount)
        statistics.treeBytes = max(memory.byteCount - live, 0)
        statistics.snapshots = tree.snapshotCount
        statistics.snapshotBytes = statistics.treeBytes
        let wait = secondsBetweenEnds
        mailbox.withState { [statistics] state in
            var rejected = statistics
            rejected.rejected = state.statistics.rejected
            state.statistics = rejected
            state.predictedWait = wait
            (state.unseen, state.seen) = (state.unseen - state.seen, 0)
        }
    }

    private func finish() {
        files?.saveAll(of: tree)
        running = []
        let drainers = mailbox.withState { state in
            state.hasEnded = true
            defer { state.drainers = [] }
            return state.drainers
        }
        for drainer in drainers { drainer.resume() }
    }
}
