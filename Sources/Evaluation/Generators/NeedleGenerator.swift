//  Needles: sentences with a number that is asked for at the end, in the wording that the embedded
//  model learnt.
//
//      One of the special magic numbers for silent-harbor is: 8214077.
//      What is the special magic number for silent-harbor? The special magic number for
//      silent-harbor is

import DualityCore
import Foundation

package struct NeedleGenerator: TaskGenerator {
    package enum Kind: String, CaseIterable, Sendable {
        case single1 = "niah_single_1"
        case single2 = "niah_single_2"
        case single3 = "niah_single_3"
        case multikey1 = "niah_multikey_1"
        case multikey2 = "niah_multikey_2"
        case multikey3 = "niah_multikey_3"
        case multivalue = "niah_multivalue"
        case multiquery = "niah_multiquery"
    }

    let kind: Kind
    private static let answerTokens = 128

    private var usesIdentifiers: Bool { kind == .single3 || kind == .multikey3 }
    private var noun: String { usesIdentifiers ? "uuid" : "number" }

    private func needle(_ key: String, _ value: String) -> String {
        "One of the special magic \(noun)s for \(key) is: \(value)."
    }

    private func value(_ random: inout RandomSource) -> String {
        usesIdentifiers ? random.identifier() : random.digits(7)
    }

    private func keys(_ count: Int, _ random: inout RandomSource) -> [String] {
        kind == .multikey3 ? (0..<count).map { _ in random.identifier() } : WordLists.keys(count, &random)
    }

    /// A question and the beginning of its answer.
    private func question(_ keys: [String]) -> (String, String) {
        let list = keys.count == 1 ? keys[0] : keys.dropLast().joined(separator: ", ") + " and " + (keys.last ?? "")
        if kind == .multivalue || keys.count > 1 {
            return (
                "What are all the special magic \(noun)s for \(list)?", " The special magic \(noun)s for \(list) are"
            )
        }
        return ("What is the special magic \(noun) for \(list)?", " The special magic \(noun) for \(list) is")
    }

    package func rows(_ settings: GeneratorSettings, index: Int) throws(InputError) -> [JSON.Object] {
        var random = settings.random(kind.rawValue, index)
        let asked = settings.questionsPerContext
        let perQuestion = kind == .multiquery ? 4 : 1
        let keyCount: Int
        switch kind {
        case .single1, .single2, .single3, .multivalue: keyCount = asked
        case .multikey1: keyCount = max(4, asked)
        case .multikey2, .multikey3: keyCount = asked
        case .multiquery: keyCount = 4 * asked
        }
        let keys = keys(keyCount, &random)
        var needles: [(key: String, value: String)] = []
        for key in keys {
            for _ in 0..<(kind == .multivalue ? 4 : 1) { needles.append((key, value(&random))) }
        }
        let questions = (0..<asked).map { question(Array(keys[$0 * perQuestion..<($0 + 1) * perQuestion])) }
        let longest = questions.max { $0.0.utf8.count < $1.0.utf8.count } ?? ("", "")

        var fitter = ContextFitter(tokenizer: settings.tokenizer)
        fitter.after = "\n\(longest.0)\(longest.1)"
        // The asked needle of every row has its own part of the depths, so that a file covers all.
        var strata = RandomSource(seed: settings.seed).stream("depths \(kind.rawValue) \(settings.length)")
        let order = Array(0..<settings.count).shuffled(&strata)
        let stratum = Double(order[index % settings.count])
        for (i, needle) in needles.enumerated() {
            let draw = random.uniform()
            let depth = i == 0 ? (stratum + draw) / Double(settings.count) : draw
            fitter.insertions.append((depth, self.needle(needle.key, needle.value)))
        }
        let limit = settings.length - Self.answerTokens
        let text = try context(&fitter, limit: limit, settings: settings, taken: needles.map(\.key), random: &random)
        return questions.enumerated().map { i, question in
            let wanted = Set(keys[i * perQuestion..<(i + 1) * perQuestion])
            let answers = needles.filter { wanted.contains($0.key) }.map { JSON.string($0.value) }
            return [
                "index": 0, "input": .string("\(text)\n\(question.0)"), "outputs": .array(answers),
                "length": JSON(settings.length), "answer_prefix": .string(question.1),
            ]
        }
    }

    private func context(
        _ fitter: inout ContextFitter, limit: Int, settings: GeneratorSettings, taken: [String],
        random: inout RandomSource
    ) throws(InputError) -> String {
        switch kind {
        case .single1:
            return try fitter.fitted(limit, name: kind.rawValue) { Filler.noise.sentence($0) }
        case .multikey2, .multikey3:
            fitter.separator = "\n"
            // A needle has ten tokens or more: so many lines are enough.
            let most = limit / 10 + 1
            let others = keys(most + taken.count, &random).filter { !taken.contains($0) }
            var lines: [String] = []
            for key in others { lines.append(needle(key, value(&random))) }
            return try fitter.fitted(limit, name: kind.rawValue, most: lines.count) { lines[$0] }
        default:
            let prose = settings.prose.rotated(by: random.integer(in: 0...settings.prose.sentences.count - 1))
            return try fitter.fitted(limit, name: kind.rawValue) { prose.sentence($0) }
        }
    }

    package func solve(_ row: JSON.Object) -> [String] {
        let input = Scalars(row["input"]?.string ?? "")
        guard let last = input.lastIndex(of: "\n"), let place = input.firstIndex(of: Scalars(" for "), from: last)
        else {
            return []
        }
        let list = Scalars(input[(place + 5)...].dropLast()).text
        let keys = list.replacingOccurrences(of: " and ", with: ", ").components(separatedBy: ", ")
        var values: [String] = []
        for key in keys {
            let lead = Scalars("One of the special magic \(noun)s for \(key) is: ")
            var start = 0
            while let found = input.firstIndex(of: lead, from: start) {
                start = found + lead.count
                values.append(Scalars(input[start...].prefix { $0 != "." }).text)
            }
        }
        return values
    }
}
