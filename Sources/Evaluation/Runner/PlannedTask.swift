//  What a run is going to ask, before any of it is asked.

import DualityCore

/// The rows of one task at one length, with their requests.
package struct PlannedTask: Sendable {
    package let name: String
    package let task: any EvaluationTask
    package let isChat: Bool
    package var rows: [EvaluationRow]
    package var shots: Int
    package var fewshotHash: String?
    package var dataHash: String
    /// `own` for wording of ours, `reference` for that of a file.
    package var template: String

    package init(
        name: String, task: any EvaluationTask, isChat: Bool, rows: [EvaluationRow], shots: Int, dataHash: String,
        template: String = "reference"
    ) {
        (self.name, self.task, self.isChat, self.rows) = (name, task, isChat, rows)
        (self.shots, self.dataHash, self.template) = (shots, dataHash, template)
        if shots > 0 {
            fewshotHash = RunFolder.hash(
                rows.flatMap { row in row.examples.map { JSON.object($0.object).serialized() } })
        }
    }
}

/// A request of a plan.
package struct PlannedRequest: Sendable {
    package let task: Int
    package let row: Int
    package let tokens: TokenRequest
    /// Whether prompt and answer fit the model.
    package let fits: Bool
    /// Tokens that were cut from the prompt's beginning.
    package var cut = 0
}

package struct EvaluationPlan: Sendable {
    package let tasks: [PlannedTask]
    package private(set) var requests: [PlannedRequest] = []

    /// Makes the requests of all tasks.
    ///
    /// - Parameters:
    ///   - context: the most tokens of a sequence; nil for no limit.
    ///   - maxTokens: the most tokens of an answer, in place of the tasks' own.
    ///   - cutsLeft: whether those that do not fit lose their first tokens; else they are left out.
    ///   - progress: is told how many of all rows are done.
    /// - Throws: `InputError` for a row that lacks a field.
    package init(
        _ tasks: [PlannedTask], encoder: RequestEncoder, context: Int?, maxTokens: Int?,
        cutsLeft: Bool = false, progress: (Int, Int) -> Void = { _, _ in }
    ) throws(InputError) {
        self.tasks = tasks
        let all = tasks.reduce(0) { $0 + $1.rows.count }
        for (place, task) in tasks.enumerated() {
            for (i, row) in task.rows.enumerated() {
                var request = try task.task.request(row.doc, examples: row.examples, isChat: task.isChat)
                if case .generate(var generation) = request.kind, let maxTokens {
                    generation.maxTokens = min(generation.maxTokens, maxTokens)
                    request.kind = .generate(generation)
                }
                let tokens = try encoder.encode(request, name: Sample.key(task.name, row.length, row.id))
                requests.append(
                    Self.planned(tokens, task, (place, i), context: context, cutsLeft: cutsLeft))
                progress(requests.count, all)
            }
        }
    }

    /// The request as it fits the context: as it is, cut at the left, or not at all.
    private static func planned(
        _ request: TokenRequest, _ task: PlannedTask, _ place: (task: Int, row: Int), context: Int?, cutsLeft: Bool
    ) -> PlannedRequest {
        var tokens = request
        // What must be free behind the prompt, and whether no room at all is enough.
        var (least, needsRoom) = (0, false)
        if let context {
            switch tokens.kind {
            case .generate(var generation):
                needsRoom = true
                // "As far as the context goes" is what a limit above any context means; a prompt
                // that is cut leaves room for a whole answer.
                if generation.maxTokens > 100_000 {
                    generation.maxTokens = max(context - tokens.prompt.count, 0)
                    tokens.kind = .generate(generation)
                    least = cutsLeft ? min(1024, context / 2) : 1
                } else {
                    least = task.name.hasPrefix("mrcr") ? min(generation.maxTokens, 1024) : generation.maxTokens
                }
            case .choose(let choices): least = choices.map(\.count).max() ?? 0
            case .rolling: least = 0
            }
        }
        let room = context.map { $0 - least } ?? .max
        var cut = 0
        let isAsked = least > 0 || !needsRoom
        if cutsLeft, isAsked, tokens.prompt.count > room, room > 0 {
            cut = tokens.prompt.count - room
            tokens.prompt.removeFirst(cut)
            if case .generate(var generation) = tokens.kind, generation.maxTokens < least {
                generation.maxTokens = least
                tokens.kind = .generate(generation)
            }
        }
        let fits = isAsked && !tokens.prompt.isEmpty && tokens.prompt.count <= room
        return PlannedRequest(task: place.task, row: place.row, tokens: tokens, fits: fits, cut: cut)
    }

    /// The longest sequence that memory is set aside for, prompt and answer.
    package func longest(_ context: Int?) -> Int {
        requests.filter(\.fits).map { $0.tokens.longest(context) }.max() ?? 1
    }

    /// The most snapshots of one path through the prompts.
    package func snapshots<Model: BatchedModel>(reuses: Bool, _ type: Model.Type) -> Int {
        PrefixWalk<Model>.deepest(requests.filter(\.fits).map(\.tokens.prompt), reuses: reuses)
    }
}
