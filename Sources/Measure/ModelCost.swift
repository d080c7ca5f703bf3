//  Operations and bytes of a model, counted from its configuration.
//
//  A multiplication and an addition are two operations. For one token that sees n tokens (itself
//  among them), in every layer of a kind:
//
//  | layer | beside 2 operations a weight of its matrices                             |
//  |-------|---------------------------------------------------------------------------|
//  | *     | 4 H D n                     q·k and the weighted values                   |
//  | SWA   | 4 H D min(n, W)                                                           |
//  | M2    | 5 H P N                     decay, outer product, S C                     |
//  | GDN   | 7 H D²                      decay, Sᵀk, outer product, Sᵀq                |
//  | GKA   | (10 + 2 K) H D²             two decays and outer products, |G|, K products with G, Mᵀq |
//  | BMF   | 4 H D (min(n, W) + min(max(n - W, 0), W)) and its mixer's                 |
//
//  and 2 (W - 1) operations a channel of every convolution. A B'MOJO-F layer with tied projections
//  uses its k and v matrices twice. Norms, gates and the softmax are not counted, and neither is
//  the embedding's row.
//
//  Source: the 8B numbers of the released model follow from it, docs/layers.md.

import DualityCore

/// What a model costs on any machine.
public struct ModelCost: Sendable {
    public let configuration: HybridConfiguration
    /// All weights.
    public let parameters: Int
    /// Weights that one decoded token reads: all but the input embedding, which is read too where
    /// it is also the head.
    public let decodedParameters: Int
    /// Operations of the matrices for one token, the head's apart.
    private let linearOperations: Int
    private let headOperations: Int

    public init(_ configuration: HybridConfiguration) throws(InputError) {
        self.configuration = configuration
        let requirements = try WeightContract(configuration).requirements
        func count(_ isCounted: (WeightContract.Requirement) -> Bool) -> Int {
            requirements.filter(isCounted).reduce(0) { $0 + $1.count }
        }
        parameters = count { _ in true }
        let embedding = count { $0.component == .embedding }
        decodedParameters = configuration.tiedEmbeddings ? parameters : parameters - embedding
        headOperations = 2 * configuration.vocabularySize * configuration.hiddenSize
        let matrices = count {
            $0.shape.count == 2 && $0.component != .embedding && $0.component != .head && !$0.name.hasSuffix("_rep")
        }
        let twice = configuration.layers.count { $0 == .bmojo } * 2 * configuration.keyValueSize
        linearOperations =
            2 * (matrices + (configuration.bmojo.tiesAttention ? twice * configuration.hiddenSize : 0))
    }

    /// Operations of one token that sees `n` tokens, itself among them, head and all.
    public func operationsPerToken(context n: Int) -> Double {
        Double(linearOperations + headOperations) + mixing { Double($0(n)) }
    }

    /// Operations of reading `n` tokens and scoring the last.
    public func operationsOfPrompt(_ n: Int) -> Double {
        // Every count above is constant, linear or capped in n; their sums over 1 … n are exact in
        // closed form.
        Double(n * linearOperations + headOperations)
            + mixing { perToken in
                // Linear between the multiples of a window, so each stretch sums as a trapezoid.
                var total = 0.0
                var first = 1
                let bends = [
                    configuration.slidingWindow ?? 0, configuration.bmojo.window, 2 * configuration.bmojo.window, n,
                ]
                for end in bends.filter({ (1...n).contains($0) }).sorted() where end >= first {
                    total += Double(end - first + 1) * Double(perToken(first) + perToken(end)) / 2
                    first = end + 1
                }
                return total
            }
    }

    /// Sum over layers of a function of their operations at a context.
    private func mixing(_ evaluate: ((Int) -> Int) -> Double) -> Double {
        var total = 0.0
        for kind in Set(configuration.layers) {
            let count = configuration.layers.count { $0 == kind }
            total += Double(count) * evaluate { self.mixing(kind, context: $0) }
        }
        return total
    }

