//  Draws the next token from the logits of a model.
//
//  In this order, where every step sees what the one before it left:
//
//      1. bias         l[t] += bias[t]
//      2. repetition   l[t] = l[t] > 0 ? l[t] / r : l[t] * r      for t in prompt and answer
//      3. frequency,   l[t] -= f count(t) + p [count(t) > 0]      for t in the answer
//         presence
//      4. greedy, or   l[t] /= T
//      5. top-k        the k largest; of equal logits the token of lower number comes first
//      6. top-p        of p(t) = softmax(l), the fewest of the largest that reach top_p, at least one
//      7. min-p        p(t) >= min_p max p
//      8. draw         from softmax of what is left, by inversion of the cumulative distribution
//
//  Steps 2, 4 to 8 are those of Hugging Face (generation/logits_process.py; penalties act before
//  temperature, and top-p on what top-k has left and renormalised), step 3 and its place after 2
//  are vLLM's (v1/sample/ops/penalties.py) and OpenAI's. llama.cpp agrees but for the temperature,
//  which it applies last. Where these keep all tokens as likely as the k-th, exactly k are kept
//  here, as llama.cpp does, so that top-k 1 is greedy.

import DualityCore
import Foundation

/// A sampler with its random numbers and its memory of what it has drawn.
public struct Sampler: Sendable {
    /// What it was made with; the seed is that of the first draw.
    public let parameters: SamplingParameters
    private var random: RandomSource
    /// How often this sampler has drawn each token: the answer.
    private var drawn: [Int: Int] = [:]
    /// The tokens of `history` seen so far, and how many of its entries that were.
    private var seen: Set<Int> = []
    private var seenCount = 0

    /// - Parameter parameters: valid ones, see `SamplingParameters.validate`.
    public init(_ parameters: SamplingParameters) {
        self.parameters = parameters
        random = RandomSource(seed: parameters.seed)
    }

    /// Draws the next token.
    ///
    /// - Parameters:
    ///   - logits: one for each token, `[V]`. Minus infinity stands for a token that cannot come.
    ///   - history: prompt and answer so far. From call to call it only grows.
    /// - Throws: `InputError`: `.notFinite` when a logit is NaN or infinite, `.value` when no token
    ///   is possible.
    /// - Complexity: O(V + c log V) where c tokens are candidates after top-k, top-p or min-p.
    public mutating func next(logits: [Float], history: [Int]) throws(InputError) -> Int {
        let result = logits.withUnsafeBufferPointer { buffer in
            Result { () throws(InputError) in try next(logits: buffer, history: history) }
        }
        return try result.get()
    }

    /// Draws the next token.
    public mutating func next(logits: UnsafeBufferPointer<Float>, history: [Int]) throws(InputError) -> Int {
        let scores = UnsafeMutableBufferPointer<Float>.allocate(capacity: logits.count)
        defer { scores.deallocate() }
        _ = scores.initialize(from: logits)
        return try next(overwriting: scores, history: history)
    }

    /// Draws the next token in the memory of the logits, which then hold what steps 1 to 3 made of
    /// them.
    package mutating func next(
        overwriting logits: UnsafeMutableBufferPointer<Float>, history: [Int]
    ) throws(InputError) -> Int {
        adjust(logits, history)
        let scores = UnsafeBufferPointer(logits)
        let best = try Self.best(scores)
        let token = parameters.temperature == 0 ? best : draw(scores, best: scores[best])
        drawn[token, default: 0] += 1
        return token
    }

    // MARK: Steps 1 to 3

    private mutating func adjust(_ scores: UnsafeMutableBufferPointer<Float>, _ history: [Int]) {
        for (token, bias) in parameters.logitBias where scores.indices.contains(token) { scores[token] += bias }
        if parameters.repetitionPenalty != 1 {
            if history.count < seenCount { (seen, seenCount) = ([], 0) }
            seen.formUnion(history[seenCount...])
            seenCount = history.count
            // Penalties beyond float32, and scores that they would push beyond, stop at its ends.
            let (least, most) = (Float.leastNormalMagnitude, Float.greatestFiniteMagnitude)
            let penalty = min(max(Float(parameters.repetitionPenalty), least), most)
            for token in seen where scores.indices.contains(token) && scores[token].isFinite {
                let score = scores[token] > 0 ? scores[token] / penalty : scores[token] * penalty
                scores[token] = min(max(score, -most), most)
            }
        }
        if parameters.frequencyPenalty != 0 || parameters.presencePenalty != 0 {
            for (token, count) in drawn where scores.indices.contains(token) {
                scores[token] -= Float(parameters.frequencyPenalty * Double(count) + parameters.presencePenalty)
            }
        }
    }

