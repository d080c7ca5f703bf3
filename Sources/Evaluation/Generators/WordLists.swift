//  Words that keys are made of.

import DualityCore

enum WordLists {
    static let adjectives = words(
        """
        amber ancient autumn azure bitter blue bold brave bright broad broken calm careful cheerful clever cloudy cold
        copper coral crimson crooked curious dark deep distant dusty early eager empty faded famous fierce foggy fragile
        free frosty gentle giant gilded glad golden grand gray green happy hidden hollow honest humble icy iron ivory
        jade jolly keen kind lively lonely lost lucky marble mellow mighty misty modest narrow noble northern old olive
        patient pearl plain polite proud purple quick quiet rapid rare red restless rough round royal rusty sandy
        scarlet secret shining silent silver simple sleepy slow small smooth snowy soft solid southern steady stormy
        strange sunny swift tall tender tiny velvet violet warm white wild winter wise wooden yellow young
        """)
    static let nouns = words(
        """
        anchor apple arrow badger barn basket beacon bell bird boat bottle branch bridge brook button cabin candle
        canyon castle cellar chapel cherry circle cliff clock cloud coast compass copper cottage cradle crown desert
        dolphin door dragon drum eagle ember falcon farm feather fence field flame flute forest fountain fox garden gate
        glacier glove hammer harbor hawk hedge hill horn horse house island jacket journal jungle kettle key kite ladder
        lake lamp lantern leaf lighthouse lion magnet maple market meadow mirror mountain needle oak ocean orchard owl
        palace paper path pebble pillow pine planet pond prairie puzzle quarry rabbit raven ribbon river road rocket
        rope saddle sail shadow shell ship shore spoon spring stable star stone stream summit sword table temple tiger
        tower trail tree tunnel valley village violin wagon wall water well whale wheel willow window wing wolf
        """)

    private static func words(_ text: String) -> [String] {
        text.split(whereSeparator: \.isWhitespace).map(String.init)
    }

    /// Distinct keys `adjective-noun`; where these run out, with two adjectives.
    static func keys(_ count: Int, _ random: inout RandomSource) -> [String] {
        var keys: [String] = []
        var seen: Set<String> = []
        while keys.count < count {
            var key = "\(adjectives.random(&random))-\(nouns.random(&random))"
            if keys.count > adjectives.count * nouns.count / 2 { key = "\(adjectives.random(&random))-\(key)" }
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
