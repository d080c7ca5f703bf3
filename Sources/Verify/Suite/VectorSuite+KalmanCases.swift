//  The cases of Gated KalmaNet that the standard suite has.

import DualityCore

extension VectorSuite {
    static let kalman: [VectorCase] =
        kalmanLengths + kalmanShapes + kalmanGates + kalmanSolver + kalmanKeys + kalmanPackings + kalmanSteps

    private static let kalmanLengths: [VectorCase] = [1, 2, 15, 16, 17, 32, 49].map { length in
        .kalman("kalman-length-\(length)", "lengths around multiples of the chunk") { $0.length = length }
    }

    private static let kalmanShapes: [VectorCase] =
        [
            .kalman("kalman-plain", "the operator with nothing optional, as a prefill has it") {
                ($0.stateScale, $0.iterations) = (0, 30)
            },
            .kalman("kalman-bare", "no gates and no state: ridge regression over all that was read") {
                ($0.alpha, $0.beta, $0.decay, $0.stateScale) = (nil, nil, nil, 0)
            },
            .kalman("kalman-batch", "an index that mixes rows of the batch") { ($0.batch, $0.length) = (3, 12) },
            .kalman("kalman-shared-keys", "four heads on two of keys and values") {
                ($0.heads, $0.keyHeads, $0.valueHeads, $0.length) = (4, 2, 2, 20)
            },
            .kalman("kalman-shared-values", "keys of one head, values of two") {
                ($0.heads, $0.keyHeads, $0.valueHeads, $0.length) = (4, 1, 2, 20)
            },
            .kalman("kalman-odd-dims", "tiles that do not divide D and V") { ($0.keyDim, $0.valueDim) = (7, 5) },
            .kalman("kalman-tiny-dims", "D = V = 1") { ($0.keyDim, $0.valueDim) = (1, 1) },
            .kalman("kalman-wide-values", "D and V that differ") { ($0.keyDim, $0.valueDim, $0.length) = (8, 24, 20) },
        ]
        + [(16, 40), (32, 35), (64, 19), (128, 9)].map { width, length in
            .kalman("kalman-width-\(width)", "heads of \(width), as many steps as models make") {
                ($0.keyDim, $0.valueDim, $0.length, $0.iterations) = (width, width, length, 30)
                if width > 32 { ($0.heads, $0.keyHeads, $0.valueHeads) = (1, 1, 1) }
            }
        }

    private static let kalmanGates: [VectorCase] =
        [("1e-8", 1e-8), ("1e-3", 1e-3), ("0.5", 0.5), ("8", 8), ("200", 200)].map { word, decay in
            .kalman("kalman-decay-\(word)", "-g around \(word) a token") { $0.decay = decay }
        }
        + [
            .kalman("kalman-decay-none", "states that nothing forgets") { $0.decay = nil },
            .kalman("kalman-gram-not-decayed", "a memory that decays beside a Gram matrix that does not") {
                ($0.decaysGram, $0.decay) = (false, 0.2)
            },
            .kalman("kalman-beta-small", "keys and values that are next to nothing") { $0.beta = 1e-3...1e-2 },
            .kalman("kalman-beta-vanishing", "gates at 0, where 1e-6 is all there is of a key") {
                ($0.beta, $0.stateScale, $0.length) = (0...1e-6, 0, 12)
            },
            .kalman("kalman-beta-one", "gates near 1") { $0.beta = 0.98...1 },
            .kalman("kalman-beta-mixed", "gates from 0 to 1 beside each other") { $0.beta = 0...1 },
            .kalman("kalman-alpha-zero", "gates at 0: the query as it is") { $0.alpha = 0...1e-3 },
            .kalman("kalman-alpha-one", "the solution alone") { $0.alpha = 0.99...1 },
        ]

    private static let kalmanSolver: [VectorCase] =
        [0, 1, 2, 5, 20, 30, 60].map { iterations in
            .kalman("kalman-iterations-\(iterations)", "\(iterations) steps of the solver") {
                ($0.iterations, $0.length, $0.alpha) = (iterations, 20, 0.5...1)
            }
        }
        + [("0", 0.0), ("1e-3", 1e-3), ("0.1", 0.1), ("1", 1), ("20", 20)].map { word, ridge in
            .kalman("kalman-ridge-\(word)", "a ridge of \(word) times the norm") {
                ($0.ridge, $0.length, $0.iterations) = (ridge, 20, 8)
            }
        }

    private static let kalmanKeys: [VectorCase] = [
        .kalman("kalman-keys-repeated", "keys that come again: a Gram matrix of low rank") {
            ($0.keys, $0.beta, $0.decay, $0.stateScale) = (.repeated, 0.5...1, 1e-3, 0)
        },
        .kalman("kalman-keys-aligned", "keys of nearly one direction: the worst condition") {
            ($0.keys, $0.beta, $0.decay, $0.stateScale) = (.aligned, 0.8...1, 1e-3, 0)
        },
        .kalman("kalman-keys-orthogonal", "unit vectors in turn") { ($0.keys, $0.stateScale) = (.orthogonal, 0) },
        .kalman("kalman-keys-sparse", "keys of which most numbers are zero") { $0.keys = .sparseButOne },
        .kalman("kalman-keys-normalised", "q and k that come normalised") { $0.normalizes = false },
        .kalman("kalman-keys-short", "keys and queries of norm 0.3, normalised by nobody") {
            ($0.normalizes, $0.keyNorm) = (false, 0.3)
        },
        .kalman("kalman-keys-long", "keys and queries of norm 5, normalised by nobody") {
            ($0.normalizes, $0.keyNorm) = (false, 5)
        },
        .kalman("kalman-epsilon", "q and k so small that the epsilon of their norms decides") {
            ($0.rawScale, $0.length) = (2e-6, 20)
        },
        .kalman("kalman-large", "q and k of thousands, which their norms take off") {
            ($0.rawScale, $0.length) = (4096, 20)
        },
        .kalman("kalman-scale", "a scale of o that is none of 1 / sqrt(D)") { ($0.scale, $0.length) = (0.75, 20) },
        .kalman("kalman-states-large", "initial states that drown the keys") { ($0.stateScale, $0.length) = (100, 20) },
        .kalman("kalman-states-small", "initial states that are next to nothing") { $0.stateScale = 1e-3 },
    ]

    private static let kalmanPackings: [VectorCase] = [
        .kalman("kalman-packed", "packed boundaries around the chunk") {
            ($0.cuts, $0.length, $0.decay) = ([1, 15, 17, 32, 40], 49, 0.01)
        },
        .kalman("kalman-packed-no-state", "packed sequences that begin from nothing") {
            ($0.cuts, $0.stateScale, $0.decay) = ([10, 25], 0, 0.01)
        },
    ]

    private static let kalmanSteps: [VectorCase] = [
        .kalman("kalman-step", "a single token behind given states, as decoding has it") {
            ($0.length, $0.batch, $0.iterations) = (1, 3, 30)
        },
        .kalman("kalman-steps", "a few tokens behind given states: all of them move both states") {
            ($0.length, $0.batch, $0.iterations) = (5, 2, 30)
        },
        .kalman("kalman-steps-many", "states that are stored narrowly lose their digits token by token") {
            ($0.length, $0.decay, $0.beta) = (64, 1e-3, 0.01...0.2)
        },
    ]
}
