//  How far a model's predictions are from those of another: what rounding its weights has cost.
//
//      KL_t = sum over tokens of  p_t ln(p_t / q_t)          p of the model compared against, q of the one that is compared
//      top-1                                                  how often both find the same token most likely
//      ΔPPL = PPL_q / PPL_p - 1                               on the text itself
//
//  Both read the same windows of a text in step, each with its own memory, so that no logits need
//  be kept. Softmax, logarithms and sums are float64. The error of ΔPPL is that of the paired
//  difference of log-likelihoods over windows, which is far below that of either perplexity.

import DualityCore
import DualityQuant
import Foundation

/// The distance of one model's predictions from another's.
public struct Comparison: Sendable, Equatable {
    /// Positions compared.
    public let tokens: Int
    /// The mean of KL_t over positions, in nats.
    public let meanKL: Double
    /// The standard error of `meanKL` over positions.
    public let meanKLError: Double
    /// KL at the quantiles `quantileLevels`, then the largest.
    public let klQuantiles: [Double]
    /// The fraction of positions where both have the same most likely token.
    public let topAgreement: Double
    /// Of the model compared against, and of the one that is compared; over the positions that have
    /// a next token.
    public let referencePerplexity: Double
    /// e to the mean negative log-likelihood under the model that is compared.
    public let perplexity: Double
    /// Standard error of the mean difference of log-likelihoods, which is that of `deltaPPL` while
    /// both are small; nil for one window.
    public let deltaError: Double?

    /// The fractions of positions that `klQuantiles` is for, ascending.
    public static let quantileLevels = [0.5, 0.9, 0.99, 0.999]

    /// PPL_q / PPL_p - 1.
    public var deltaPPL: Double { perplexity / referencePerplexity - 1 }

    /// Compares several models against one, on the same pass over the text.
    ///
    /// - Parameters:
    ///   - models: those compared; one result each, in order.
    ///   - tokens: the text, at least two tokens.
    ///   - window: tokens that a memory is kept for.
    ///   - pool: shares the work on probabilities.
    ///   - progress: is told the tokens done and their number.
    /// - Throws: `InputError` for a text or window that is too short, or models of different
    ///   vocabularies.
    public static func measure(
        _ models: [any LanguageModel], against reference: any LanguageModel, tokens: [Int], window: Int,
        pool: ThreadPool = .common, progress: ((Int, Int) -> Void)? = nil
    ) throws -> [Comparison] {
        guard tokens.count >= 2, window >= 2 else {
            throw InputError(
                .value, in: "text and window", expected: "at least two tokens each",
                found: "\(tokens.count) tokens, window \(window)")
        }
        if let other = models.first(where: { $0.vocabularySize != reference.vocabularySize }) {
            throw InputError(
                .shape, in: "vocabulary",
                expected: "\(reference.vocabularySize) tokens, as in the model compared against",
                found: "\(other.vocabularySize)")
        }
        var sums = models.map { _ in Accumulator() }
        for start in stride(from: 0, to: tokens.count, by: window) {
            let end = min(start + window, tokens.count)
            var readers = models.map { Reader($0) }
            var referenceReader = Reader(reference)
            var position = start
            while position < end {
                let piece = position..<min(position + pieceLength, end)
                let ids = Array(tokens[piece])
                let exact = try referenceReader.logits(ids)
                // The token after each position, where the window has one.
                let next = piece.map { $0 + 1 < end ? tokens[$0 + 1] : nil }
                for i in models.indices {
                    sums[i].add(try readers[i].logits(ids), exact, next: next, pool: pool)
                }
                position = piece.upperBound
                progress?(position, tokens.count)
            }
            for i in sums.indices { sums[i].finishWindow() }
        }
        return sums.map { $0.result() }
    }

    /// Tokens that go through the models at once: bounds the memory of logits.
    private static let pieceLength = 128
}

/// A model and its memory of the current window.
private struct Reader {
    private let read: ([Int]) throws -> Tensor<Float>

    init(_ model: any LanguageModel) {
        func opened<Model: LanguageModel>(_ model: Model) -> ([Int]) throws -> Tensor<Float> {
            var cache = model.makeCache()
            return { try model.score(&cache, by: $0).converted(to: Float.self) }
        }
        read = opened(model)
    }

