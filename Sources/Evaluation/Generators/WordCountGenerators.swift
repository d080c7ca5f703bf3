//  Words to be counted: the ten common ones of a list, and the three most frequent of a code.

import DualityCore
import Foundation

/// `1. word 2. word …`: ten words 30 times, the others 3 times; 6 and 1 below 4K tokens.
package struct CommonWordsGenerator: TaskGenerator {
    private static let answerTokens = 120
    private static let question = "What are the 10 most common words in the list above?"
    private static let prefix = " The 10 most common words in the list are:"

    package func rows(_ settings: GeneratorSettings, index: Int) throws(InputError) -> [JSON.Object] {
        guard settings.questionsPerContext == 1 else { throw VariableGenerator.oneQuestion("cwe") }
        var random = settings.random("cwe", index)
        let (many, few) = settings.length < 4096 ? (6, 1) : (30, 3)
        let limit = settings.length - Self.answerTokens
        // A numbered word has three tokens or more.
        let words = Self.words(10 + limit / (3 * few) + 1, &random)
        let common = Array(words.prefix(10))
        let order = random
        func text(_ others: Int) -> String {
            var list = common.flatMap { Array(repeating: $0, count: many) }
            for word in words[10..<10 + others] { list += Array(repeating: word, count: few) }
            var shuffle = order
            return list.shuffled(&shuffle).enumerated().map { "\($0 + 1). \($1)" }.joined(separator: " ")
        }
        func fits(_ others: Int) -> Bool {
            settings.tokenizer.encode("\(text(others))\n\(Self.question)\(Self.prefix)").count <= limit
        }
        guard fits(0) else {
            throw InputError(
                .value, in: "--length of cwe", expected: "room for \(10 * many) words",
                found: "\(settings.length) tokens",
                remedy: "Ask for a longer context.")
        }
        var (low, high) = (0, words.count - 10)
        while low < high {
            let middle = (low + high + 1) / 2
            if fits(middle) { low = middle } else { high = middle - 1 }
        }
        return [
            [
                "index": 0, "input": .string("\(text(low))\n\(Self.question)"),
                "outputs": .array(common.map { .string($0) }), "length": JSON(settings.length),
                "answer_prefix": .string(Self.prefix),
            ]
        ]
    }

    /// Distinct words, none of them part of another common one: nouns, then made of syllables.
    private static func words(_ count: Int, _ random: inout RandomSource) -> [String] {
        let nouns = WordLists.nouns.filter { $0.count >= 4 }
        var words = Array(Set(nouns)).sorted().shuffled(&random)
        var seen = Set(words)
        while words.count < count {
            let word = (0..<3).map { _ in random.letters(1, from: "bdfgklmnprstvz") + random.letters(1, from: "aeiou") }
                .joined()
            if seen.insert(word).inserted { words.append(word) }
        }
        return Array(words.prefix(count))
    }

    package func solve(_ row: JSON.Object) -> [String] {
        let list = (row["input"]?.string ?? "").split(separator: "\n").first ?? ""
        var counts: [Substring: Int] = [:]
        for word in list.split(separator: " ") where !word.hasSuffix(".") { counts[word, default: 0] += 1 }
        return counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(10).map { String($0.key) }
    }
}

/// Words of six random letters, the k-th N / (ζ(2) k²) times; the first is written as dots.
package struct CodedWordsGenerator: TaskGenerator {
    private static let answerTokens = 50
    private static let question =
        "Leave the dots '....' out. What are the three most frequent coded words in the text above?"
    private static let prefix = " The three most frequent coded words are:"

    package func rows(_ settings: GeneratorSettings, index: Int) throws(InputError) -> [JSON.Object] {
        guard settings.questionsPerContext == 1 else { throw VariableGenerator.oneQuestion("fwe") }
        var random = settings.random("fwe", index)
        let limit = settings.length - Self.answerTokens
        var (words, seen): ([String], Set<String>) = ([], [])
        while words.count < 2000 {
            let word = random.letters(6, from: "abcdefghijklmnopqrstuvwxyz")
            if seen.insert(word).inserted { words.append(word) }
        }
        let order = random
        let zeta = Double.pi * Double.pi / 6
        func counts(_ n: Int) -> [Int] {
            (1...words.count).map { Int((Double(n) / (zeta * Double($0 * $0))).rounded()) }
        }
        func text(_ n: Int) -> String {
            var list: [String] = []
            for (i, count) in counts(n).enumerated() {
                list += Array(repeating: i == 0 ? "...." : words[i], count: count)
            }
            var shuffle = order
            return list.shuffled(&shuffle).joined(separator: " ")
        }
        func fits(_ n: Int) -> Bool {
            settings.tokenizer.encode("\(text(n))\n\(Self.question)\(Self.prefix)").count <= limit
        }
        // Below 60 words the ranks 4 and 5 are as frequent as each other.
        guard fits(60) else {
            throw InputError(
                .value, in: "--length of fwe", expected: "room for 60 words", found: "\(settings.length) tokens",
                remedy: "Ask for a longer context.")
        }
        var (low, high) = (60, limit)
        while low < high {
            let middle = (low + high + 1) / 2
            if fits(middle) { low = middle } else { high = middle - 1 }
        }
        while low > 60, Set(counts(low)[1...4]).count < 4 { low -= 1 }
        return [
            [
                "index": 0, "input": .string("\(text(low))\n\(Self.question)"),
                "outputs": .array(words[1...3].map { .string($0) }), "length": JSON(settings.length),
                "answer_prefix": .string(Self.prefix),
            ]
        ]
    }

    package func solve(_ row: JSON.Object) -> [String] {
        let list = (row["input"]?.string ?? "").split(separator: "\n").first ?? ""
        var counts: [Substring: Int] = [:]
        for word in list.split(separator: " ") where word != "...." { counts[word, default: 0] += 1 }
        return counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(3).map { String($0.key) }
    }
}
