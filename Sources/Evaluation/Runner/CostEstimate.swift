//  What a run will cost, before it runs.
//
//  Tokens are counted; speeds are measured on a few prompts of the run itself, which also says how
//  much of their limit answers take.

import DualityCore
import DualityInference

package struct CostEstimate: Sendable {
    package let prompts: Int
    package let skipped: Int
    package let tokens: Int
    package let tokensWithoutReuse: Int
    /// The most tokens that may be generated.
    package let mostGenerated: Int
    package private(set) var seconds: Double?
    /// What answers took of their limit where it was tried.
    package private(set) var share = 1.0

    package init<Model: BatchedModel>(_ plan: EvaluationPlan, reuses: Bool, _ type: Model.Type) {
        let requests = plan.requests.filter(\.fits).map(\.tokens)
        prompts = requests.count
        skipped = plan.requests.count - requests.count
        let ids = requests.map(\.prompt)
        var beside = 0
        for request in requests {
            switch request.kind {
            case .generate: break
            case .choose(let choices):
                beside += Set(choices.map { Array($0.dropLast()) }).reduce(0) { $0 + $1.count }
            case .rolling(let tokens): beside += tokens.count
            }
        }
        tokens = PrefixWalk<Model>.tokensRead(ids, reuses: reuses) + beside
        tokensWithoutReuse = ids.reduce(0) { $0 + $1.count } + beside
        mostGenerated = requests.reduce(0) { $0 + $1.mostGenerated }
    }

    /// Measures speeds on prompts of the plan.
    ///
    /// Every task gives one, of its middle length; for a second or two of work, one answer each.
    package mutating func measure<Model: BatchedModel>(
        _ model: Model, _ tokenizer: Tokenizer, _ settings: RunnerSettings, _ plan: EvaluationPlan
    ) throws {
        let clock = ContinuousClock()
        var requests = plan.requests.filter(\.fits)
        guard !requests.isEmpty else { return }
        requests.sort { $0.tokens.prompt.count < $1.tokens.prompt.count }
        let middle = requests[requests.count / 2].tokens
        // The first pass warms caches and pages.
        var cache = model.makeCache()
        try model.read(&cache, Array(middle.prompt.prefix(32)))
        cache = model.makeCache()
        var timed = clock.now
        try model.read(&cache, middle.prompt)
        let secondsPerToken = (clock.now - timed).seconds / Double(middle.prompt.count)

        // Answers of a few prompts say how soon they end.
        var probes: [TokenRequest] = []
        for task in plan.tasks.indices {
            let own = requests.filter { $0.task == task }
            guard let request = own.isEmpty ? nil : own[own.count / 2].tokens,
                case .generate(var generation) = request.kind
            else { continue }
            generation.repeats = nil
            generation.maxTokens = min(generation.maxTokens, 256)
            var probe = request
            probe.kind = .generate(generation)
            if probes.count < settings.batch { probes.append(probe) }
        }
        var (generated, most) = (0, 0)
        if !probes.isEmpty {
            var runner = RequestRunner(model, tokenizer, settings, probes)
            try runner.run { _, outcome in generated += outcome.generatedTokens }
            most = probes.reduce(0) { $0 + $1.mostGenerated }
            share = Double(generated) / Double(max(most, 1))
        }

        // A step of a full batch at that depth.
        var decode = 0.0
        if mostGenerated > 0 {
            let width = min(settings.batch, prompts)
            var caches = Array(repeating: cache, count: width)
            let tokens = Array(repeating: [middle.prompt.last ?? 0], count: width)
            if model.contextLimit.map({ middle.prompt.count + 6 <= $0 }) ?? true {
                _ = try model.nextScores(&caches, after: tokens)
                timed = clock.now
                for _ in 0..<4 { _ = try model.nextScores(&caches, after: tokens) }
                decode = (clock.now - timed).seconds / 4 / Double(width)
            }
        }
        seconds = Double(tokens) * secondsPerToken + Double(mostGenerated) * share * decode
    }

    package var json: JSON {
        [
            "prompts": JSON(prompts), "skipped": JSON(skipped), "tokens": JSON(tokens),
            "tokens_without_reuse": JSON(tokensWithoutReuse), "most_generated_tokens": JSON(mostGenerated),
            "generated_share": JSON(share), "seconds": seconds.map { JSON($0) } ?? .null,
        ]
    }
}
