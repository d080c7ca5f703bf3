//  Words that keys are made of.

import DualityCore

enum WordLists {
    static let adjectives = words(
        """
        amber ancient bright broken clever crimson curious distant fierce frozen gentle golden hidden hollow humble
        lonely misty narrow polished quiet rapid rusty silent silver sleepy tender velvet vivid wandering wooden
        autumn azure bitter blue bold brave broad calm careful cheerful cloudy cold copper coral crooked dark deep
        dusty early eager empty faded famous foggy fragile free frosty giant gilded glad grand gray green happy
        honest icy iron ivory jade jolly keen kind lively lost lucky marble mellow mighty modest noble northern old
        olive patient pearl plain polite proud purple quick rare red restless rough round royal sandy scarlet secret
        shining simple slow small smooth snowy soft solid southern steady stormy strange sunny swift tall tiny violet
        warm white wild winter wise yellow young
        """)
    static let nouns = words(
        """
        anchor bridge candle canyon castle comet compass falcon feather forest garden glacier harbor island kettle
        lantern marble meadow mountain orchard pebble river saddle shadow temple thunder valley violin willow window
        apple arrow badger barn basket beacon bell bird boat bottle branch brook button cabin cellar chapel cherry
        circle cliff clock cloud coast copper cottage cradle crown desert dolphin door dragon drum eagle ember farm
        fence field flame flute fountain fox gate glove hammer hawk hedge hill horn horse house jacket journal jungle
        key kite ladder lake lamp leaf lighthouse lion magnet maple market mirror needle oak ocean owl palace paper
        path pillow pine planet pond prairie puzzle quarry rabbit raven ribbon road rocket rope sail shell ship shore
        spoon spring stable star stone stream summit sword table tiger tower trail tree tunnel village wagon wall
        water well whale wheel wing wolf
        """)

    private static func words(_ text: String) -> [String] {
        text.split(whereSeparator: \.isWhitespace).map(String.init)
    }

    /// The first words of both lists are those that the embedded model has met in keys.
    private static let familiar = 30

    /// Distinct keys `adjective-noun`: a few of familiar words, many of all; where these run out,
    /// with two adjectives.
    static func keys(_ count: Int, _ random: inout RandomSource) -> [String] {
        var keys: [String] = []
        var seen: Set<String> = []
        let most = count <= 64 ? familiar : Int.max
        let (first, second) = (Array(Self.adjectives.prefix(most)), Array(Self.nouns.prefix(most)))
        while keys.count < count {
            var key = "\(first.random(&random))-\(second.random(&random))"
            if keys.count > adjectives.count * nouns.count / 2 { key = "\(first.random(&random))-\(key)" }
            if seen.insert(key).inserted { keys.append(key) }
        }
        return keys
    }
}

extension RandomAccessCollection where Index == Int {
    /// A uniform element.
    func random(_ random: inout RandomSource) -> Element {
        self[random.integer(in: startIndex...endIndex - 1)]
    }
}

extension Array {
    /// In a random order.
    func shuffled(_ random: inout RandomSource) -> [Element] {
        var list = self
        for i in stride(from: list.count - 1, to: 0, by: -1) { list.swapAt(i, random.integer(in: 0...i)) }
        return list
    }
}

extension RandomSource {
    /// Letters of a list.
    mutating func letters(_ count: Int, from alphabet: String) -> String {
        let alphabet = [Character](alphabet)
        var text = ""
        for _ in 0..<count { text.append(alphabet.random(&self)) }
        return text
    }

    /// A number of so many digits.
    mutating func digits(_ count: Int) -> String {
        letters(1, from: "123456789") + letters(count - 1, from: "0123456789")
    }

    /// A random identifier of version 4.
    mutating func identifier() -> String {
        let hex = "0123456789abcdef"
        return
            "\(letters(8, from: hex))-\(letters(4, from: hex))-4\(letters(3, from: hex))-\(letters(1, from: "89ab"))\(letters(3, from: hex))-\(letters(12, from: hex))"
    }
}
