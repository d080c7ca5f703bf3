//  Requests answered: read along the tree of prompts, generated in batches whose places are filled
//  again as texts end.
//
//  The engine's numbers depend neither on where a prompt is cut nor on what else is in a batch, so
//  that the answers are the same whatever the order, the batch and the reuse.

import DualityCore
import DualityInference

package struct RunnerSettings: Sendable {
    package var batch = 16
    package var reuses = true
    package var seed: UInt64 = 0
    /// Tokens that end a text, and those that end a turn.
    package var ends: Set<Int> = []
    package var turnEnds: Set<Int> = []

    package init() {}

    /// Sequences that are worked on together: as many as asked for, else as fit, at most 16.
    ///
    /// - Parameters:
    ///   - asked: what `--batch` says; nil for nothing.
    ///   - most: how many fit into memory; nil where nobody knows. One always runs.
    ///   - tokens: the length of each.
    /// - Throws: `InputError` (`.value`) for more than fit.
    package static func batch(asked: Int?, fitting most: Int?, tokens: Int) throws(InputError) -> Int {
        guard let most else { return asked ?? 16 }
        guard let asked else { return max(min(most, 16), 1) }
        guard asked <= max(most, 1) else {
            throw InputError(
                .value, in: "--batch", expected: "at most \(max(most, 1)) sequences of \(tokens) tokens in memory",
                found: "\(asked)", remedy: "Give a smaller --batch, shorter --lengths or --kv int8.")
        }
        return asked
    }
}

