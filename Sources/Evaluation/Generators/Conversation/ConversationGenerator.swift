//  A long conversation in which one request comes several times, and at the end its k-th answer is
//  asked for again.

import DualityCore
import Foundation

package struct ConversationGenerator: TaskGenerator {
    let needles: Int
    /// What the headers of a turn cost in most templates.
    private static let headerTokens = 6

    private struct Turn {
        let genre, topic, answer: String
        var request: String { "Write \(genre.hasPrefix("e") ? "an" : "a") \(genre) about \(topic)." }
    }

    package func rows(_ settings: GeneratorSettings, index: Int) throws(InputError) -> [JSON.Object] {
        let name = "mrcr_\(needles)"
        guard settings.questionsPerContext == 1 else { throw VariableGenerator.oneQuestion(name) }
        var random = settings.random(name, index)
        let genre = ConversationGrammar.genres.random(&random)
        let topic = ConversationGrammar.topics.random(&random)
        // Short contexts have short answers, so that all of them fit.
        let words = settings.length < 4096 ? 60...62 : 60...150
        let answers = distinctAnswers(genre: genre, topic: topic, words: words, settings: settings, random: &random)
        let wanted = random.integer(in: 0...needles - 1)
        let letters = random.letters(10, from: "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
        let last =
            "Begin your answer with \(letters), and behind it, without anything else, repeat the \(Self.ordinal(wanted + 1)) \(genre) about \(topic)."

        func tokens(_ text: String) -> Int { settings.tokens(text) + Self.headerTokens }
        let answerTokens = tokens(letters + answers[wanted]) + 8
        var total = tokens(last) + Self.headerTokens + answerTokens
        for answer in answers {
            total += tokens(Turn(genre: genre, topic: topic, answer: answer).request) + tokens(answer)
        }
        guard total <= settings.length else {
            throw InputError(
                .value, in: "--length of \(name)", expected: "at least \(total) tokens for \(needles) answers",
                found: "\(settings.length)", remedy: "Ask for a longer context or fewer needles.")
        }
        var others: [Turn] = []
        while true {
            let turn = other(others.count, genre: genre, topic: topic, words: words, random: &random)
            total += tokens(turn.request) + tokens(turn.answer)
            if total > settings.length { break }
            others.append(turn)
        }
        var turns = others
        for answer in answers {
            turns.insert(Turn(genre: genre, topic: topic, answer: answer), at: random.integer(in: 0...turns.count))
        }
        return [
            row(
                turns, genre: genre, topic: topic, wanted: wanted, letters: letters, last: last,
                answerTokens: answerTokens, length: settings.length)
        ]
    }

    private func row(
        _ turns: [Turn], genre: String, topic: String, wanted: Int, letters: String, last: String,
        answerTokens: Int, length: Int
    ) -> JSON.Object {
        var messages: [JSON] = []
        var places: [Int] = []
        for turn in turns {
            messages.append(["role": "user", "content": .string(turn.request)])
            if turn.genre == genre, turn.topic == topic { places.append(messages.count) }
            messages.append(["role": "assistant", "content": .string(turn.answer)])
        }
        messages.append(["role": "user", "content": .string(last)])
        let answer = messages[places[wanted]]["content"]?.string ?? ""
        let characters = messages.reduce(0) { $0 + ($1["content"]?.string?.unicodeScalars.count ?? 0) }
        return [
            "index": 0, "prompt": .string(JSON.array(messages).serialized()), "answer": .string(letters + answer),
            "random_string_to_prepend": .string(letters), "n_needles": JSON(needles),
            "desired_msg_index": JSON(places[wanted]), "total_messages": JSON(messages.count),
            "n_chars": JSON(characters),
            "length": JSON(length), "max_tokens": JSON(answerTokens),
        ]
    }

    /// Answers to one request, each unlike the others.
    private func distinctAnswers(
        genre: String, topic: String, words: ClosedRange<Int>, settings: GeneratorSettings,
        random: inout RandomSource
    ) -> [String] {
        var answers: [Scalars] = []
        // Where there is hardly room, the shortest of several.
        let drafts = settings.length < 2048 ? 6 : 1
        while answers.count < needles {
            let texts = (0..<drafts).map { _ in ConversationGrammar.answer(genre, topic, words: words, &random) }
            let shortest = drafts == 1 ? texts[0] : texts.min { settings.tokens($0) < settings.tokens($1) } ?? texts[0]
            let answer = Scalars(shortest)
            if answers.allSatisfy({ SequenceRatio.of($0, answer) < 0.8 }) { answers.append(answer) }
        }
        return answers.map(\.text)
    }

    /// Another request: of three, one of the same genre and one on the same topic.
    private func other(
        _ i: Int, genre: String, topic: String, words: ClosedRange<Int>, random: inout RandomSource
    ) -> Turn {
        let otherGenres = ConversationGrammar.genres.filter { $0 != genre }
        let otherTopics = ConversationGrammar.topics.filter { $0 != topic }
        let (a, b): (String, String)
        switch i % 3 {
        case 0: (a, b) = (genre, otherTopics.random(&random))
        case 1: (a, b) = (otherGenres.random(&random), topic)
        default: (a, b) = (otherGenres.random(&random), otherTopics.random(&random))
        }
        return Turn(genre: a, topic: b, answer: ConversationGrammar.answer(a, b, words: words, &random))
    }

    static func ordinal(_ n: Int) -> String {
        ["1st", "2nd", "3rd"].indices.contains(n - 1) ? ["1st", "2nd", "3rd"][n - 1] : "\(n)th"
    }

    package func solve(_ row: JSON.Object) -> [String] {
        guard let messages = try? JSON(parsing: row["prompt"]?.string ?? "").array else { return [] }
        let contents = messages.map { $0["content"]?.string ?? "" }
        let last = contents.last ?? ""
        let parts = last.components(separatedBy: " repeat the ")
        guard parts.count == 2, let k = Int(parts[1].prefix { $0.isNumber }) else { return [] }
        let what = parts[1].dropFirst().drop { $0 != " " }.dropFirst()
        let letters = last.split(separator: " ").dropFirst(4).first?.dropLast() ?? ""
        let answers = contents.indices.filter { $0 % 2 == 0 && $0 + 1 < contents.count }
            .filter { contents[$0].hasSuffix(" \(what)") && contents[$0].hasPrefix("Write a") }.map { contents[$0 + 1] }
        return answers.indices.contains(k - 1) ? [letters + answers[k - 1]] : []
    }
}
