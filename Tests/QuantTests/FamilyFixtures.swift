//  Small models of every kind of layer and option that the fast engine has, odd on purpose.

import DualityCore
import DualityReference
import TestSupport
import Testing

@testable import DualityQuant

/// A configuration with a name for messages.
struct OddModel: Sendable, CustomTestStringConvertible {
    let name: String
    var configuration: HybridConfiguration

    init(
        _ name: String, _ layers: [LayerKind], window: Int = 5, _ change: (inout HybridConfiguration) -> Void = { _ in }
    ) {
        self.name = name
        configuration = HybridConfiguration(
            vocabularySize: 40, hiddenSize: 20, intermediateSize: 12, layers: layers, headCount: 4,
            keyValueHeadCount: 2, headDim: 6, maxPositions: 4096, rope: RopeParameters(theta: 100))
        configuration.slidingWindow = window
        configuration.bmojo.window = window
        configuration.gatedKalmaNet.iterations = 12
        change(&configuration)
    }

    var testDescription: String { name }

    /// Plain Mamba-2 with G groups and a norm over `gatedNormGroup` channels.
    static func plain(_ name: String, groups: Int, gatedNormGroup: Int, _ limit: ClosedRange<Double>) -> OddModel {
        OddModel(name, [.mamba2, .mamba2]) {
            $0.keyValueHeadCount = 4
            $0.intermediateSize = 0
            $0.mamba2.normalizesBC = false
            $0.plainMamba2 = PlainMamba2Parameters(
                stateDim: 10, groups: groups, gatedNormGroup: gatedNormGroup, stepLimit: limit)
        }
    }

    static let all: [OddModel] = [
        OddModel("GDN", [.gatedDeltaNet, .attention]),
        OddModel("GDN, expanded", [.gatedDeltaNet]) { $0.gatedDeltaNet.expansion.rank = 3 },
        OddModel("GDN, bare", [.gatedDeltaNet]) {
            $0.gatedDeltaNet.usesGate = false
            $0.gatedDeltaNet.usesConvolution = false
            $0.gatedDeltaNet.allowsNegativeEigenvalues = true
        },
        OddModel("GKA", [.gatedKalmaNet, .attention]),
        OddModel("GKA, expanded", [.gatedKalmaNet]) {
            $0.gatedKalmaNet.expansion.rank = 2
            $0.gatedKalmaNet.expansion.learnsResidual = true
        },
        OddModel("GKA, bare", [.gatedKalmaNet]) {
            $0.gatedKalmaNet.usesGate = false
            $0.gatedKalmaNet.usesAlpha = false
            $0.gatedKalmaNet.usesBeta = false
            $0.gatedKalmaNet.convolvesValues = false
            $0.gatedKalmaNet.rescales = false
            $0.gatedKalmaNet.decaysGram = false
        },
        OddModel("GKA without decay", [.gatedKalmaNet]) { $0.gatedKalmaNet.decays = false },
        OddModel("GKA without iterations", [.gatedKalmaNet]) { $0.gatedKalmaNet.iterations = 0 },
        OddModel("BMF of M2", [.bmojo]),
        OddModel("BMF of GDN", [.bmojo], window: 130) { $0.bmojo.mixer = .gatedDeltaNet },
        OddModel("BMF of GKA, untied", [.bmojo, .attention]) {
            $0.bmojo.mixer = .gatedKalmaNet
            $0.bmojo.tiesAttention = false
            $0.attentionBias = true
        },
        OddModel("BMF of one token", [.bmojo], window: 1),
        OddModel("SWA", [.slidingWindowAttention, .attention]),
        OddModel("SWA of one token", [.slidingWindowAttention], window: 1),
        OddModel("SWA of 140 tokens", [.slidingWindowAttention, .mamba2], window: 140),
        plain("plain Mamba-2, one group", groups: 1, gatedNormGroup: 24, 0...Double.infinity),
        plain("plain Mamba-2, two groups", groups: 2, gatedNormGroup: 12, 0.001...0.1),
    ]

    func checkpoint(seed: UInt64 = 1) throws -> RandomCheckpoint { try RandomCheckpoint(configuration, seed: seed) }

    func fast(_ precision: EnginePrecision = .f32, threads: Int = 2) throws -> QuantModel {
        try fast(PrecisionPlan(precision, group: 32), threads: threads)
    }

    func fast(_ plan: PrecisionPlan, threads: Int = 2) throws -> QuantModel {
        try QuantModel(
            checkpoint(), configuration: configuration,
            options: QuantOptions(plan: plan, pool: ThreadPool(threads: threads)))
    }

    func tokens(_ count: Int) -> [Int] { (0..<count).map { ($0 * 7 + $0 / 3) % configuration.vocabularySize } }
}
