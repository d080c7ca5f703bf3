//  How well a model predicts a text.
//
//      NLL = -(1/n) sum over scored tokens of  ln p(token | the tokens before it in its window)         PPL = e^NLL
//
//  The text is cut into windows of W tokens that start every `stride` tokens (stride = W: disjoint
//  windows; the last may be shorter). Every window starts from an empty memory. A window scores the
//  tokens that no earlier window has scored, save its own first, which nothing precedes.
//  Log-softmax and sums are float64, whatever the model computes in.
//
//  llama.cpp cuts the same way, leaves a last window out that is not whole, and scores the second
//  half of each window only, from token W/2 + 1 on (`Part.secondHalf`).
//
//  The standard error is that of the mean over windows, each weighted by its tokens (neighbouring
//  tokens are not independent, windows nearly are), and through the exponential PPL * SE(NLL) for
//  the perplexity.

import DualityCore
import DualityQuant
import Foundation

/// The negative log-likelihood of a text under a model.
public struct Perplexity: Sendable, Codable, Equatable {
    /// Which tokens of a window count.
    public enum Part: String, Sendable, Codable {
        /// All that no earlier window has scored.
        case all
        /// Those behind the middle, of whole windows (llama.cpp's convention).
        case secondHalf = "second-half"
    }

    /// W, in tokens.
    public let window: Int
    /// Tokens from the start of one window to the start of the next.
    public let stride: Int
    /// Tokens of the text.
    public let tokenCount: Int
    /// Tokens that were scored.
    public let scoredTokens: Int
    /// Mean negative log-likelihood, in nats a token.
    public let meanNLL: Double
    /// Standard error of `meanNLL`; nil for fewer than two windows.
    public let standardError: Double?

    /// e^`meanNLL`.
    public var perplexity: Double { exp(meanNLL) }

    /// Scores `tokens` under `model`.
    ///
    /// - Parameters:
    ///   - tokens: the text, without special tokens.
    ///   - window: W >= 2, at most the model's context.
    ///   - stride: 1 … W; nil for W.
    ///   - part: which tokens of a window count; the second half goes with disjoint windows.
    ///   - threads: windows are independent; this many are scored at once.
    ///   - progress: is told the windows done, the windows in all, and the running mean NLL.
    /// - Throws: `InputError` for a window or stride out of range or a text of fewer than two
    ///   tokens; `CancellationError`.
    public static func measure<Model: LanguageModel>(
        _ model: Model, tokens: [Int], window: Int, stride: Int? = nil, part: Part = .all, threads: Int = 1,
        progress: (@Sendable (Int, Int, Double) -> Void)? = nil
    ) async throws -> Perplexity {
        try await measure(
            model, tokens: tokens, window: window, stride: stride, part: part, threads: threads, share: nil,
            progress: progress)
    }

    /// The same, where ranks share out the windows and all get the result.
    ///
    /// - Throws: `InputError` (`.value`) too where their texts or windows differ.
    package static func measure<Model: LanguageModel>(
        _ model: Model, tokens: [Int], window: Int, stride: Int?, part: Part, threads: Int, share: CaseShare?,
        progress: (@Sendable (Int, Int, Double) -> Void)?
    ) async throws -> Perplexity {
        let stride = stride ?? window
        let longest = min(window, tokens.count)
        if let limit = model.contextLimit, longest > limit {
            throw InputError(
                .value, in: "window", expected: "at most the model's context of \(limit) tokens", found: "\(window)")
        }
        guard window >= 2, (1...window).contains(stride) else {
            throw InputError(
                .value, in: "window and stride", expected: "window >= 2 and 1 <= stride <= window",
                found: "window \(window), stride \(stride)")
        }
        guard tokens.count >= 2 else {
            throw InputError(
                .value, in: "text", expected: "at least two tokens to score", found: "\(tokens.count)")
        }

        let windows = windows(count: tokens.count, window: window, stride: stride, part: part)
        guard !windows.isEmpty else {
            throw InputError(
                .value, in: "text", expected: "at least one whole window of \(window) tokens", found: "\(tokens.count)",
                remedy: "Give a longer text or a shorter --window.")
        }
        if let share { try requireSame(on: share, tokens, window, stride, part) }
        var sums = [Double](repeating: 0, count: windows.count)
        var done = (windows: 0, nll: 0.0, tokens: 0)
        try await withThrowingTaskGroup(of: (Int, Double).self) { group in
            var next = 0
            func start() {
                if let share { while next < windows.count, !share.isOwn(next) { next += 1 } }
                guard next < windows.count else { return }
                let (index, piece) = (next, windows[next])
                next += 1
                group.addTask {
                    try Task.checkCancellation()
                    return (index, try negativeLogLikelihood(model, tokens, piece))
                }
            }
            for _ in 0..<max(threads, 1) { start() }
            while let (index, sum) = try await group.next() {
                sums[index] = sum
                done = (done.windows + 1, done.nll + sum, done.tokens + windows[index].scored.count)
                progress?(done.windows, windows.count, done.nll / Double(max(done.tokens, 1)))
                start()
            }
        }
        if let share { sums = try share.combined(sums) }

        let scored = windows.reduce(0) { $0 + $1.scored.count }
        let mean = sums.reduce(0, +) / Double(scored)
        return Perplexity(
            window: window, stride: stride, tokenCount: tokens.count, scoredTokens: scored, meanNLL: mean,
            standardError: standardError(sums, windows.map(\.scored.count), mean: mean))
    }

