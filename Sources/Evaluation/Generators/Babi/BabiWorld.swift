//  A small world of people, places and things, after the rules of bAbI in short.
//
//  Weston et al. 2015, "Towards AI-Complete Question Answering". A step picks at random an action
//  that is possible: moving to another place; taking a thing that lies where the person is, once
//  the text has said where that is; dropping or giving what is held.

import DualityCore

struct BabiWorld {
    static let places = ["bathroom", "bedroom", "garden", "hallway", "kitchen", "office"]
    static let things = ["apple", "football", "milk"]
    static let walkers = ["Mary", "John", "Daniel", "Sandra"]
    static let givers = ["Mary", "Bill", "Fred", "Jeff"]
    static let moves = ["went to", "journeyed to", "travelled to", "moved to", "went back to"]
    static let takes = ["grabbed", "took", "got", "picked up"]
    static let drops = ["dropped", "put down", "left", "discarded"]
    static let gifts = ["gave", "handed", "passed"]

    /// Words that the text around the facts may not hold.
    static var words: [String] { places + things + walkers + givers }

    let people: [String]
    /// Where people are, as the text has said.
    private(set) var location: [String: String] = [:]
    private(set) var holder: [String: String] = [:]
    /// Where things lie; at first nobody knows.
    private var lying: [String: String] = [:]
    /// The places of a thing since it was first taken, in order.
    private(set) var history: [String: [String]] = [:]
    private(set) var facts: [String] = []
    private(set) var lastGift: (giver: String, thing: String, taker: String)?

    init(people: [String], _ random: inout RandomSource) {
        self.people = people
        for thing in Self.things { lying[thing] = Self.places.random(&random) }
    }

    /// The place of a thing, as the text has said.
    func place(of thing: String) -> String? { history[thing]?.last }

    mutating func move(_ random: inout RandomSource) {
        let person = people.random(&random)
        let place = Self.places.filter { $0 != location[person] }.random(&random)
        location[person] = place
        facts.append("\(person) \(Self.moves.random(&random)) the \(place).")
        for (thing, owner) in holder where owner == person { arrive(thing, place) }
    }

    private mutating func arrive(_ thing: String, _ place: String) {
        if history[thing]?.last != place { history[thing, default: []].append(place) }
    }

    /// One action of those that are possible; moving always is.
    mutating func step(canDrop: Bool, canGive: Bool, _ random: inout RandomSource) {
        var actions: [(inout BabiWorld, inout RandomSource) -> Void] = []
        for person in people {
            guard let place = location[person] else { continue }
            for thing in Self.things where lying[thing] == place && holder[thing] == nil {
                actions.append { world, random in
                    world.holder[thing] = person
                    world.arrive(thing, place)
                    world.facts.append("\(person) \(Self.takes.random(&random)) the \(thing).")
                }
            }
            for thing in Self.things where holder[thing] == person {
                if canDrop {
                    actions.append { world, random in
                        world.holder[thing] = nil
                        world.lying[thing] = place
                        world.facts.append("\(person) \(Self.drops.random(&random)) the \(thing).")
                    }
                }
                guard canGive else { continue }
                for other in people where other != person && location[other] == place {
                    actions.append { world, random in
                        world.holder[thing] = other
                        world.lastGift = (person, thing, other)
                        world.facts.append("\(person) \(Self.gifts.random(&random)) the \(thing) to \(other).")
                    }
                }
            }
        }
        // Moves are half of what happens; the rest is what can be done.
        if actions.isEmpty || random.uniform() < 0.5 { return move(&random) }
        actions.random(&random)(&self, &random)
    }
}
