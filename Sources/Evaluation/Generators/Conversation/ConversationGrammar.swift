//  Texts of several genres about a topic, drawn from a grammar.

import DualityCore

enum ConversationGrammar {
    static let genres = [
        "poem", "story", "letter", "speech", "song", "riddle", "review", "report", "recipe", "diary page",
    ]
    static let topics = [
        "tapirs", "rain", "lighthouses", "bridges", "honey", "clocks", "violins", "islands", "snow", "kites", "wolves",
        "gardens", "trains", "mirrors", "maps", "candles", "rivers", "apples", "owls", "deserts", "ships", "lanterns",
        "bread", "mountains", "libraries", "umbrellas", "whales", "harbours", "stars", "windmills", "carpets", "foxes",
        "markets", "pianos", "beehives", "tunnels", "letters", "shadows", "towers", "orchards", "glaciers", "feathers",
    ]

    private static let openings = [
        "poem": "O {t}, {a} and {a}, I sing of you.", "story": "Once, in a {a} {n}, everybody spoke of {t}.",
        "letter": "Dear friend, I write to you about {t}.", "speech": "Good people, hear me speak of {t}.",
        "song": "Sing it low and sing it high, a {a} song of {t}.",
        "riddle": "Who am I? Think of {t} and of a {a} {n}.",
        "review": "I have seen many {t}, and these were {a}.", "report": "This morning {t} were seen near the {a} {n}.",
        "recipe": "Take {t}, a {a} {n} and a pinch of salt.", "diary page": "Today I thought of {t} again.",
    ]
    private static let sentences = [
        "The {n} was {a}, and nobody in the {n} knew why.", "I have never seen a {a} {n} so close to the {n}.",
        "At {h} the {n} turned {a}.", "Some say that {t} are {a}; others think of a {a} {n}.",
        "We walked past the {n} and talked about {t}.", "There is a {a} {n} behind every {n}.",
        "{t} were {a} then, as {a} as the {n} itself.", "My {k} kept a {a} {n} for {m} years.",
        "Nothing is as {a} as {t} at {h}.", "Under the {a} {n} we counted {m} of them.",
        "If you ask the {n}, it will tell you of {t}.", "And so the {n} stayed {a} until {h}.",
        "A {n} and a {n} make a {a} pair.", "Bring your {k} to the {n} before {h}.",
        "In the {a} light the {n} looked like {t}.", "It took {m} days to reach the {a} {n}.",
        "Who could forget the {a} {n} of my {k}?", "Later the {n} lay {a} beside the {n}.",
    ]
    private static let hours = ["dawn", "noon", "dusk", "midnight", "sunrise", "nightfall"]
    private static let kin = ["aunt", "uncle", "sister", "brother", "mother", "father", "neighbour", "teacher"]
    private static let numbers = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve"]

    /// A text of about so many words.
    static func answer(
        _ genre: String, _ topic: String, words: ClosedRange<Int>, _ random: inout RandomSource
    ) -> String {
        let wanted = random.integer(in: words)
        var parts = [filled(openings[genre] ?? "{t}.", topic, &random)]
        var count = parts[0].split(separator: " ").count
        var order: [String] = []
        while true {
            if order.isEmpty { order = sentences.shuffled(&random) }
            let next = filled(order.removeLast(), topic, &random)
            let length = next.split(separator: " ").count
            if count >= words.lowerBound, count + length > wanted { break }
            count += length
            parts.append(next)
        }
        return parts.joined(separator: genre == "poem" || genre == "song" ? "\n" : " ")
    }

    private static func filled(_ template: String, _ topic: String, _ random: inout RandomSource) -> String {
        var text = ""
        var rest = template[...]
        while let open = rest.firstIndex(of: "{"), let close = rest[open...].firstIndex(of: "}") {
            text += rest[..<open]
            let word: String
            switch rest[rest.index(after: open)] {
            case "a": word = WordLists.adjectives.random(&random)
            case "n": word = WordLists.nouns.random(&random)
            case "h": word = hours.random(&random)
            case "k": word = kin.random(&random)
            case "m": word = numbers.random(&random)
            default: word = topic
            }
            text += text.isEmpty ? word.prefix(1).uppercased() + word.dropFirst() : word
            rest = rest[rest.index(after: close)...]
        }
        return text + rest
    }
}