package struct RequestRunner<Model: BatchedModel> {
    private let model: Model
    private let tokenizer: Tokenizer
    private let settings: RunnerSettings
    private let requests: [TokenRequest]
    /// Tokens of prompts that are read between two steps of the texts that are being generated.
    private static var readAtOnce: Int { 2048 }

    // What is being worked on; a cache each, apart, so that each keeps one owner.
    private var streams: [TextStream] = []
    private var caches: [Model.Cache] = []
    private var pending: [[Int]] = []
    /// Samples of a prompt that is read, waiting for a place.
    private var waiting: [(stream: TextStream, cache: Model.Cache, token: Int)] = []
    private var unfinished: [Int: (outcome: Outcome, texts: [String], left: Int)] = [:]

    package init(_ model: Model, _ tokenizer: Tokenizer, _ settings: RunnerSettings, _ requests: [TokenRequest]) {
        (self.model, self.tokenizer, self.settings, self.requests) = (model, tokenizer, settings, requests)
    }

    /// Answers all requests.
    ///
    /// - Parameter done: is told each answer when it is complete; to throw ends the run.
    package mutating func run(_ done: (Int, Outcome) throws -> Void) throws {
        var walk = PrefixWalk<Model>(requests.map(\.prompt), reuses: settings.reuses)
        var isWalked = false
        while true {
            // A few prompts at a time, so that answers are written before all of a batch are read.
            var reading = 0
            while streams.count < settings.batch, reading < Self.readAtOnce {
                if let next = waiting.popLast() {
                    start(next.stream, next.cache, [next.token])
                } else if !isWalked, let leaf = try walk.next(model) {
                    reading += leaf.rest.count
                    try begin(leaf, done)
                } else {
                    isWalked = true
                    break
                }
            }
            if streams.isEmpty {
                if isWalked, waiting.isEmpty { return }
                continue
            }
            try step(done)
        }
    }

    private mutating func start(_ stream: TextStream, _ cache: Model.Cache, _ tokens: [Int]) {
        streams.append(stream)
        caches.append(cache)
        pending.append(tokens)
    }

    /// Begins a prompt: likelihoods at once, texts as streams.
    private mutating func begin(_ leaf: PrefixWalk<Model>.Leaf, _ done: (Int, Outcome) throws -> Void) throws {
        let request = requests[leaf.request]
        var outcome = Outcome(response: .outputs([]))
        outcome.promptTokens = request.prompt.count
        outcome.reusedTokens = leaf.reused
        switch request.kind {
        case .generate(let generation):
            let repeats = generation.repeats ?? 1
            unfinished[leaf.request] = (outcome, Array(repeating: "", count: repeats), repeats)
            unfinished[leaf.request]?.outcome.finish = Array(repeating: "", count: repeats)
            start(try stream(leaf.request, sample: 0), leaf.cache, leaf.rest)
        case .choose(let choices):
            outcome.response = .logLikelihoods(try likelihoods(of: choices, leaf))
            try done(leaf.request, outcome)
        case .rolling(let tokens):
            outcome.response = .logLikelihoods([try rolling(tokens, first: request.prompt)])
            outcome.promptTokens += tokens.count
            try done(leaf.request, outcome)
        }
    }

    private func stream(_ request: Int, sample: Int) throws -> TextStream {
        guard case .generate(let generation) = requests[request].kind else {
            preconditionFailure("only texts are streams")
        }
        var random = RandomSource(seed: settings.seed).stream("\(requests[request].name) \(sample)")
        return try TextStream(
            request: request, sample: sample, prompt: requests[request].prompt, generation,
            ends: requests[request].isChat ? settings.turnEnds : settings.ends, seed: random.next(), tokenizer,
            contextLimit: model.contextLimit)
    }

    /// One pass: every stream reads what it has to, and draws.
    private mutating func step(_ done: (Int, Outcome) throws -> Void) throws {
        let scores = try model.nextScores(&caches, after: pending)
        for i in streams.indices.reversed() {
            let (request, isFirst) = (streams[i].request, streams[i].count == 0 && streams[i].sample == 0)
            if isFirst, case .generate(let generation) = requests[request].kind {
                // The other samples go on from the same scores.
                for sample in 1..<max(generation.repeats ?? 1, 1) {
                    var other = try stream(request, sample: sample)
                    if let token = try other.take(scores[i]) {
                        waiting.append((other, caches[i], token))
                    } else {
                        try finish(other, done)
                    }
                }
            }
            if let token = try streams[i].take(scores[i]) {
                pending[i] = [token]
            } else {
                let stream = streams[i]
                streams.remove(at: i)
                caches.remove(at: i)
                pending.remove(at: i)
                try finish(stream, done)
            }
        }
    }

    private mutating func finish(_ stream: TextStream, _ done: (Int, Outcome) throws -> Void) throws {
        guard var entry = unfinished[stream.request] else { return }
        entry.texts[stream.sample] = stream.text
        entry.outcome.finish[stream.sample] = stream.finish
        entry.outcome.generatedTokens += stream.count
        entry.left -= 1
        unfinished[stream.request] = entry
        if entry.left == 0 {
            unfinished[stream.request] = nil
            entry.outcome.response = .outputs(entry.texts)
            try done(stream.request, entry.outcome)
        }
    }

    // MARK: Likelihoods

    /// Σ ln p of each choice's tokens. Choices of one token are entries of one row; longer ones
    /// branch, once for all that differ in their last token only.
    private func likelihoods(of choices: [[Int]], _ leaf: PrefixWalk<Model>.Leaf) throws -> [Double] {
        var caches = [leaf.cache]
        let first = try model.nextScores(&caches, after: [leaf.rest])[0]
        var rows: [[Int]: [Float]] = [:]
        var sums: [Double] = []
        let width = model.vocabularySize
        for choice in choices {
            guard let token = choice.first else {
                sums.append(0)
                continue
            }
            var sum = LogSoftmax.value(first[...], of: token)
            let head = Array(choice.dropLast())
            if !head.isEmpty {
                if rows[head] == nil {
                    var cache = caches[0]
                    rows[head] = try model.allScores(&cache, after: head)
                }
                let scores = rows[head] ?? []
                for (i, token) in choice.dropFirst().enumerated() {
                    sum += LogSoftmax.value(scores[i * width..<(i + 1) * width], of: token)
                }
            }
            sums.append(sum)
        }
        return sums
    }

    /// Σ ln p of a text, in windows as long as the context less one; each but the first begins with
    /// the last token of the one before.
    private func rolling(_ tokens: [Int], first: [Int]) throws -> Double {
        let window = max((model.contextLimit ?? .max) - 1, 1)
        let width = model.vocabularySize
        var (sum, start) = (0.0, 0)
        while start < tokens.count {
            let end = min(start.addingReportingOverflow(window).overflow ? tokens.count : start + window, tokens.count)
            var cache = model.makeCache()
            var place = start
            // A piece at a time: a row of scores is as wide as the vocabulary.
            while place < end {
                let stop = min(place + 128, end)
                let input = (place..<stop).map { $0 == 0 ? first[0] : tokens[$0 - 1] }
                let scores = try model.allScores(&cache, after: input)
                for i in 0..<stop - place {
                    sum += LogSoftmax.value(scores[i * width..<(i + 1) * width], of: tokens[place + i])
                }
                place = stop
            }
            start = end
        }
        return sum
    }
}
