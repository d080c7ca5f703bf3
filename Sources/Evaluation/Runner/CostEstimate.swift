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
    /// What is read of every prompt, and tokens of choices and pages beside them.
    private let spans: [Range<Int>]
    private let besides: Int
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
        spans = PrefixWalk<Model>.spans(ids, reuses: reuses)
        besides = beside
        tokens = spans.reduce(0) { $0 + $1.count } + beside
        tokensWithoutReuse = ids.reduce(0) { $0 + $1.count } + beside
        mostGenerated = requests.reduce(0) { $0 + $1.mostGenerated }
    }

    /// Measures speeds on prompts of the plan, for a second or two of work.
    ///
    ///     read k tokens behind d others      f + k (a + b d)         of the longest prompt's
    ///     beginning, in pieces a step of a batch behind d         p + q d                 at its
    ///     first piece and its last
    package mutating func measure<Model: BatchedModel>(
        _ model: Model, _ tokenizer: Tokenizer, _ settings: RunnerSettings, _ plan: EvaluationPlan
    ) throws {
        let requests = plan.requests.filter(\.fits)
        guard let longest = requests.max(by: { $0.tokens.prompt.count < $1.tokens.prompt.count })?.tokens.prompt else {
            return
        }
        let generated = try probe(model, tokenizer, settings, plan)
        let text = Array(longest.prefix(Self.most))
        let width = min(settings.batch, prompts)
        var cache = model.makeCache()
        var (reading, steps) = (Line(), Line())
        let size = max((text.count + 3) / 4, 1)
        for start in stride(from: 0, to: text.count, by: size) {
            let piece = Array(text[start..<min(start + size, text.count)])
            let seconds = try Self.seconds { try model.read(&cache, piece) }
            reading.add(Double(start) + Double(piece.count) / 2, seconds / Double(piece.count))
            let isLast = start + size >= text.count
            if mostGenerated > 0, start == 0 || isLast, model.contextLimit.map({ start + size + 4 <= $0 }) ?? true {
                var caches = Array(repeating: cache, count: width)
                let tokens = Array(repeating: [text[0]], count: width)
                _ = try model.nextScores(&caches, after: tokens)
                let step = try Self.seconds { for _ in 0..<3 { _ = try model.nextScores(&caches, after: tokens) } }
                steps.add(Double(start + piece.count), step / 3 / Double(width))
            }
        }
        // What a pass takes beside its tokens: the head, and the scores of a vocabulary.
        var caches = [model.makeCache()]
        let few = Array(text.prefix(16))
        _ = try model.nextScores(&caches, after: [few])
        caches = [model.makeCache()]
        let pass = try Self.seconds { _ = try model.nextScores(&caches, after: [few]) }
        let fixed = max(pass - Double(few.count) * reading.value(at: 0), 0)

        var sum = Double(spans.count) * fixed + Double(besides) * reading.value(at: 0)
        for span in spans {
            let middle = Double(span.lowerBound + span.upperBound) / 2
            sum += Double(span.count) * reading.value(at: middle)
        }
        for request in requests where request.tokens.mostGenerated > 0 {
            let depth = Double(request.tokens.prompt.count)
            sum += Double(request.tokens.mostGenerated) * (generated[request.task] ?? 1) * steps.value(at: depth)
        }
        seconds = sum
    }

    /// The most tokens that are read to measure.
    private static let most = 4096

    private static func seconds(_ body: () throws -> Void) rethrows -> Double {
        let start = ContinuousClock.now
        try body()
        return (ContinuousClock.now - start).seconds
    }

    /// What of their limit the answers of each task take, of one answer each to a prompt that is
    /// not longer than what is measured.
    private mutating func probe<Model: BatchedModel>(
        _ model: Model, _ tokenizer: Tokenizer, _ settings: RunnerSettings, _ plan: EvaluationPlan
    ) throws -> [Int: Double] {
        var (probes, places): ([TokenRequest], [Int]) = ([], [])
        for task in plan.tasks.indices {
            let own = plan.requests.filter { $0.task == task && $0.fits && $0.tokens.prompt.count <= Self.most }
            guard let request = own.isEmpty ? nil : own[own.count / 2].tokens,
                case .generate(var generation) = request.kind
            else { continue }
            generation.repeats = nil
            generation.maxTokens = min(generation.maxTokens, 256)
            var probe = request
            probe.kind = .generate(generation)
            if probes.count < settings.batch { (probes, places) = (probes + [probe], places + [task]) }
        }
        guard !probes.isEmpty else { return [:] }
        var (shares, generated): ([Int: Double], Int) = ([:], 0)
        var runner = RequestRunner(model, tokenizer, settings, probes)
        try runner.run { i, outcome in
            shares[places[i]] = Double(outcome.generatedTokens) / Double(max(probes[i].mostGenerated, 1))
            generated += outcome.generatedTokens
        }
        share = Double(generated) / Double(max(probes.reduce(0) { $0 + $1.mostGenerated }, 1))
        return shares
    }

    package var json: JSON {
        [
            "prompts": JSON(prompts), "skipped": JSON(skipped), "tokens": JSON(tokens),
            "tokens_without_reuse": JSON(tokensWithoutReuse), "most_generated_tokens": JSON(mostGenerated),
            "generated_share": JSON(share), "seconds": seconds.map { JSON($0) } ?? .null,
        ]
    }
}

/// A straight line through points, which does not fall.
private struct Line {
    private var points: [(x: Double, y: Double)] = []

    mutating func add(_ x: Double, _ y: Double) { points.append((x, y)) }

    func value(at x: Double) -> Double {
        let n = Double(max(points.count, 1))
        let (meanX, meanY) = (points.reduce(0) { $0 + $1.x } / n, points.reduce(0) { $0 + $1.y } / n)
        let spread = points.reduce(0) { $0 + ($1.x - meanX) * ($1.x - meanX) }
        let slope = spread > 0 ? points.reduce(0) { $0 + ($1.x - meanX) * ($1.y - meanY) } / spread : 0
        let value = meanY + max(slope, 0) * (x - meanX)
        return max(value, points.map(\.y).min() ?? 0)
    }
}