    private func mixing(_ kind: LayerKind, context n: Int) -> Int {
        let (inner, square) = (configuration.innerSize, configuration.innerSize * configuration.headDim)
        let convolution = 2 * configuration.cacheSize(of: kind, tokens: 1).convolutionWindow
        switch kind {
        case .attention: return 4 * inner * n
        case .slidingWindowAttention: return 4 * inner * min(n, configuration.slidingWindow ?? n)
        case .mamba2:
            let shape = configuration.mamba2Shape
            return 5 * shape.innerSize * shape.stateDim + convolution
        case .gatedDeltaNet: return 7 * square + convolution
        case .gatedKalmaNet: return (10 + 2 * configuration.gatedKalmaNet.iterations) * square + convolution
        case .bmojo:
            let window = configuration.bmojo.window
            let seen = min(n, window) + min(max(n - window, 0), window)
            return 4 * inner * seen + mixing(configuration.bmojo.mixer, context: n)
        }
    }
}

/// A machine, as far as these predictions know it.
public struct Machine: Sendable, Equatable {
    public var name: String
    /// Bytes a second from main memory.
    public var bandwidth: Double
    /// Operations per second in the format of the weights.
    public var operations: Double
    /// Bytes of main memory.
    public var memory: Double

    public init(name: String, bandwidth: Double, operations: Double, memory: Double) {
        self.name = name
        self.bandwidth = bandwidth
        self.operations = operations
        self.memory = memory
    }

    /// Eight H200 of one server, dense bfloat16: what the published ratios were measured on.
    public static let eightH200 = Machine(
        name: "8x H200", bandwidth: 8 * 4.8e12, operations: 8 * 989e12, memory: 8 * 141e9)
}

extension ModelCost {
    /// Bytes that one decoded token of one sequence moves: the weights, its keys and values read
    /// once, its states read and written.
    public func decodedBytes(context n: Int, bytesPerWeight: Double, keyValueBits: Int) -> (
        weights: Double, cache: Double
    ) {
        let cache = configuration.cacheSize(tokens: n)
        let states = 4 * (cache.state + cache.convolutionWindow)
        return (Double(decodedParameters) * bytesPerWeight, Double(cache.keysAndValues * keyValueBits / 8 + 2 * states))
    }

    /// Tokens a second of one sequence, at the slower of memory and arithmetic.
    public func decodeSpeed(
        context n: Int, on machine: Machine, bytesPerWeight: Double = 2, keyValueBits: Int = 16
    ) -> Double {
        let bytes = decodedBytes(context: n, bytesPerWeight: bytesPerWeight, keyValueBits: keyValueBits)
        return 1
            / max(
                (bytes.weights + bytes.cache) / machine.bandwidth, operationsPerToken(context: n) / machine.operations)
    }

    /// Tokens a second of as many sequences as memory holds; nil where it does not hold one.
    public func saturatedSpeed(
        context n: Int, on machine: Machine, bytesPerWeight: Double = 2, keyValueBits: Int = 16
    ) -> Double? {
        let weights = Double(parameters) * bytesPerWeight
        let cache = Double(configuration.cacheSize(tokens: n).bytes(keyValueBits: keyValueBits))
        let sequences = ((machine.memory - weights) / cache).rounded(.down)
        guard sequences >= 1 else { return nil }
        let bytes = decodedBytes(context: n, bytesPerWeight: bytesPerWeight, keyValueBits: keyValueBits)
        let seconds = max(
            (bytes.weights + sequences * bytes.cache) / machine.bandwidth,
            sequences * operationsPerToken(context: n) / machine.operations)
        return sequences / seconds
    }

    /// Seconds to read a prompt of `n` tokens, at the slower of one pass over the weights and the
    /// arithmetic.
    public func promptSeconds(_ n: Int, on machine: Machine, bytesPerWeight: Double = 2) -> Double {
        max(
            Double(decodedParameters) * bytesPerWeight / machine.bandwidth,
            operationsOfPrompt(n) / machine.operations)
    }
}
