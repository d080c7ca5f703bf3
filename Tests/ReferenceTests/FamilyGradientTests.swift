import DualityCore
import Testing

@testable import DualityReference

/// The gradients of the gated delta rule and of attention are the derivatives of the forward pass:
/// differences in double-double, whose own error is beyond 1e-13.
@Suite struct FamilyGradientTests {
    private static let step = DoubleDouble(0x1p-24)

    private static func normal(_ shape: [Int], _ random: inout RandomSource) -> Tensor<DoubleDouble> {
        var tensor = Tensor(repeating: DoubleDouble(0.0), shape: shape)
        for i in tensor.elements.indices { tensor.elements[i] = DoubleDouble(random.normal()) }
        return tensor
    }

    /// A small call with any of its options.
    static func delta(_ seed: UInt64) -> (DeltaOperands<DoubleDouble>, DeltaUpstream<DoubleDouble>) {
        var random = RandomSource(seed: seed)
        let (shared, group) = (random.integer(in: 1...2), random.integer(in: 1...2))
        let (keys, values) = (random.integer(in: 1...3), random.integer(in: 1...3))
        let lengths = (0..<random.integer(in: 1...2)).map { _ in random.integer(in: 1...4) }
        var sequences: [Range<Int>] = []
        for length in lengths {
            let first = sequences.last?.upperBound ?? 0
            sequences.append(first..<first + length)
        }
        let (tokens, heads) = (lengths.reduce(0, +), shared * group)
        let strength = DoubleDouble(Double.pow(10, random.uniform(in: -3...0.5)))
        let epsilon: Double? = [nil, 1e-6, 0.3][random.integer(in: 0...2)]
        let operands = DeltaOperands(
            q: normal([tokens, shared, keys], &random), k: normal([tokens, shared, keys], &random),
            v: normal([tokens, heads, values], &random),
            logDecay: normal([tokens, heads], &random).map { -strength * $0.magnitude },
            beta: normal([tokens, heads], &random).map { DoubleDouble(0.5) + DoubleDouble(0.2) * $0 },
            initialState: random.integer(in: 0...2) > 0
                ? normal([sequences.count, heads, keys, values], &random) : nil,
            sequences: sequences, scale: random.uniform(in: 0.3...1.5), epsilon: epsilon)
        let what = random.integer(in: 0...5)
        let upstream = DeltaUpstream(
            o: what == 0 ? nil : normal([tokens, heads, values], &random),
            finalState: what == 1 ? nil : normal([sequences.count, heads, keys, values], &random))
        return (operands, upstream)
    }

    private static func inner(_ a: Tensor<DoubleDouble>?, _ b: Tensor<DoubleDouble>?) -> DoubleDouble {
        guard let a, let b else { return 0 }
        return zip(a.elements, b.elements).reduce(0) { $0 + $1.0 * $1.1 }
    }

    private static func loss(
        _ operands: DeltaOperands<DoubleDouble>, _ upstream: DeltaUpstream<DoubleDouble>
    ) -> DoubleDouble {
        let (o, state) = operands.evaluate(.recurrent)
        return inner(o, upstream.o) + inner(state, upstream.finalState)
    }

    /// Distance of a gradient from the difference of the loss along a direction, relative to the
    /// gradient's size; along every axis where `isThorough`.
    private static func distance(
        _ gradient: Tensor<DoubleDouble>, _ operand: Tensor<DoubleDouble>, _ random: inout RandomSource,
        isThorough: Bool, _ loss: (Tensor<DoubleDouble>) -> DoubleDouble
    ) -> Double {
        var directions = [normal(operand.shape, &random)]
        if isThorough {
            directions = operand.elements.indices.map { axis in
                var direction = operand.map { _ in DoubleDouble(0.0) }
                direction.elements[axis] = 1
                return direction
            }
        }
        let size = gradient.elements.reduce(1e-12) { $0 + $1.double * $1.double }.squareRoot()
        return directions.map { direction in
            func moved(_ h: DoubleDouble) -> Tensor<DoubleDouble> {
                var moved = operand
                for i in moved.elements.indices { moved.elements[i] += h * direction.elements[i] }
                return moved
            }
            let difference = (loss(moved(step)) - loss(moved(-step))) / (2 * step)
            return (difference - inner(gradient, direction)).double.magnitude / size
        }.max() ?? 0
    }

    /// The largest distance of any gradient, by operand.
    static func distances(_ seed: UInt64, _ form: RecurrenceForm) -> [(String, Double)] {
        let (operands, upstream) = delta(seed)
        // The forms that are tested are those of float64; the operands are exact in it.
        let narrow = operands.converted(to: Double.self)
        let pulls = upstream.converted(to: Double.self)
        let found = narrow.gradients(form, upstream: pulls)
        let (exact, pull) = (narrow.converted(to: DoubleDouble.self), pulls.converted(to: DoubleDouble.self))
        var random = RandomSource(seed: seed + 5000)
        func along(
            _ gradient: Tensor<Double>, _ path: WritableKeyPath<DeltaOperands<DoubleDouble>, Tensor<DoubleDouble>>
        ) -> Double {
            distance(gradient.converted(), exact[keyPath: path], &random, isThorough: seed % 20 == 0) { moved in
                var other = exact
                other[keyPath: path] = moved
                return loss(other, pull)
            }
        }
        let states = exact.initialState ?? found.initialState.map { _ in DoubleDouble(0.0) }
        let ofStates = distance(found.initialState.converted(), states, &random, isThorough: false) { moved in
            var other = exact
            other.initialState = moved
            return loss(other, pull)
        }
        return [
            ("q", along(found.q, \.q)), ("k", along(found.k, \.k)), ("v", along(found.v, \.v)),
            ("g", along(found.logDecay, \.logDecay)), ("beta", along(found.beta, \.beta)), ("initial_state", ofStates),
        ]
    }

