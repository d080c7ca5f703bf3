//  Faults of a backward pass in chunks: for the gradient of each operand, the part inside a chunk
//  and the part that comes through the states of chunks, each left out, not decayed, decayed by a
//  token too many or too few, or taken through the state of another chunk.
//
//  A name says gradient, part and mistake: `grad-b-between-not-decayed`. Where the gradient of the
//  step goes wrong with that of x, because it is made of it, that is a variant of the same fault.
//
//  Seen in: state-spaces/mamba, whose backward pass decayed ∂B by the wrong sums for a while, and
//  in ports of it.

import DualityCore
import DualityReference

/// A fault of the chunked backward pass.
struct ChunkedGradientFault: Sendable {
    let name: String
    let summary: String
    /// Its shapes.
    let variants: [GradientChoice]
    /// Whether pairs of tokens inside chunks change; these take O(L Q) instead of O(L).
    var isInside = false

    private init(
        _ name: String, _ summary: String, isInside: Bool = false, _ changes: [(inout GradientChoice) -> Void]
    ) {
        (self.name, self.summary, self.isInside) = (name, summary, isInside)
        variants = changes.map { change in
            var choice = GradientChoice()
            change(&choice)
            return choice
        }
    }

    /// All of them.
    static let all: [ChunkedGradientFault] = ofOperands + ofDecays + ofStates

    private static let mistakes: [(word: String, text: String, parts: [GradientPart])] = [
        ("missing", "is left out", [.missing]),
        ("not-decayed", "is not decayed", [.notDecayed]),
        ("decay-off-by-one", "is decayed by one token too many or too few", [.oneTokenMore, .oneTokenLess]),
    ]

    private static let ofOperands: [ChunkedGradientFault] = [
        ("x", \GradientChoice.insideX, \GradientChoice.betweenX), ("b", \.insideB, \.betweenB),
        ("c", \.insideC, \.betweenC),
    ].flatMap { letter, inside, between -> [ChunkedGradientFault] in
        let gradient = "the gradient of \(letter == "x" ? "x" : letter.uppercased())"
        func changes(
            _ path: WritableKeyPath<GradientChoice, GradientPart>, _ parts: [GradientPart]
        ) -> [(inout GradientChoice) -> Void] {
            parts.flatMap { part -> [(inout GradientChoice) -> Void] in
                let alone: (inout GradientChoice) -> Void = {
                    $0[keyPath: path] = part
                    $0.entersSteps = false
                }
                return letter == "x" ? [{ $0[keyPath: path] = part }, alone] : [alone]
            }
        }
        let insides = mistakes.map { word, text, parts in
            ChunkedGradientFault(
                "grad-\(letter)-inside-\(word)",
                "the part of \(gradient) that comes from tokens of the same chunk \(text)",
                isInside: true, changes(inside, parts))
        }
        let stale = [("stale-state", "is that of the state of another chunk", [GradientPart.stateBefore, .stateAfter])]
        let betweens = (mistakes + stale).map { word, text, parts in
            ChunkedGradientFault(
                "grad-\(letter)-between-\(word)",
                "the part of \(gradient) that comes through the states of chunks \(text)", changes(between, parts))
        }
        return insides + betweens
    }

    private static let ofDecays: [ChunkedGradientFault] =
        [
            ChunkedGradientFault(
                "grad-dt-inside-missing", "the gradient of the decays leaves out pairs of tokens of the same chunk",
                isInside: true, [{ $0.inside = .missing }]),
            ChunkedGradientFault(
                "grad-dt-inside-not-decayed",
                "the gradient of the decays takes pairs of tokens of the same chunk undecayed",
                isInside: true, [{ $0.inside = .notDecayed }]),
            ChunkedGradientFault(
                "grad-dt-inside-decay-off-by-one",
                "the gradient of the decays takes pairs of tokens of the same chunk with the decay of a token too many or too few",
                isInside: true, [{ $0.inside = .oneTokenMore }, { $0.inside = .oneTokenLess }]),
        ]
        + [
            ("reads", "the reading of the entering state", \GradientChoice.reads),
            ("writes", "what the tokens write to the state that leaves", \.writes),
            ("passes", "the state that passes through the chunk", \.passes),
        ].flatMap { word, text, path -> [ChunkedGradientFault] in
            mistakes.filter { word != "passes" || $0.word != "decay-off-by-one" }.map { mistake in
                ChunkedGradientFault(
                    "grad-dt-\(word)-\(mistake.word)", "in the gradient of the decays \(text) \(mistake.text)",
                    mistake.parts.map { part in { $0[keyPath: path] = part } })
            }
        } + [
            ChunkedGradientFault(
                "grad-dt-between-missing",
                "the gradient of the decays leaves out all that comes through the states of chunks",
                [{ ($0.reads, $0.writes, $0.passes) = (.missing, .missing, .missing) }])
        ]

    private static let ofStates: [ChunkedGradientFault] = [
        ChunkedGradientFault(
            "grad-state-not-decayed", "the gradient of a state is passed to the chunk before without the chunk's decay",
            [{ $0.gradientOfStates = .notDecayed }]),
        ChunkedGradientFault(
            "grad-state-not-passed", "the gradient of a state is not passed to the chunk before",
            [{ $0.gradientOfStates = .missing }]),
        ChunkedGradientFault(
            "grad-state-decay-off-by-one", "the gradient of a state takes its chunk's outputs a token's decay short",
            [{ $0.gradientOfStates = .oneTokenLess }]),
        ChunkedGradientFault(
            "grad-recomputed-states-not-decayed", "the backward pass computes the states of chunks without their decay",
            [{ $0.recomputedStates = .notDecayed }]),
        ChunkedGradientFault(
            "grad-recomputed-states-not-passed",
            "the backward pass takes the state of each chunk without those of the chunks before",
            [{ $0.recomputedStates = .missing }]),
    ]
}
