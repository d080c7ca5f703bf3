//  Whether the fast engine computes what the reference does, on a model's own weights.
//
//      error = || fast - f64 || / || f64 ||          over the logits of all tokens read, f64 being the reference in float64
//
//  | engine    | limit                                                                                          |
//  |-----------|------------------------------------------------------------------------------------------------|
//  | fast f32  | eight times the reference's own float32 error on the same tokens (at least 1e-6): a product adds up |
//  |           | 256 terms one by one where the reference adds sixteen sums as a tree                            |
//  | fast bf16 | 0.03: eight bits of significand in weights (where the checkpoint has more) and in keys and values |
//  | bf16-dot  | 0.03 likewise, and the same of activations                                                        |
//  | fast int8 | 0.3: random weights make much of little; trained ones stay near 0.02                            |
//
//  And replay: the same bits for one piece, for random pieces, and for one thread.

import DualityCore
import DualityQuant
import DualityReference

/// The fast engine held against the reference.
package struct EngineAgreement: Sendable {
    /// The logits in one precision of the fast engine.
    package struct Row: Sendable {
        /// The precision, as `EnginePrecision` spells it: `f32`, `bf16`, `bf16-dot` or `int8`.
        package let precision: String
        /// ||fast - f64|| / ||f64|| over the logits of all tokens.
        package let error: Double
        /// What the error may be.
        package let limit: Double
        /// Whether the error is within its limit.
        package var passes: Bool { error <= limit }
    }

    /// One row a precision, in the order of `EnginePrecision.allCases`.
    package let rows: [Row]
    /// Whether pieces and threads changed no bit of the logits, in every precision but bf16-dot.
    package let replays: Bool
    /// How many tokens both engines read.
    package let tokens: Int
    /// Whether every row passes and the logits replay.
    package var passes: Bool { replays && rows.allSatisfy(\.passes) }

    /// Runs both engines over `tokens`.
    ///
    /// - Returns: nil for a model that the fast engine does not run.
    /// - Throws: `InputError`, as loading and running do.
    package static func measure(
        _ checkpoint: Checkpoint, tokens: [Int], pool: ThreadPool = .common, progress: (String) -> Void = { _ in }
    ) throws -> EngineAgreement? {
        let configuration = checkpoint.configuration
        do {
            try QuantModel.checkLayers(configuration, place: checkpoint.place)
        } catch {
            return nil
        }
        progress("reading with the reference")
        let exact = try logits(HybridModel<Double>(checkpoint, configuration: configuration), tokens)
        let single = try logits(HybridModel<Float>(checkpoint, configuration: configuration), tokens)
        let own = distance(single, exact)
        var rows: [Row] = []
        var replays = true
        for precision in EnginePrecision.allCases {
            progress("reading in \(precision.rawValue)")
            let options = QuantOptions(precision, pool: pool)
            let model = try QuantModel(checkpoint, configuration: configuration, options: options)
            var cache = model.makeCache()
            let whole = try model.extend(&cache, by: tokens, logits: .all)
            let limit: Double =
                switch precision {
                case .f32: max(8 * own, 1e-6)
                case .bf16, .bf16Dot, .bf16Split: 0.03
                case .int8: 0.3
                case .int4, .int4Mixed: 1
                }
            rows.append(Row(precision: precision.rawValue, error: distance(whole.converted(), exact), limit: limit))
            if precision != .bf16Dot {
                let alone = ThreadPool(threads: 1)
                let other = try QuantModel(
                    checkpoint, configuration: configuration,
                    options: QuantOptions(precision, keyValues: options.keyValues, pool: alone))
                replays = try replays && pieces(other, tokens) == whole.elements
            }
        }
        return EngineAgreement(rows: rows, replays: replays, tokens: tokens.count)
    }

    private static func logits<Scalar: RealNumber>(_ model: HybridModel<Scalar>, _ tokens: [Int]) throws -> Tensor<
        Double
    > {
        var cache = model.makeCache()
        return try model.extend(&cache, by: tokens, logits: .all).converted()
    }

    /// Logits of the tokens fed in random pieces.
    private static func pieces(_ model: QuantModel, _ tokens: [Int]) throws -> [Float] {
        var random = RandomSource(seed: 3)
        var (cache, logits, first) = (model.makeCache(), [Float](), 0)
        while first < tokens.count {
            let end = min(first + random.integer(in: 1...17), tokens.count)
            logits += try model.extend(&cache, by: Array(tokens[first..<end]), logits: .all).elements
            first = end
        }
        return logits
    }

    private static func distance(_ a: Tensor<Double>, _ b: Tensor<Double>) -> Double {
        var (difference, norm) = (0.0, 0.0)
        for (x, y) in zip(a.elements, b.elements) {
            difference += (x - y) * (x - y)
            norm += y * y
        }
        return norm > 0 ? (difference / norm).squareRoot() : difference.squareRoot()
    }
}