    @Test(arguments: 0..<3) func gradientsOfTheDeltaRuleAreTheDifferences(block: Int) {
        for seed in 0..<100 {
            let seed = UInt64(block * 100 + seed)
            let form: RecurrenceForm = [.recurrent, .chunked(size: 1 + Int(seed) % 5)][Int(seed / 2) % 2]
            for (name, error) in Self.distances(seed, form) {
                #expect(error < 1e-7, "grad_\(name) of case \(seed), \(form): \(error)")
            }
        }
    }

    /// Longer sequences, where there are checkpoints and chunks: both forms come to the same.
    @Test func formsBackwardsAgree() {
        var random = RandomSource(seed: 3)
        func normal(_ shape: [Int]) -> Tensor<Double> { Self.normal(shape, &random).converted() }
        let operands = DeltaOperands(
            q: normal([47, 1, 4]), k: normal([47, 1, 4]), v: normal([47, 2, 3]),
            logDecay: normal([47, 2]).map { -0.2 * $0.magnitude }, beta: normal([47, 2]).map { 0.5 + 0.2 * $0 },
            initialState: normal([3, 2, 4, 3]), sequences: [0..<20, 20..<21, 21..<47], scale: 0.5, epsilon: 1e-6)
        let upstream = DeltaUpstream(o: normal([47, 2, 3]), finalState: normal([3, 2, 4, 3]))
        let exact = operands.gradients(.recurrent, upstream: upstream)
        for size in [1, 7, 16, 64] {
            let other = operands.gradients(.chunked(size: size), upstream: upstream)
            for (a, b) in [
                (exact.q, other.q), (exact.k, other.k), (exact.v, other.v), (exact.logDecay, other.logDecay),
                (exact.beta, other.beta), (exact.initialState, other.initialState),
            ] {
                let largest = zip(a.elements, b.elements).map { ($0 - $1).magnitude }.max() ?? 1
                #expect(largest < 1e-12, "chunks of \(size): \(largest)")
            }
        }
    }

    /// A small call of attention with any of its options.
    static func attention(_ seed: UInt64) -> (AttentionOperands<DoubleDouble>, Tensor<DoubleDouble>) {
        var random = RandomSource(seed: seed)
        let (shared, group, batch) = (random.integer(in: 1...2), random.integer(in: 1...2), random.integer(in: 1...2))
        let (length, width, values) = (
            random.integer(in: 1...4), random.integer(in: 1...3), random.integer(in: 1...3)
        )
        let count = length + random.integer(in: 0...2)
        let operands = AttentionOperands(
            q: normal([batch, length, shared * group, width], &random),
            k: normal([batch, count, shared, width], &random), v: normal([batch, count, shared, values], &random),
            sinks: random.integer(in: 0...1) == 0 ? nil : normal([shared * group], &random),
            scale: random.uniform(in: 0.3...1.5), isCausal: random.integer(in: 0...3) > 0,
            window: random.integer(in: 0...1) == 0 ? nil : random.integer(in: 1...3),
            sinkTokens: random.integer(in: 0...1))
        return (operands, normal([batch, length, shared * group, values], &random))
    }

    @Test(arguments: 0..<3) func gradientsOfAttentionAreTheDifferences(block: Int) {
        for seed in 0..<100 {
            let seed = UInt64(block * 100 + seed)
            let (operands, pull) = Self.attention(seed)
            let found = operands.converted(to: Double.self).gradients(upstream: pull.converted())
            var random = RandomSource(seed: seed + 5000)
            func along(
                _ gradient: Tensor<Double>,
                _ path: WritableKeyPath<AttentionOperands<DoubleDouble>, Tensor<DoubleDouble>>
            ) -> Double {
                Self.distance(gradient.converted(), operands[keyPath: path], &random, isThorough: seed % 20 == 0) {
                    var other = operands
                    other[keyPath: path] = $0
                    return Self.inner(other.evaluate(), pull)
                }
            }
            var errors = [("q", along(found.q, \.q)), ("k", along(found.k, \.k)), ("v", along(found.v, \.v))]
            if let sinks = operands.sinks, let gradient = found.sinks {
                errors.append(
                    (
                        "sinks",
                        Self.distance(gradient.converted(), sinks, &random, isThorough: true) {
                            var other = operands
                            other.sinks = $0
                            return Self.inner(other.evaluate(), pull)
                        }
                    ))
            } else {
                #expect(operands.sinks == nil && found.sinks == nil)
            }
            for (name, error) in errors { #expect(error < 1e-7, "grad_\(name) of case \(seed): \(error)") }
        }
    }
}
