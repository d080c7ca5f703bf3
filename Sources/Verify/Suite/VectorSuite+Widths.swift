//  Test vectors of the widths that models have: a kernel that was built for P = 64 and N = 128 cuts
//  a wider head or state to its block, and is right everywhere else.
//
//      P   64 most Mamba-2 models, 80 Nemotron, 96, 128 hybrids, 160, 192, 256
//      N   16 Mamba, 64 small models, 128 Mamba-2, 256 Falcon-H1, and widths between that are no power of two

import DualityCore

extension VectorSuite {
    /// Heads and states of many widths, on sequences that are just longer than a chunk of 32.
    static let widths: [VectorCase] =
        [
            (64, 16), (64, 64), (64, 128), (64, 256), (80, 128), (96, 96), (128, 128), (128, 256), (160, 48),
            (192, 64), (256, 32), (256, 128), (8, 80), (8, 112), (16, 96), (16, 160), (16, 192), (16, 224), (16, 256),
        ].map { headDim, stateDim in
            .scan("width-\(headDim)x\(stateDim)", "heads of \(headDim) and states of \(stateDim)") {
                ($0.heads, $0.xHeads, $0.bHeads, $0.cHeads) = (2, 2, 1, 1)
                ($0.length, $0.chunkSize, $0.headDim, $0.stateDim) = (35, 32, headDim, stateDim)
            }
        }
        + [(64, 128), (64, 256), (80, 128), (96, 96), (192, 160)].map { headDim, stateDim in
            .scan(
                "step-width-\(headDim)x\(stateDim)", "single steps of heads of \(headDim) and states of \(stateDim)",
                kind: .step
            ) {
                ($0.heads, $0.xHeads, $0.bHeads, $0.cHeads) = (2, 2, 1, 1)
                ($0.length, $0.headDim, $0.stateDim, $0.gate) = (3, headDim, stateDim, true)
            }
        }
        + [(64, 128), (80, 96), (16, 256)].map { headDim, stateDim in
            gradient(
                "grad-width-\(headDim)x\(stateDim)",
                "the backward pass of heads of \(headDim) and states of \(stateDim)"
            ) {
                ($0.heads, $0.xHeads, $0.bHeads, $0.cHeads) = (2, 2, 1, 1)
                ($0.length, $0.chunkSize, $0.headDim, $0.stateDim) = (20, 16, headDim, stateDim)
            }
        }
}
