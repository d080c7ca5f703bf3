//  A job in the hands of the engine: its events, in the order in which they come, of all prompts.

import DualityCore
import DualityInference

/// The answers to one request on their way.
package struct AnswerSession: Sendable {
    package let job: AnswerJob
    private let answers: [ServingAnswer]

    /// Hands a job to the engine, all of its prompts or none.
    ///
    /// - Throws: `RequestError` when the engine does not take it.
    package init(_ job: AnswerJob) throws(RequestError) {
        self.job = job
        do {
            answers = try job.model.engine.submit(job.requests)
        } catch {
            throw RequestError(error)
        }
    }

    /// Ends all answers within a step.
    package func cancel() {
        for answer in answers { job.model.engine.cancel(answer.id) }
    }

    /// Stops drawing while the client does not read, or goes on.
    package func setPaused(_ isPaused: Bool) {
        for answer in answers { job.model.engine.setPaused(isPaused, for: answer.id) }
    }

    /// Ends a choice at a stop string.
    ///
    /// - Parameter tokens: how many of its tokens are part of the answer.
    package func finish(prompt: Int, choice: Int, tokens: Int) {
        job.model.engine.finish(answers[prompt].id, choice: choice, tokens: tokens)
    }

    /// Hands every event to `body` until the last answer is over.
    package func forEachEvent(
        _ body: (_ prompt: Int, ServingEvent) async throws(RequestError) -> Void
    ) async throws(RequestError) {
        if answers.count == 1 {
            for await event in answers[0].events { try await body(0, event) }
            return
        }
        let (merged, continuation) = AsyncStream<(Int, ServingEvent)>.makeStream()
        let reader = Task { [answers] in
            await withDiscardingTaskGroup { group in
                for (prompt, answer) in answers.enumerated() {
                    group.addTask { for await event in answer.events { continuation.yield((prompt, event)) } }
                }
            }
            continuation.finish()
        }
        defer { reader.cancel() }
        for await (prompt, event) in merged { try await body(prompt, event) }
    }
}
