//  The serving engine: requests in, events out.
//
//  One thread owns the model and all sequences (ServingLoop.swift). Callers leave requests and
//  cancellations in a mailbox and read events from a stream each; nothing of theirs (texts,
//  parsers, sockets) runs on that thread, and nothing of a step on theirs.

import DualityCore
import DualityQuant
import Foundation

/// Answers many requests at once with one model.
package final class ServingEngine: Sendable {
    private let model: QuantModel
    private let limits: ServingLimits
    private let budget: ServingBudget
    let mailbox = ServingMailbox()

    /// - Throws: `InputError` (`.value`) when the memory does not hold one sequence of the longest
    ///   length, with what would; `.unsupported` for a length at which an answer would depend on
    ///   how its prompt is cut; `.inaccessibleFile` for a state folder that cannot be written.
    package init(model: QuantModel, limits: ServingLimits) throws(InputError) {
        var model = model
        let budget = try ServingBudget(model, limits)
        if let directory = limits.stateDirectory { try SnapshotFiles.prepare(directory) }
        model.contextLimit = budget.maxModelLength
        (self.model, self.limits, self.budget) = (model, limits, budget)
        let thread = Thread { [model, mailbox] in ServingLoop(model, limits, budget, mailbox).run() }
        thread.name = "duality serve"
        thread.stackSize = 8 << 20
        thread.qualityOfService = .userInteractive
        thread.start()
    }

    deinit {
        mailbox.send { state in
            state.isDraining = true
            state.endsAll = true
        }
    }

    /// Budget, bytes of a snapshot and of a token, in one line.
    package var summary: String { budget.summary(model) }
    /// Tokens of a prompt and its answer, at most.
    package var maxModelLength: Int { budget.maxModelLength }

    /// Takes a request.
    ///
    /// - Throws: `ServingRejection`, at once; nothing is computed for the request then.
    package func submit(_ request: ServingRequest) throws(ServingRejection) -> ServingAnswer {
        try submit([request])[0]
    }

    /// Takes several requests, all or none, in their order.
    package func submit(_ requests: [ServingRequest]) throws(ServingRejection) -> [ServingAnswer] {
        do {
            var lengths: [Int] = []
            for request in requests { lengths.append(try maxTokens(of: request)) }
            return try enqueue(requests, lengths)
        } catch {
            mailbox.withState { $0.statistics.rejected[error.code, default: 0] += 1 }
            throw error
        }
    }

    private func enqueue(_ requests: [ServingRequest], _ lengths: [Int]) throws(ServingRejection) -> [ServingAnswer] {
        let now = ContinuousClock.now
        let count = requests.reduce(0) { $0 + $1.choices }
        let parts = requests.map { _ in AsyncStream.makeStream(of: ServingEvent.self) }
        let places = min(limits.maxQueue, 1 << 40) + min(limits.maxSequences, 1 << 40)
        let taken = mailbox.send { state -> Result<[ServingID], ServingRejection> in
            if state.isDraining || state.hasEnded { return .failure(.shuttingDown) }
            let present = state.statistics.running + state.statistics.waiting + state.unseen
            // More at once than ever have a place are taken when nothing else is there.
            if present > 0, present + count > places {
                return .failure(.queueFull(retryAfter: Int(min(max(state.predictedWait.rounded(.up), 1), 60))))
            }
            state.unseen += count
            var ids: [ServingID] = []
            for (index, request) in requests.enumerated() {
                state.nextNumber += 1
                let id = ServingID(number: state.nextNumber)
                ids.append(id)
                state.commands.append(
                    .submit(
                        Submission(
                            id: id, request: request, events: parts[index].continuation, arrival: now,
                            maxTokens: lengths[index])))
            }
            return .success(ids)
        }
        return zip(try taken.get(), parts).map { id, part in
            part.continuation.onTermination = { [weak self] reason in
                if case .cancelled = reason { self?.cancel(id) }
            }
            return ServingAnswer(id: id, events: part.stream)
        }
    }

    /// Ends a request within a step; its unfinished choices end as `.cancelled`.
    package func cancel(_ id: ServingID) { mailbox.send { $0.commands.append(.cancel(id)) } }

    /// Ends one choice within a step, as at a stop string.
    ///
    /// - Parameter tokens: how many tokens the answer has; one or two more may have been drawn
    ///   before this was known. Nil for all.
    package func finish(_ id: ServingID, choice: Int, tokens: Int? = nil) {
        mailbox.send { $0.commands.append(.finish(id, choice: choice, tokens: tokens)) }
    }

    /// Draws no more tokens for a request while its reader does not read, or goes on.
    package func setPaused(_ isPaused: Bool, for id: ServingID) {
        mailbox.send { $0.commands.append(.pause(id, isPaused)) }
    }

    /// Takes nothing more; requests that have not begun end as `.rejected`. Returns when the last
    /// sequence has ended, snapshots are saved, and the thread has stopped.
    package func drain() async {
        await withCheckedContinuation { continuation in
            let hasEnded = mailbox.send { state in
                state.isDraining = true
                if !state.hasEnded { state.drainers.append(continuation) }
                return state.hasEnded
            }
            if hasEnded { continuation.resume() }
        }
    }

    /// Ends everything within a step; for a drain that takes too long.
    package func cancelAll() {
        mailbox.send { state in
            state.isDraining = true
            state.endsAll = true
        }
    }

    /// Counters and gauges at the end of the last step.
    package var statistics: ServingStatistics { mailbox.withState { $0.statistics } }

    // MARK: Requests

    /// How many tokens an answer may have.
    private func maxTokens(of request: ServingRequest) throws(ServingRejection) -> Int {
        do throws(InputError) {
            try request.validate(vocabularySize: model.configuration.vocabularySize)
        } catch {
            throw .invalid(error)
        }
        let room = budget.maxModelLength - request.prompt.count
        let wanted = request.maxTokens ?? max(room, 1)
        guard wanted <= room else {
            throw .contextLengthExceeded(
                limit: budget.maxModelLength, promptTokens: request.prompt.count, maxTokens: request.maxTokens)
        }
        return wanted
    }
}
