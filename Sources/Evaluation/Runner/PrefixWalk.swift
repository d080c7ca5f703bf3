//  Prompts in an order in which what they share is read once.
//
//  Sorted by their tokens, prompts are the leaves of a tree, and one after another is reached along
//  it. Where the next ones branch off, the cache is kept: a cache is a value, and a copy shares its
//  memory until it is extended. Only the snapshots of the path to the present prompt are kept.

import DualityCore

struct PrefixWalk<Model: BatchedModel> {
    /// A prompt with what of it is read already.
    struct Leaf {
        let request: Int
        let cache: Model.Cache
        /// Still to be read, at least one token.
        let rest: [Int]
        /// Tokens that did not have to be read for this prompt.
        let reused: Int
    }

    private let prompts: [[Int]]
    private let order: [Int]
    /// Tokens that a prompt of the order shares with the next; never its last one, whose scores are
    /// wanted.
    private let shared: [Int]
    private var position = 0
    private var path: [(count: Int, cache: Model.Cache)] = []
    /// Copying a cache for fewer tokens than this is not worth it.
    private static var least: Int { 8 }

    init(_ prompts: [[Int]], reuses: Bool) {
        self.prompts = prompts
        guard reuses else {
            order = Array(prompts.indices)
            shared = prompts.map { _ in 0 }
            return
        }
        let order = prompts.indices.sorted {
            prompts[$0] == prompts[$1] ? $0 < $1 : prompts[$0].lexicographicallyPrecedes(prompts[$1])
        }
        self.order = order
        shared = order.indices.map { i in
            guard i + 1 < order.count else { return 0 }
            let (a, b) = (prompts[order[i]], prompts[order[i + 1]])
            var count = 0
            while count < min(a.count, b.count) - 1, a[count] == b[count] { count += 1 }
            return count
        }
    }

    /// The next prompt; nil after the last.
    mutating func next(_ model: Model) throws -> Leaf? {
        guard position < order.count else { return nil }
        let (place, request) = (position, order[position])
        position += 1
        let prompt = prompts[request]
        let limit = place > 0 ? shared[place - 1] : 0
        while let last = path.last, last.count > limit { path.removeLast() }
        let reused = path.last?.count ?? 0
        var cache = path.last?.cache ?? model.makeCache()
        var read = reused
        for cut in cuts(from: place, above: reused) {
            try model.read(&cache, Array(prompt[read..<cut]))
            path.append((cut, cache))
            read = cut
        }
        return Leaf(request: request, cache: cache, rest: Array(prompt[read...]), reused: reused)
    }

    /// Where later prompts leave this one, from the beginning on.
    private func cuts(from place: Int, above base: Int) -> [Int] {
        var cuts: [Int] = []
        var least = Int.max
        var i = place
        while i < shared.count, shared[i] >= base + Self.least {
            if shared[i] < least {
                least = shared[i]
                cuts.append(least)
            }
            i += 1
        }
        // Of cuts close to each other the earlier ones are enough.
        var kept: [Int] = []
        for cut in cuts.reversed() where cut >= (kept.last ?? base) + Self.least { kept.append(cut) }
        return kept
    }

    /// The most snapshots that are kept at once, found without a model.
    static func deepest(_ prompts: [[Int]], reuses: Bool) -> Int {
        let walk = PrefixWalk(prompts, reuses: reuses)
        var (path, deepest): ([Int], Int) = ([], 0)
        for place in walk.order.indices {
            let limit = place > 0 ? walk.shared[place - 1] : 0
            while let last = path.last, last > limit { path.removeLast() }
            path += walk.cuts(from: place, above: path.last ?? 0)
            deepest = max(deepest, path.count)
        }
        return deepest
    }

    /// The order in which prompts are read, and of each prompt the tokens that do not have to be.
    static func order(_ prompts: [[Int]], reuses: Bool) -> (order: [Int], reused: [Int]) {
        let order = PrefixWalk(prompts, reuses: reuses).order
        var reused = Array(repeating: 0, count: prompts.count)
        for (request, span) in zip(order, spans(prompts, reuses: reuses)) { reused[request] = span.lowerBound }
        return (order, reused)
    }

    /// What is read of each prompt, from the tokens that are there already, found without a model.
    static func spans(_ prompts: [[Int]], reuses: Bool) -> [Range<Int>] {
        let walk = PrefixWalk(prompts, reuses: reuses)
        var (path, spans): ([Int], [Range<Int>]) = ([], [])
        for (place, request) in walk.order.enumerated() {
            let limit = place > 0 ? walk.shared[place - 1] : 0
            while let last = path.last, last > limit { path.removeLast() }
            let base = path.last ?? 0
            path += walk.cuts(from: place, above: base)
            spans.append(base..<walk.prompts[request].count)
        }
        return spans
    }
}
