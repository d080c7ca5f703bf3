//  Operations, memory and predictions of the family, against the figures worked out by hand in the
//  specification.

import DualityCore
import Testing

@testable import DualityMeasure

@Suite struct ModelCostTests {
    private func members() throws -> [LayerKind?: ModelCost] {
        Dictionary(uniqueKeysWithValues: try FamilyMember.all(of: FamilyMember.released).map { ($0.kind, $0.cost) })
    }

    @Test func theReleasedModelCostsWhatWasWorkedOut() throws {
        let mamba = try #require(try members()[.mamba2])
        #expect(mamba.parameters == 8_495_712_960)
        // Linear operations with the head, 18 attention layers at n tokens, 18 scans; convolutions
        // of four taps beside.
        let rest = Double(15_744_892_928 + 18 * 2_621_440 + 18 * 6144 * 6)
        #expect(mamba.operationsPerToken(context: 1) == rest + 294_912)
        #expect(mamba.operationsPerToken(context: 131_072) == rest + 294_912 * 131_072)
        let cache = mamba.configuration.cacheSize(tokens: 32768)
        #expect(cache.bytes(keyValueBits: 16) - 4 * (cache.state + cache.convolutionWindow) == 9 << 28)  // 2.25 GiB
        #expect(4 * cache.state == 36 << 20)
    }

    @Test func siblingsHaveTheirParametersAndStates() throws {
        let members = try members()
        let parameters = [
            (nil, 8_190_735_360), (LayerKind.gatedDeltaNet, 8_497_885_056), (.gatedKalmaNet, 8_500_245_504),
            (.bmojo, 9_255_224_832), (.slidingWindowAttention, 8_190_735_360),
        ]
        for (kind, count) in parameters { #expect(members[kind]?.parameters == count) }
        func state(_ kind: LayerKind) -> Int? { members[kind]?.configuration.cacheSize(tokens: 9).state }
        #expect(state(.gatedDeltaNet) == state(.mamba2))
        #expect(state(.gatedKalmaNet) == state(.mamba2).map { 2 * $0 } && state(.bmojo) == state(.gatedKalmaNet))
    }

    /// What the recurrences of a head do, operation by operation: `i` runs over keys (or N), `j`
    /// over values (or P).
    private func recurrence(_ kind: LayerKind, dim: Int, iterations: Int) -> Int {
        var operations = 0
        for _ in 0..<dim {
            for _ in 0..<dim {
                let (multiply, multiplyAdd) = (1, 2)
                switch kind {
                case .mamba2: operations += multiply + multiplyAdd + multiplyAdd  // e^a S, + x Bᵀ, S C
                case .gatedDeltaNet:
                    operations += multiply  // e^γ S
                    operations += multiplyAdd  // Sᵀ k
                    operations += multiplyAdd  // S + k δᵀ
                    operations += multiplyAdd  // Sᵀ q
                case .gatedKalmaNet:
                    operations += 2 * (multiply + multiplyAdd)  // e^γ G + k kᵀ, e^γ M + k vᵀ
                    operations += multiplyAdd  // |G|²
                    for _ in 0..<iterations { operations += multiplyAdd }  // G x
                    operations += multiplyAdd  // Mᵀ y
                default: break
                }
            }
        }
        return operations
    }

    @Test(arguments: [LayerKind.mamba2, .gatedDeltaNet, .gatedKalmaNet, .attention])
    func aTokenCostsItsMatricesAndItsRecurrence(kind: LayerKind) throws {
        var configuration = HybridConfiguration(
            vocabularySize: 30, hiddenSize: 12, intermediateSize: 9, layers: [kind], headCount: 4, keyValueHeadCount: 2,
            headDim: 5)
        configuration.gatedKalmaNet.iterations = 7
        let (width, inner, shared, heads, dim) = (12, 20, 10, 4, 5)
        var matrices = 30 * width + 3 * width * 9  // the head, the MLP
        switch kind {
        case .mamba2: matrices += (2 * inner + 2 * shared + heads) * width + inner * width
        case .attention: matrices += 2 * inner * width + 2 * shared * width
        // q, k, v, o, the gate; a number a head for β and γ, and in GKA for α
        case .gatedDeltaNet: matrices += (3 * inner + 2 * shared + 2 * heads) * width
        default: matrices += (3 * inner + 2 * shared + 3 * heads) * width
        }
        let convolved = kind == .attention ? 0 : 6 * (inner + 2 * shared)
        let seen = 9
        let scores = kind == .attention ? heads * seen * 4 * dim : 0  // q·k, and its share of the values
        let mixing = heads * recurrence(kind, dim: dim, iterations: 7) + convolved + scores
        let cost = try ModelCost(configuration)
        #expect(cost.operationsPerToken(context: seen) == Double(2 * matrices + mixing))
    }

    /// The closed form against the sum it stands for.
    @Test func aPromptCostsTheSumOfItsTokens() throws {
        for (kind, cost) in try members() {
            for length in [1, 7, 2047, 2048, 2049, 4096, 5000] {
                let head = 2.0 * 151_936 * 4096
                let sum = (1...length).reduce(head) { $0 + cost.operationsPerToken(context: $1) - head }
                let error = (cost.operationsOfPrompt(length) / sum - 1).magnitude
                #expect(error < 1e-12, "\(kind?.rawValue ?? "dense"), \(length) tokens: \(error)")
            }
        }
    }

    @Test func predictionsFollowFromTheMachine() throws {
        let members = try members()
        let (dense, mamba) = (try #require(members[nil]), try #require(members[.mamba2]))
        let slow = Machine(name: "test", bandwidth: 1e9, operations: 1e30, memory: 64e9)
        // Memory alone counts: weights but the embedding, keys and values, states twice.
        let weights = 2.0 * Double(8_495_712_960 - 622_329_856)
        let states = 2.0 * 4 * Double(9_437_184 + 18 * 6144 * 3)
        let bytes = weights + Double(73_728 * 4096) + states
        #expect((mamba.decodeSpeed(context: 4096, on: slow) * bytes / 1e9 - 1).magnitude < 1e-12)
        let counting = Machine(name: "test", bandwidth: 1e30, operations: 1e12, memory: 64e9)
        let operations = dense.operationsOfPrompt(1000)
        #expect((dense.promptSeconds(1000, on: counting) * 1e12 / operations - 1).magnitude < 1e-12)
        #expect(dense.saturatedSpeed(context: 1 << 20, on: slow) == nil, "not one sequence fits")
        // At long contexts memory holds twice the sequences, and each token moves half the bytes.
        let ratio =
            try #require(mamba.saturatedSpeed(context: 131_072, on: .eightH200))
            / #require(dense.saturatedSpeed(context: 131_072, on: .eightH200))
        #expect((1.9...2.4).contains(ratio), "\(ratio)")
        var plain = FamilyMember.released
        plain.plainMamba2 = PlainMamba2Parameters(stateDim: 1, groups: 1, gatedNormGroup: 1)
        #expect(throws: InputError.self) { try FamilyMember.all(of: plain) }
    }
}