    mutating func logits(_ ids: [Int]) throws -> Tensor<Float> { try read(ids) }
}

/// Sums over positions and windows.
private struct Accumulator {
    private var divergences: [Double] = []
    private var agreements = 0
    private var referenceNLL = 0.0
    private var nll = 0.0
    private var scored = 0
    /// Of the current window: difference of log-likelihoods, and positions.
    private var window = (difference: 0.0, scored: 0)
    private var windows: [(difference: Double, scored: Int)] = []

    /// Adds positions: logits `[k, V]` of the model, of the reference, and the tokens that came
    /// next.
    mutating func add(_ logits: Tensor<Float>, _ exact: Tensor<Float>, next: [Int?], pool: ThreadPool) {
        let width = logits.shape[1]
        var rows = [Position](repeating: Position(), count: next.count)
        logits.elements.withUnsafeBufferPointer { logits in
            exact.elements.withUnsafeBufferPointer { exact in
                rows.withUnsafeMutableBufferPointer { rows in
                    nonisolated(unsafe) let rows = rows
                    pool.run(next.count) { t, _ in
                        rows[t] = Position(
                            UnsafeBufferPointer(rebasing: logits[t * width..<(t + 1) * width]),
                            UnsafeBufferPointer(rebasing: exact[t * width..<(t + 1) * width]), next: next[t])
                    }
                }
            }
        }
        for row in rows {
            divergences.append(row.divergence)
            if row.agrees { agreements += 1 }
            guard let q = row.nll, let p = row.referenceNLL else { continue }
            nll += q
            referenceNLL += p
            scored += 1
            window.difference += q - p
            window.scored += 1
        }
    }

    mutating func finishWindow() {
        if window.scored > 0 { windows.append(window) }
        window = (0, 0)
    }

    func result() -> Comparison {
        let count = Double(divergences.count)
        let mean = divergences.reduce(0, +) / count
        let variance = divergences.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / max(count - 1, 1)
        let sorted = divergences.sorted()
        let quantiles = Comparison.quantileLevels.map { sorted[min(Int($0 * count), sorted.count - 1)] }
        let total = Double(max(scored, 1))
        let meanDifference = (nll - referenceNLL) / total
        var error: Double?
        if windows.count >= 2 {
            let squares = windows.reduce(0.0) {
                let residual = $1.difference - meanDifference * Double($1.scored)
                return $0 + residual * residual
            }
            let n = Double(windows.count)
            error = (squares * n / (n - 1)).squareRoot() / total
        }
        return Comparison(
            tokens: divergences.count, meanKL: mean, meanKLError: (variance / count).squareRoot(),
            klQuantiles: quantiles + [sorted.last ?? 0], topAgreement: Double(agreements) / count,
            referencePerplexity: exp(referenceNLL / total), perplexity: exp(nll / total), deltaError: error)
    }
}

/// What one position says.
private struct Position {
    var divergence = 0.0
    var agrees = false
    var nll: Double?
    var referenceNLL: Double?

    init() {}

    /// Row of logits of the model, of the reference, and the token that came next.
    init(_ q: UnsafeBufferPointer<Float>, _ p: UnsafeBufferPointer<Float>, next: Int?) {
        let (qTop, qLargest, qLogSum) = Self.normalizer(q)
        let (pTop, pLargest, pLogSum) = Self.normalizer(p)
        agrees = qTop == pTop
        var sum = 0.0
        for i in p.indices {
            let logP = Double(p[i]) - pLargest - pLogSum
            sum += exp(logP) * (logP - (Double(q[i]) - qLargest - qLogSum))
        }
        divergence = max(sum, 0)
        guard let next else { return }
        nll = -(Double(q[next]) - qLargest - qLogSum)
        referenceNLL = -(Double(p[next]) - pLargest - pLogSum)
    }

    /// The first largest entry, its value, and ln of the sum of e^(x - largest).
    private static func normalizer(_ row: UnsafeBufferPointer<Float>) -> (Int, Double, Double) {
        var top = 0
        for i in row.indices where row[i] > row[top] { top = i }
        let largest = Double(row[top])
        var sum = 0.0
        for value in row { sum += exp(Double(value) - largest) }
        return (top, largest, log(sum))
    }
}
