import DualityCore
import Testing

@testable import DualityInference

@Suite struct BytePairEncodingTests {
    /// Bytes a, b, c are tokens 0, 1, 2; the merges are drawn at random, a rank each.
    private func rules(_ random: inout RandomSource) -> (merges: MergeTable, list: [(Int, Int)]) {
        var merges = MergeTable(expectedCount: 4)
        var list: [(Int, Int)] = []
        for rank in 0..<60 {
            let limit = 3 + list.count - 1
            let pair = (random.integer(in: 0...limit), random.integer(in: 0...limit))
            if list.contains(where: { $0 == pair }) { continue }
            merges.insert(UInt32(pair.0), UInt32(pair.1), rank: rank, token: UInt32(3 + list.count))
            list.append(pair)
        }
        return (merges, list)
    }

    /// The definition, word for word: of all adjacent pairs the lowest rank, the leftmost first.
    private func slow(_ tokens: [Int], _ list: [(Int, Int)]) -> [Int] {
        var tokens = tokens
        while true {
            var best: (rank: Int, place: Int)?
            for place in tokens.indices.dropLast() {
                guard let rank = list.firstIndex(where: { $0 == (tokens[place], tokens[place + 1]) }) else { continue }
                if rank < best?.rank ?? .max { best = (rank, place) }
            }
            guard let best else { return tokens }
            tokens.replaceSubrange(best.place...best.place + 1, with: [3 + best.rank])
        }
    }

    /// 95 and 96 bytes are on the two sides of where the method changes.
    @Test(arguments: [0, 1, 2, 3, 7, 30, 95, 96, 97, 300])
    func bothMethodsFollowTheDefinition(length: Int) {
        var random = RandomSource(seed: UInt64(length))
        var byteTokens = [UInt32](repeating: Vocabulary.none, count: 256)
        for (token, byte) in "abc".utf8.enumerated() { byteTokens[Int(byte)] = UInt32(token) }
        for _ in 0..<20 {
            let (merges, list) = rules(&random)
            let tokens = (0..<length).map { _ in random.integer(in: 0...2) }
            let bytes = tokens.map { UInt8(97 + $0) }
            var found: [UInt32] = []
            var encoding = BytePairEncoding()
            bytes.withUnsafeBufferPointer {
                encoding.encode($0, byteTokens: byteTokens, merges: merges, into: &found)
            }
            #expect(found.map { Int($0) } == slow(tokens, list))
        }
    }

    @Test func aWordCacheGivesBackWhatItWasGiven() {
        var cache = WordCache()
        var random = RandomSource(seed: 5)
        // More words than the cache holds, so that it starts anew in between.
        for round in 0..<40_000 {
            let word = Array("w\(random.integer(in: 0...30_000))".utf8)
            let tokens = word.map { UInt32($0) }
            word.withUnsafeBufferPointer { word in
                let hash = hash(of: word)
                var found: [UInt32] = []
                if cache.find(word, hash: hash, into: &found) {
                    #expect(found == tokens, "round \(round)")
                } else {
                    cache.insert(word, hash: hash, tokens: tokens[...])
                }
            }
        }
    }
}
