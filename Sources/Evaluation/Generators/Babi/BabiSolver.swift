//  The facts of a text read back, and questions answered from them.

import DualityCore

struct BabiSolver {
    private struct Gift {
        let giver, thing, taker: String
    }

    private var location: [String: String] = [:]
    private var holder: [String: String] = [:]
    private var history: [String: [String]] = [:]
    private var gifts: [Gift] = []
    /// `[a, way, b]` for "The a is way of the b."
    private var positions: [[String]] = []

    private static let names = (BabiWorld.walkers + BabiWorld.givers).joined(separator: "|")
    private static let things = BabiWorld.things.joined(separator: "|")
    private static let places = BabiWorld.places.joined(separator: "|")
    private static let fact = PythonRegex(
        ours: #"(\#(names)) (?:(?:\#(BabiWorld.moves.joined(separator: "|"))) the (\#(places))"#
            + #"|(?:\#(BabiWorld.takes.joined(separator: "|"))) the (\#(things))"#
            + #"|(?:\#(BabiWorld.drops.joined(separator: "|"))) the (\#(things))"#
            + #"|(?:\#(BabiWorld.gifts.joined(separator: "|"))) the (\#(things)) to (\#(names)))\."#)
    private static let position = PythonRegex(
        ours: #"The (\#(places)) is (north|south|east|west) of the (\#(places))\."#)

    init(text: String) {
        let text = Scalars(text)
        func groups(_ regex: PythonRegex, _ sentence: Scalars) -> [String?]? {
            guard let match = try? regex.firstMatch(in: sentence) else { return nil }
            return match.groups.map { $0.map { Scalars(sentence[$0]).text } }
        }
        // Sentence by sentence, so that the work of a match stays small.
        for sentence in Filler.sentences(of: text.text).map({ Scalars($0) }) {
            if let found = groups(Self.fact, sentence), let person = found[1] {
                if let place = found[2] {
                    location[person] = place
                    for (thing, owner) in holder where owner == person { arrive(thing) }
                } else if let thing = found[3] {
                    holder[thing] = person
                    arrive(thing)
                } else if let thing = found[4] {
                    holder[thing] = nil
                } else if let thing = found[5], let taker = found[6] {
                    holder[thing] = taker
                    gifts.append(Gift(giver: person, thing: thing, taker: taker))
                }
            } else if let found = groups(Self.position, sentence) {
                positions.append(found.dropFirst().compactMap { $0 })
            }
        }
    }

    private mutating func arrive(_ thing: String) {
        guard let owner = holder[thing], let place = location[owner], history[thing]?.last != place else { return }
        history[thing, default: []].append(place)
    }

    func answer(_ question: String) -> String? {
        let words = question.split { $0 == " " || $0 == "?" }.map(String.init)
        guard words.count >= 3 else { return nil }
        switch (words[0], words[1]) {
        case ("Where", "is"): return location[words[2]] ?? (words.count > 3 ? history[words[3]]?.last : nil)
        case ("Where", "was"):
            guard words.count > 3, let places = history[words[3]], places.count > 1 else { return nil }
            return places[places.count - 2]
        case ("What", "is"): return position(words)
        case ("What", "did"): return gifts.last { $0.giver == words[2] && $0.taker == words.last }?.thing
        case ("Who", "gave"): return gifts.last { $0.thing == words[3] && $0.taker == words.last }?.giver
        case ("Who", "did"): return gifts.last { $0.giver == words[2] && words.contains($0.thing) }?.taker
        default: return nil
        }
    }

    private static let opposite = ["north": "south", "south": "north", "east": "west", "west": "east"]

    /// "What is the B north of?" asks for what lies south of B, "What is north of the B?" the
    /// other.
    private func position(_ words: [String]) -> String? {
        let isSubject = words[2] == "the"
        let (place, way) = isSubject ? (words[3], words[4]) : (words[5], words[2])
        for fact in positions {
            let (a, direction, b) = (fact[0], fact[1], fact[2])
            let relations = [(a, direction, b), (b, Self.opposite[direction] ?? "", a)]
            for (left, side, right) in relations where side == way {
                if isSubject, left == place { return right }
                if !isSubject, right == place { return left }
            }
        }
        return nil
    }
}