    /// The token with the largest score, the lowest number among equals.
    private static func best(_ scores: UnsafeBufferPointer<Float>) throws(InputError) -> Int {
        var best = -1
        var largest = -Float.infinity
        for (token, score) in scores.enumerated() {
            if score > largest {
                largest = score
                best = token
            } else if score.isNaN {
                best = token
                break
            }
        }
        guard best >= 0 else {
            throw InputError(
                .value, in: "logits", expected: "a token that is possible", found: "minus infinity for all of them",
                remedy: "Forbid fewer tokens.")
        }
        guard scores[best].isFinite else {
            throw InputError(
                .notFinite, in: "logits: token \(best)", expected: "a finite number", found: "\(scores[best])",
                remedy: "The model's weights or its state are broken.")
        }
        return best
    }

    // MARK: Steps 4 to 8

    /// `e^((l - max) / T)`, in 0...1: cannot overflow.
    private func weight(_ score: Float, _ best: Float) -> Double {
        exp(Double(score - best) / parameters.temperature)
    }

    private mutating func draw(_ scores: UnsafeBufferPointer<Float>, best: Float) -> Int {
        // Each filter keeps the beginning of the tokens in falling order.
        var candidates: [Int]
        if parameters.topK > 0 && parameters.topK < scores.count {
            candidates = largest(parameters.topK, of: scores)
            if parameters.topP < 1 {
                keepNucleus(&candidates, scores, best, total: candidates.reduce(0) { $0 + weight(scores[$1], best) })
            }
        } else if parameters.topP < 1 {
            let total = scores.reduce(0) { $0 + weight($1, best) }
            candidates = plausible(scores, best, total: total)
            keepNucleus(&candidates, scores, best, total: total)
        } else {
            candidates = Array(scores.indices)
        }
        if parameters.minP > 0 { candidates.removeAll { weight(scores[$0], best) < parameters.minP } }

        let weights = candidates.map { weight(scores[$0], best) }
        var rest = random.uniform() * weights.reduce(0, +)
        for (token, weight) in zip(candidates, weights) {
            rest -= weight
            if rest < 0 { return token }
        }
        // Rounding alone leaves a rest: the last token that can come.
        let last = weights.lastIndex { $0 > 0 } ?? 0
        return candidates[last]
    }

    /// A key that sorts tokens by falling score, then by number.
    private static func key(_ score: Float, _ token: Int) -> UInt64 {
        let bits = (score + 0).bitPattern  // one zero, not two
        let rising = bits >> 31 == 0 ? bits | 0x8000_0000 : ~bits
        return UInt64(~rising) << 32 | UInt64(UInt32(truncatingIfNeeded: token))
    }

    private static func token(_ key: UInt64) -> Int { Int(key & 0xffff_ffff) }

    /// The `count` tokens of the largest scores, in falling order. O(V + h log count), h being how
    /// often a token enters.
    private func largest(_ count: Int, of scores: UnsafeBufferPointer<Float>) -> [Int] {
        // The complement of a key, so that the first of the heap is the worst of the best so far.
        var heap = MinimumHeap()
        var worst = -Float.infinity
        for (token, score) in scores.enumerated() {
            if heap.count < count {
                heap.insert(~Self.key(score, token))
            } else if score > worst {
                heap.replaceFirst(with: ~Self.key(score, token))
            } else {
                continue
            }
            if heap.count == count, let first = heap.first { worst = scores[Self.token(~first)] }
        }
        return heap.keys.map { ~$0 }.sorted().map { Self.token($0) }
    }

    /// The tokens that can be among those that reach top-p, in falling order: all those less likely
    /// than (1 - p) / V together do not make up the 1 - p that may be left out.
    private func plausible(_ scores: UnsafeBufferPointer<Float>, _ best: Float, total: Double) -> [Int] {
        let smallest = (1 - parameters.topP) * total / Double(scores.count)
        // weight(score) >= smallest, without an exponential; a hair below lets a few more in.
        let lowest = Double(best) + parameters.temperature * (log(smallest) - 1e-9)
        var keys: [UInt64] = []
        for (token, score) in scores.enumerated() where Double(score) >= lowest { keys.append(Self.key(score, token)) }
        return keys.sorted().map { Self.token($0) }
    }

    /// Leaves the fewest of the candidates, which are in falling order, that make up top-p of
    /// `total`; at least one.
    private func keepNucleus(
        _ candidates: inout [Int], _ scores: UnsafeBufferPointer<Float>, _ best: Float, total: Double
    ) {
        var reached = 0.0
        var count = 0
        while count < candidates.count, count == 0 || reached < parameters.topP * total {
            reached += weight(scores[candidates[count]], best)
            count += 1
        }
        candidates.removeLast(candidates.count - count)
    }
}
