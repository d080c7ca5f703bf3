//  What the matrix-valued recurrences of Gated DeltaNet and Gated KalmaNet are applied to, taken
//  from a model that reads some tokens.

import DualityCore

/// The operands of one layer's recurrence.
public struct RecurrenceInputs<Scalar: RealNumber>: Sendable {
    enum Rule: Sendable {
        case delta(GatedDeltaRule<Scalar>)
        case kalma(GatedKalmaRule<Scalar>)
    }

    let rule: Rule
    package let heads: Int
    let headDim: Int

    /// The kind of layer it was taken from.
    public var kind: LayerKind {
        switch rule {
        case .delta: .gatedDeltaNet
        case .kalma: .gatedKalmaNet
        }
    }

    /// The same operands in another number format.
    package func converted<Other: RealNumber>(to type: Other.Type) -> RecurrenceInputs<Other> {
        let converted: RecurrenceInputs<Other>.Rule =
            switch rule {
            case .delta(let rule): .delta(rule.converted(to: type))
            case .kalma(let rule): .kalma(rule.converted(to: type))
            }
        return RecurrenceInputs<Other>(rule: converted, heads: heads, headDim: headDim)
    }

    /// Outputs `[L, H, D]` and states `[H, 2 D, D]` (or `[H, D, D]`) from an empty memory.
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    package func evaluate(_ form: RecurrenceForm) -> (o: Tensor<Scalar>, state: Tensor<Scalar>) {
        var state = Tensor<Scalar>(repeating: 0, shape: [heads, headDim, headDim])
        switch rule {
        case .delta(let rule):
            return (rule.evaluate(form, state: &state), state)
        case .kalma(let rule):
            var memory = state
            return (rule.evaluate(form, gram: &state, memory: &memory), memory)
        }
    }
}

extension HybridModel {
    /// What the recurrences of Gated DeltaNet and Gated KalmaNet layers (also inside B'MOJO-F) are
    /// applied to when an empty cache reads `tokens`.
    ///
    /// - Returns: layer indices in order.
    /// - Throws: as `extend`.
    public func recurrenceInputs(reading tokens: [Int]) throws -> [(layer: Int, inputs: RecurrenceInputs<Scalar>)] {
        var seen: [(layer: Int, inputs: RecurrenceInputs<Scalar>)] = []
        var cache = makeCache()
        let empty = cache
        func add(_ i: Int, _ rule: RecurrenceInputs<Scalar>.Rule) {
            seen.append(
                (i, RecurrenceInputs(rule: rule, heads: configuration.headCount, headDim: configuration.headDim)))
        }
        _ = try extend(&cache, by: tokens, logits: .none) { observation in
            guard case .layer(let i, .mixerInput(let u)) = observation else { return }
            guard var windows = empty.layers[i].deltaNet?.windows ?? empty.layers[i].kalmaNet?.windows else { return }
            switch layers[i].mixer {
            case .gatedDeltaNet(let mixer): add(i, .delta(mixer.rule(u, windows: &windows)))
            case .gatedKalmaNet(let mixer): add(i, .kalma(mixer.rule(u, windows: &windows)))
            case .bmojo(let outer):
                switch outer.mixer {
                case .gatedDeltaNet(let mixer): add(i, .delta(mixer.rule(u, windows: &windows)))
                case .gatedKalmaNet(let mixer): add(i, .kalma(mixer.rule(u, windows: &windows)))
                case .mamba2: break
                }
            case .attention, .mamba2: break
            }
        }
        return seen
    }
}
