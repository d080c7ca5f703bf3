//  Passages of the filler and a sentence of one of them, of which a name or a number is asked.

import DualityCore

package struct GapGenerator: TaskGenerator {
    private static let answerTokens = 32
    private static let passage = 6

    package func rows(_ settings: GeneratorSettings, index: Int) throws(InputError) -> [JSON.Object] {
        guard settings.questionsPerContext == 1 else { throw VariableGenerator.oneQuestion("qa") }
        var random = settings.random("qa", index)
        let prose = settings.prose.rotated(by: random.integer(in: 0...settings.prose.sentences.count - 1))
        let passages = max(prose.sentences.count / Self.passage, 1)
        func unit(_ i: Int) -> String {
            let start = i % passages * Self.passage
            let some = (start..<start + Self.passage).map { prose.sentence($0) }
            return "Document \(i + 1):\n" + some.joined(separator: " ")
        }
        var fitter = ContextFitter(tokenizer: settings.tokenizer, separator: "\n\n")
        // The question is at most as long as a long sentence.
        fitter.after = "\n\n" + Self.question(String(repeating: "word ", count: 40)) + Self.prefix
        let limit = settings.length - Self.answerTokens
        let text = try fitter.fitted(limit, name: "qa", unit: unit)
        let sentences = text.split(separator: "\n").filter { !$0.hasPrefix("Document ") && !$0.isEmpty }
            .flatMap { Filler.sentences(of: String($0)) }
        let occurrences = Dictionary(sentences.map { ($0, 1) }, uniquingKeysWith: +)
        for sentence in sentences.shuffled(&random) where occurrences[sentence] == 1 {
            guard let (gapped, answer) = Self.gapped(sentence), Self.matches(gapped, sentences).count == 1 else {
                continue
            }
            return [
                [
                    "index": 0, "input": .string("\(text)\n\n\(Self.question(gapped))"), "outputs": [.string(answer)],
                    "length": JSON(settings.length), "answer_prefix": .string(Self.prefix),
                ]
            ]
        }
        throw InputError(
            .value, in: "--filler", expected: "a text whose sentences hold names or numbers",
            found: "none in the context")
    }

    private static let prefix = " The missing word is"
    private static func question(_ sentence: String) -> String {
        "Which word of the text above is missing in this sentence? \(sentence)"
    }

    /// A sentence of 5 to 30 words with a gap in place of a word with a capital, or a number, that
    /// is not its first; and that word.
    private static func gapped(_ sentence: String) -> (String, String)? {
        var words = sentence.split(separator: " ").map(String.init)
        guard (5...30).contains(words.count), !sentence.contains("____") else { return nil }
        for i in words.indices.dropFirst() {
            let core = Scalars(words[i]).stripped { !$0.isWord }
            guard core.count >= 3, let first = core.first, first.properties.isUppercase || first.isDecimalDigit,
                core.allSatisfy(\.isWord), !Self.common.contains(core.text)
            else { continue }
            words[i] = Scalars(words[i]).replacing(core.text, with: "____").text
            return (words.joined(separator: " "), core.text)
        }
        return nil
    }

    private static let common: Set<String> = [
        "The", "And", "But", "You", "That", "This", "There", "What", "When", "They",
    ]

    private static func matches(_ gapped: String, _ sentences: [String]) -> [String] {
        let parts = Scalars(gapped).pieces(separatedBy: "____")
        guard parts.count == 2 else { return [] }
        return sentences.compactMap { sentence in
            let text = Scalars(sentence)
            guard text.count > parts[0].count + parts[1].count, text.starts(with: parts[0]), text.ends(with: parts[1])
            else {
                return nil
            }
            return Scalars(text.dropFirst(parts[0].count).dropLast(parts[1].count)).text
        }
    }

    package func solve(_ row: JSON.Object) -> [String] {
        let parts = Scalars(row["input"]?.string ?? "").pieces(separatedBy: "\n\n")
        guard let question = parts.last else { return [] }
        let gapped = question.pieces(separatedBy: "in this sentence? ").last ?? []
        let sentences = parts.dropLast().flatMap { part in
            Filler.sentences(of: (part.pieces(separatedBy: "\n").last ?? []).text)
        }
        return Self.matches(gapped.text, sentences)
    }
}
