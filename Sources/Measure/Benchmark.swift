//  How fast a model reads and writes on this machine.
//
//      prompt P at depth D        reads P tokens behind D others, logits of the last           bounded by the multipliers
//      generate N at depth D      reads N tokens one by one behind D others                     bounded by the memory
//
//  Tokens are random: speed does not depend on them. Operations are counted as two for each weight
//  of a matrix and token, without the embedding and the head (a prompt computes one row of the
//  head) and without attention and scan; bytes are those of the weights that a token reads, without
//  the cache.

import DualityCore
import DualityQuant

/// One measurement and its repeats.
public struct BenchmarkResult: Sendable {
    public enum Kind: Sendable, Equatable {
        case prompt(tokens: Int)
        case generate(tokens: Int)
    }

    public let kind: Kind
    /// Tokens in the cache before.
    public let depth: Int
    public let threads: Int
    /// Tokens a second, one a repeat.
    public let rates: [Double]

    public var tokensPerSecond: Double { median(rates) }

    /// The name that llama-bench would give it: `pp512`, `tg64 @ d4096`.
    public var name: String {
        let test: String =
            switch kind {
            case .prompt(let tokens): "pp\(tokens)"
            case .generate(let tokens): "tg\(tokens)"
            }
        return depth == 0 ? test : "\(test) @ d\(depth)"
    }
}

/// Measures a model.
public struct Benchmark {
    private let model: QuantModel
    private let tokens: [Int]
    /// Is told what is measured.
    private let progress: (String) -> Void
    private var depths: [Int: QuantCache] = [:]
    /// Seconds in which the tokens before a depth were read, by depth: the time to the first token.
    public private(set) var readSeconds: [Int: Double] = [:]

    public init(_ model: QuantModel, progress: @escaping (String) -> Void) {
        var unlimited = model
        unlimited.contextLimit = nil
        self.model = unlimited
        self.progress = progress
        var random = RandomSource(seed: 11)
        tokens = (0..<4096).map { _ in random.integer(in: 0...model.configuration.vocabularySize - 1) }
    }

    /// That the model computes: finite logits, the same bits for tokens that come together and one
    /// by one. Nothing is timed before this holds.
    ///
    /// - Throws: `InputError` (`.value`, `.notFinite`) when it does not.
    public func checkBits() throws {
        progress("checking that a prompt and its tokens one by one give the same bits")
        let ids = Array(tokens.prefix(3))
        var (together, oneByOne) = (model.makeCache(), model.makeCache())
        let logits = try model.extend(&together, by: ids)
        try logits.requireFinite("logits")
        var rows: [Float] = []
        for id in ids { rows += try model.extend(&oneByOne, by: [id]).elements }
        guard zip(rows, logits.elements).allSatisfy({ $0.bitPattern == $1.bitPattern }) else {
            throw InputError(
                .value, in: "logits", expected: "the same bits for a prompt and for its tokens one by one",
                found: "others", remedy: "This is a defect of the kernels; DUALITY_ISA=scalar avoids it.")
        }
    }

    /// Measures one kind at one depth.
    public mutating func measure(_ kind: BenchmarkResult.Kind, depth: Int, repeats: Int) throws -> BenchmarkResult {
        let start = try cache(depth: depth)
        let count: Int
        switch kind {
        case .prompt(let tokens): count = tokens
        case .generate(let tokens): count = tokens
        }
        var result = BenchmarkResult(kind: kind, depth: depth, threads: model.threadCount, rates: [])
        var rates: [Double] = []
        // One shorter run to warm up: pages of weights that no one has touched, buffers, the clock.
        _ = try time(kind, min(count, 64), start)
        for index in 0..<repeats {
            progress("\(result.name), \(index + 1) of \(repeats)")
            rates.append(Double(count) / (try time(kind, count, start)))
        }
        result = BenchmarkResult(kind: kind, depth: depth, threads: model.threadCount, rates: rates)
        return result
    }

    /// Seconds of one run behind `start`.
    private func time(_ kind: BenchmarkResult.Kind, _ count: Int, _ start: QuantCache) throws -> Double {
        var cache = start
        switch kind {
        case .prompt:
            let ids = ids(count)
            let begin = ContinuousClock.now
            _ = try model.extend(&cache, by: ids, logits: .last)
            return (ContinuousClock.now - begin).seconds
        case .generate:
            // The cache's own copy of shared memory is made here, not in the first token.
            _ = try model.extend(&cache, by: [tokens[0]], logits: .none)
            let begin = ContinuousClock.now
            for i in 0..<count { _ = try model.extend(&cache, by: [tokens[i % tokens.count]], logits: .last) }
            return (ContinuousClock.now - begin).seconds
        }
    }

    private func ids(_ count: Int) -> [Int] { (0..<count).map { tokens[$0 % tokens.count] } }

    /// The memory of so many tokens; read on from a shorter one, and timed.
    private mutating func cache(depth: Int) throws -> QuantCache {
        if let cache = depths[depth] { return cache }
        let start = depths.keys.filter { $0 < depth }.max() ?? 0
        var (cache, seconds) = (depths[start] ?? model.makeCache(), readSeconds[start] ?? 0)
        var read = start
        while read < depth {
            progress("read \(read) of \(depth) tokens")
            let end = min(read + 4096, depth)
            let ids = (read..<end).map { tokens[$0 % tokens.count] }
            let begin = ContinuousClock.now
            _ = try model.extend(&cache, by: ids, logits: end == depth ? .last : .none)
            seconds += (ContinuousClock.now - begin).seconds
            read = end
        }
        readSeconds[depth] = seconds
        depths = [depth: cache]
        return cache
    }
}
