//  The recurrences over a matrix-valued state, 32 heads of 128 with keys and values of their own.

import DualityKernels
import Measure

/// Seconds of the gated delta rule and of Gated KalmaNet from an empty state.
struct Recurrences {
    let machine: Machine
    let length: Int64
    private let heads: Int64 = 32
    private let dim: Int64 = 128

    /// [length][heads width] of numbers in -1 ..< 1.
    private func operand(_ width: Int64, _ seed: UInt64) -> UnsafeMutablePointer<Float> {
        let count = Int(length * heads * width)
        let values = memory(count, of: Float.self)
        var random = RandomWords()
        for _ in 0..<seed { _ = random.next() }
        for i in 0..<count { values[i] = Float(Int64(bitPattern: random.next()) >> 40) / Float(1 << 23) }
        return values
    }

    /// Decays near exp(-0.05 … -0.8), as trained models have them.
    private func gates() -> (rates: UnsafeMutablePointer<Float>, bias: UnsafeMutablePointer<Float>) {
        let (rates, bias) = (memory(Int(heads), of: Float.self), memory(Int(heads), of: Float.self))
        for h in 0..<Int(heads) { (rates[h], bias[h]) = (-Float(h % 16 + 1), -3) }
        return (rates, bias)
    }

    private var shape: dk_rule_shape { dk_rule_shape(heads: heads, kHeads: heads, vHeads: heads, headDim: dim) }

    private func state() -> UnsafeMutablePointer<Float> { memory(Int(heads * dim * dim), of: Float.self) }

    func delta(repeats: Int, clock: Clock) -> [Double] {
        let (width, states) = (heads * dim, state())
        let (rates, bias) = gates()
        let operands = dk_delta_operands(
            tokens: length, q: operand(dim, 1), ldq: width, k: operand(dim, 2), ldk: width, v: operand(dim, 3),
            ldv: width, beta: operand(1, 4), ldbeta: heads, decay: operand(1, 5), lddecay: heads, rates: rates,
            dtBias: bias, reach: 1, o: operand(dim, 6), ldo: width)
        return machine.times(repeats: repeats, clock: clock) { _, thread in
            var (shape, operands) = (shape, operands)
            let range = machine.range(heads, thread)
            machine.kernels.delta_extend(
                &shape, states, &operands, range.lowerBound, range.upperBound, machine.workspaces[thread])
        }
    }

    func kalma(repeats: Int, iterations: Int64, clock: Clock) -> [Double] {
        let (width, grams, memories) = (heads * dim, state(), state())
        let (rates, bias) = gates()
        let operands = dk_kalma_operands(
            tokens: length, q: operand(dim, 1), ldq: width, k: operand(dim, 2), ldk: width, v: operand(dim, 3),
            ldv: width, alpha: operand(1, 4), ldalpha: heads, beta: operand(1, 5), ldbeta: heads, decay: operand(1, 6),
            lddecay: heads, rates: rates, dtBias: bias, decaysGram: true, iterations: iterations, ridge: 0.02,
            scale: 1 / Float(dim).squareRoot(), logDecaySum: nil, o: operand(dim, 7), ldo: width)
        return machine.times(repeats: repeats, clock: clock) { _, thread in
            var (shape, operands) = (shape, operands)
            let range = machine.range(heads, thread)
            machine.kernels.kalma_extend(
                &shape, grams, memories, &operands, range.lowerBound, range.upperBound, machine.workspaces[thread])
        }
    }
}
