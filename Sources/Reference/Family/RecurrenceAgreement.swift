//  How far the forms of the matrix-valued recurrences are from their definition in float64, on a
//  model's own operands.
//
//  As SSDAgreement: errors are relative L2 errors of single heads, at their worst over layers;
//  operands are rounded to float32 once and given to both precisions.

import DualityCore

/// The operands of one layer's recurrence.
public struct RecurrenceInputs<Scalar: RealNumber>: Sendable {
    enum Rule: Sendable {
        case delta(GatedDeltaRule<Scalar>)
        case kalma(GatedKalmaRule<Scalar>)
    }

    let rule: Rule
    let heads: Int
    let headDim: Int

    /// The kind of layer it was taken from.
    public var kind: LayerKind {
        switch rule {
        case .delta: .gatedDeltaNet
        case .kalma: .gatedKalmaNet
        }
    }

    /// The same operands in another number format.
    func converted<Other: RealNumber>(to type: Other.Type) -> RecurrenceInputs<Other> {
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
    func evaluate(_ form: RecurrenceForm) -> (o: Tensor<Scalar>, state: Tensor<Scalar>) {
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

/// One row of the comparison: a form in a precision, at its worst.
public struct RecurrenceAgreement: Sendable {
    public let form: RecurrenceForm
    /// `f64` or `f32`.
    public let precision: String
    public internal(set) var y = SSDAgreement.Worst()
    public internal(set) var finalState = SSDAgreement.Worst()
    /// What the errors may be.
    public let limit: Double

    /// The larger of the two errors.
    public var worst: SSDAgreement.Worst { y.error >= finalState.error ? y : finalState }
    public var passes: Bool { worst.error <= limit }

    public static let forms: [RecurrenceForm] = [.recurrent, .chunked(size: 16), .chunked(size: 64)]

    /// Runs every form in both precisions on every case.
    ///
    /// - Returns: float64 first, in the order of `forms`, then float32.
    public static func measure(
        on cases: [(name: String, inputs: RecurrenceInputs<Float>)], forms: [RecurrenceForm] = forms,
        progress: ((String) -> Void)? = nil
    ) -> [RecurrenceAgreement] {
        // The solver of KalmaNet multiplies rounding errors by the condition of its system, 51 for
        // a ridge of 0.02.
        var double = forms.map { RecurrenceAgreement(form: $0, precision: Double.name, limit: 1e-10) }
        var single = forms.map { RecurrenceAgreement(form: $0, precision: Float.name, limit: 2e-4) }
        for (name, inputs) in cases {
            progress?(name)
            let exact = inputs.converted(to: Double.self)
            let oracle = exact.evaluate(.recurrent)
            for i in forms.indices {
                double[i].take(exact.evaluate(forms[i]), against: oracle, inputs.heads, name)
                single[i].take(inputs.evaluate(forms[i]), against: oracle, inputs.heads, name)
            }
        }
        return double + single
    }

    private mutating func take<Scalar: RealNumber>(
        _ found: (o: Tensor<Scalar>, state: Tensor<Scalar>), against oracle: (o: Tensor<Double>, state: Tensor<Double>),
        _ heads: Int, _ name: String
    ) {
        let shape = [oracle.o.shape[0], heads, oracle.o.shape[1] / heads]
        if let got = try? found.o.reshaped(shape), let expected = try? oracle.o.reshaped(shape) {
            y.take(errorsByHead(got, expected, headAxis: 1), of: name)
        }
        finalState.take(errorsByHead(found.state, oracle.state, headAxis: 0), of: name)
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
