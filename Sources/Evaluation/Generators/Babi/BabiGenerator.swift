//  Questions over facts that stand in order among the sentences of a long text.

import DualityCore

package struct BabiGenerator: TaskGenerator {
    package enum Kind: String, CaseIterable, Sendable {
        case qa1 = "babilong_qa1"
        case qa2 = "babilong_qa2"
        case qa3 = "babilong_qa3"
        case qa4 = "babilong_qa4"
        case qa5 = "babilong_qa5"
    }

    let kind: Kind
    private static let answerTokens = 20

    package func rows(_ settings: GeneratorSettings, index: Int) throws(InputError) -> [JSON.Object] {
        var random = settings.random(kind.rawValue, index)
        let (facts, questions) = try story(settings.questionsPerContext, &random)
        let longest = questions.map(\.question).max { $0.utf8.count < $1.utf8.count } ?? ""
        var fitter = ContextFitter(tokenizer: settings.tokenizer)
        // What the request says around the context has its tokens too.
        let frame: JSONFields = try JSONFields(
            ["task": .string(kind.rawValue), "input": "", "question": .string(longest), "target": ""],
            place: kind.rawValue)
        fitter.after = try BABILong().request(frame, examples: [], isChat: false).text ?? ""
        let depths = facts.map { _ in random.uniform() }.sorted()
        for (depth, fact) in zip(depths, facts) { fitter.insertions.append((depth, fact)) }
        // A sentence has four tokens or more: so many are enough, and the rest need not be looked
        // at.
        let start = random.integer(in: 0...settings.prose.sentences.count - 1)
        let filler = settings.prose.rotated(by: start).first(settings.length / 4).without(BabiWorld.words)
        guard !filler.sentences.isEmpty else {
            throw InputError(
                .value, in: "--filler", expected: "sentences without the names, places and things of the task",
                found: "none")
        }
        let text = try fitter.fitted(settings.length - Self.answerTokens - 4, name: kind.rawValue) {
            filler.sentence($0)
        }
        return questions.map { question, answer in
            [
                "index": 0, "input": .string(text), "question": .string(question), "target": .string(answer),
                "length": JSON(settings.length),
            ]
        }
    }

    private typealias Question = (question: String, answer: String)

    /// Facts and so many questions about them.
    private func story(_ count: Int, _ random: inout RandomSource) throws(InputError) -> ([String], [Question]) {
        for _ in 0..<2000 {
            let (facts, questions) = draft(&random)
            if questions.count >= count { return (facts, Array(questions.shuffled(&random).prefix(count))) }
        }
        throw InputError(
            .value, in: "--questions-per-context",
            expected: "as many questions as the facts of \(kind.rawValue) answer",
            found: "\(count)", remedy: "Ask fewer.")
    }

    private func draft(_ random: inout RandomSource) -> ([String], [Question]) {
        switch kind {
        case .qa1:
            var world = BabiWorld(people: BabiWorld.walkers, &random)
            for _ in 0..<random.integer(in: 2...10) { world.move(&random) }
            return (
                world.facts,
                world.people.compactMap { person in world.location[person].map { ("Where is \(person)?", $0) } }
            )
        case .qa2, .qa3:
            var world = BabiWorld(people: BabiWorld.walkers, &random)
            let steps = kind == .qa2 ? random.integer(in: 6...16) : random.integer(in: 14...32)
            for _ in 0..<steps { world.step(canDrop: true, canGive: false, &random) }
            var questions: [Question] = []
            for thing in BabiWorld.things {
                guard let places = world.history[thing], let place = places.last else { continue }
                if kind == .qa2 {
                    questions.append(("Where is the \(thing)?", place))
                } else if places.count > 1 {
                    questions.append(("Where was the \(thing) before the \(place)?", places[places.count - 2]))
                }
            }
            return (world.facts, questions)
        case .qa4: return positions(&random)
        case .qa5:
            var world = BabiWorld(people: BabiWorld.givers, &random)
            for _ in 0..<random.integer(in: 10...24) { world.step(canDrop: true, canGive: true, &random) }
            guard let gift = world.lastGift else { return ([], []) }
            return (
                world.facts,
                [
                    ("What did \(gift.giver) give to \(gift.taker)?", gift.thing),
                    ("Who gave the \(gift.thing) to \(gift.taker)?", gift.giver),
                    ("Who did \(gift.giver) give the \(gift.thing) to?", gift.taker),
                ]
            )
        }
    }

    /// Three places in a row.
    private func positions(_ random: inout RandomSource) -> ([String], [Question]) {
        let places = BabiWorld.places.shuffled(&random)
        let (a, b, c) = (places[0], places[1], places[2])
        let (way, back) = [("north", "south"), ("east", "west")].random(&random)
        let facts = ["The \(a) is \(way) of the \(b).", "The \(b) is \(way) of the \(c)."].shuffled(&random)
        return (
            facts,
            [
                ("What is the \(b) \(way) of?", c), ("What is \(way) of the \(b)?", a),
                ("What is the \(b) \(back) of?", a), ("What is \(back) of the \(b)?", c),
            ]
        )
    }

    package func solve(_ row: JSON.Object) -> [String] {
        let solver = BabiSolver(text: row["input"]?.string ?? "")
        return [solver.answer(row["question"]?.string ?? "") ?? ""]
    }
}