    private static func requireSame(on share: CaseShare, _ tokens: [Int], _ window: Int, _ stride: Int, _ part: Part)
        throws(InputError)
    {
        var text = ContentHash()
        text.add(tokens)
        try share.requireSame([
            ("text", text.text), ("window", "\(window)"), ("stride", "\(stride)"), ("scored part", part.rawValue),
        ])
    }

    /// A window of the text: the tokens it reads and, of those, the ones it scores.
    struct Window: Equatable {
        let read: Range<Int>
        let scored: Range<Int>
    }

    static func windows(count: Int, window: Int, stride: Int, part: Part = .all) -> [Window] {
        if part == .secondHalf {
            return Swift.stride(from: 0, through: count - window, by: window).compactMap { start in
                let scored = start + window / 2 + 1..<start + window
                return scored.isEmpty ? nil : Window(read: start..<start + window, scored: scored)
            }
        }
        var windows: [Window] = []
        var (start, scoredUpTo) = (0, 0)
        while start < count {
            let end = min(start + window, count)
            let first = max(start + 1, scoredUpTo)
            if first < end { windows.append(Window(read: start..<end, scored: first..<end)) }
            scoredUpTo = end
            if end == count { break }
            start += stride
        }
        return windows
    }

    private static func negativeLogLikelihood<Model: LanguageModel>(
        _ model: Model, _ tokens: [Int], _ window: Window
    ) throws -> Double {
        var cache = model.makeCache()
        var sum = 0.0
        // Pieces bound the memory that logits take; the cache makes them one sequence.
        var position = window.read.lowerBound
        while position < window.read.upperBound - 1 {
            let piece = position..<min(position + 256, window.read.upperBound - 1)
            let logits = try model.score(&cache, by: Array(tokens[piece]))
            for t in piece where window.scored.contains(t + 1) {
                sum -= logProbability(of: tokens[t + 1], logits: logits, row: t - piece.lowerBound)
            }
            position = piece.upperBound
        }
        return sum
    }

    /// `ln softmax(logits[row])[token]` in float64; `logits` is `[k, V]`.
    @specialized(where Score == Float)
    @specialized(where Score == Double)
    static func logProbability<Score: RealNumber>(of token: Int, logits: Tensor<Score>, row: Int) -> Double {
        let width = logits.shape[1]
        return logits.elements.withUnsafeBufferPointer { all in
            let row = UnsafeBufferPointer(rebasing: all[row * width..<(row + 1) * width])
            var largest = -Double.infinity
            for value in row { largest = max(largest, value.double) }
            var sum = 0.0
            for value in row { sum += exp(value.double - largest) }
            return row[token].double - largest - log(sum)
        }
    }

    /// Of a mean of windows with unequal token counts, as a ratio estimator.
    private static func standardError(_ sums: [Double], _ counts: [Int], mean: Double) -> Double? {
        guard sums.count >= 2 else { return nil }
        let total = Double(counts.reduce(0, +))
        var squares = 0.0
        for (sum, count) in zip(sums, counts) {
            let residual = sum - mean * Double(count)
            squares += residual * residual
        }
        let windows = Double(sums.count)
        return (squares * windows / (windows - 1)).squareRoot() / total
    }
}
