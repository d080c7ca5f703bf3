//  Test vectors of the backward pass: the operands of a scan, and what a loss says about its
//  outputs.

import DualityCore
import DualityReference

extension VectorSuite {
    static let gradients: [VectorCase] =
        [
            gradient("grad-plain", "the backward pass with nothing optional") {
                ($0.bias, $0.skip, $0.stateScale) = (false, .none, 0)
            },
            gradient(
                "grad-everything", "the backward pass with a gate, a skip for each channel, a bias and an initial state"
            ) {
                ($0.gate, $0.skip) = (true, .channel)
            },
            gradient("grad-hybrid", "gradients that are sums over the heads that share x and B") {
                ($0.heads, $0.xHeads, $0.bHeads, $0.cHeads, $0.headDim, $0.stateDim) = (8, 2, 2, 8, 8, 8)
            },
            gradient("grad-batch", "gradients of parameters, which are sums over the batch") {
                ($0.batch, $0.length) = (3, 50)
            },
            gradient("grad-fast", "the backward pass of strong decay") { $0.decay = 10 },
            gradient("grad-slow", "the backward pass of a long memory") { $0.decay = 1e-4 },
            gradient("grad-packed", "gradients that stop at packed boundaries") {
                ($0.cuts, $0.decay) = ([20, 64, 90], 0.01)
            },
            gradient("grad-no-states", "the backward pass without states at either end, over three chunks") {
                ($0.stateScale, $0.chunkSize, $0.length) = (0, 32, 75)
            },
            gradient("grad-long", "the backward pass through many states of chunks") {
                ($0.chunkSize, $0.length, $0.headDim, $0.stateDim, $0.decay) = (16, 131, 4, 8, 0.02)
            },
            gradient("grad-limit", "steps that the clamp holds, whose gradient is zero", limits: "0.25,0.875") { _ in },
        ] + lengths

    /// Lengths around the chunk: where the last one is full, misses a token, or is one token.
    private static let lengths: [VectorCase] = [1, 2, 31, 32, 33, 64, 65].map { length in
        gradient("grad-length-\(length)", "the backward pass of lengths around the chunk") {
            ($0.length, $0.chunkSize, $0.gate, $0.heads, $0.xHeads, $0.batch) = (length, 32, true, 4, 2, 2)
        }
    }

    static func gradient(
        _ name: String, _ catches: String, limits: String? = nil, _ describe: (inout SSDCase) -> Void
    ) -> VectorCase {
        .scan(name, catches, kind: .gradients, limits: limits) {
            ($0.length, $0.headDim, $0.stateDim) = (97, 8, 16)
            describe(&$0)
        } adjust: { operands, _ in
            let rows = operands.tensors["x"]?.shape[0] ?? 1
            operands.keepStatesOfRows(rows)
            guard let x = operands.tensors["x"], let dt = operands.tensors["dt"], let b = operands.tensors["B"] else {
                return
            }
            let random = RandomSource(seed: 99).stream(name)
            func draw(_ name: String, _ shape: [Int]) -> Tensor<Double> {
                var source = random.stream(name)
                return Tensor(repeating: 0.0, shape: shape).map { _ in source.normal() }
            }
            operands.tensors["dout"] = draw("dout", [x.shape[0], x.shape[1], dt.shape[2], x.shape[3]])
            operands.tensors["dfinal_states"] = draw(
                "dfinal_states", [x.shape[0], dt.shape[2], x.shape[3], b.shape[3]])
        }
    }
}
