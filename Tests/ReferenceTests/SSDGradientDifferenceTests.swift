import DualityCore
import TestSupport
import Testing

@testable import DualityReference

/// A small seeded call of the operator with any of its options, away from the kinks of the step,
/// and a loss on it.
struct SSDGradientCase: Sendable, CustomTestStringConvertible {
    let seed: UInt64
    let inputs: SSDInputs<Double>
    let upstream: SSDUpstream<Double>
    let form: SSDForm

    var testDescription: String {
        "seed=\(seed) L=\(inputs.length) H=\(inputs.heads) P=\(inputs.headDim) N=\(inputs.stateDim) \(form)"
    }

    init(seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        func normal(_ shape: [Int]) -> Tensor<Double> {
            var tensor = Tensor(repeating: 0.0, shape: shape)
            for i in tensor.elements.indices { tensor.elements[i] = random.normal() }
            return tensor
        }
        func pick(_ range: ClosedRange<Int>) -> Int { random.integer(in: range) }
        let (batch, length, heads) = (pick(1...2), pick(1...6), pick(1...3))
        let (headDim, stateDim) = (pick(1...3), pick(1...3))
        let (xHeads, bHeads, cHeads) = (pick(1...heads), pick(1...heads), pick(1...heads))
        let map = try HeadMap(
            x: (0..<heads).map { _ in pick(0...xHeads - 1) }, b: (0..<heads).map { _ in pick(0...bHeads - 1) },
            c: (0..<heads).map { _ in pick(0...cHeads - 1) })

        let softplus = pick(0...3) > 0
        let limits: ClosedRange<Double> = pick(0...1) == 0 ? 0...(.infinity) : 0.4...1.5
        let dtBias = pick(0...3) > 0 ? normal([heads]) : nil
        func isSmooth(_ u: Double) -> Bool {
            let step = softplus ? Double.thresholdedSoftplus(u) : u
            return [20 - u, limits.lowerBound - step, limits.upperBound - step].allSatisfy { $0.magnitude > 0.05 }
        }
        var dt = normal([batch, length, heads])
        for i in dt.elements.indices {
            var u = 0.0
            repeat {
                u = pick(0...15) == 0 ? random.uniform(in: 19...21) : 0.5 + 1.5 * random.normal()
            } while !isSmooth(u)
            dt.elements[i] = u - (dtBias?.elements[i % heads] ?? 0)
        }

        var ids = Tensor(repeating: 0, shape: [batch, length])
        for i in ids.elements.indices where i % length > 0 { ids.elements[i] = ids.elements[i - 1] + pick(0...3) / 3 }
        let packing = pick(0...1) == 0 ? nil : try Packing(sequenceIds: ids)
        let sequences = packing?.count ?? batch
        let states = pick(0...1) == 0 ? batch : sequences

        let strength = Double.pow(10, random.uniform(in: -1...0.5))
        inputs = try SSDInputs(
            x: normal([batch, length, xHeads, headDim]), dt: dt,
            a: normal([heads]).map { -strength * (0.2 + min($0.magnitude, 1)) },
            b: normal([batch, length, bHeads, stateDim]), c: normal([batch, length, cHeads, stateDim]),
            d: [nil, normal([heads]), normal([heads, headDim])][pick(0...2)],
            z: pick(0...1) == 0 ? nil : normal([batch, length, heads, headDim]), dtBias: dtBias,
            initialState: pick(0...1) == 0 ? nil : normal([states, heads, headDim, stateDim]), packing: packing,
            headMap: map,
            dtSoftplus: softplus, dtLimit: limits)
        let what = pick(0...5)  // what the loss looks at
        upstream = SSDUpstream(
            y: what == 0 ? nil : normal([batch, length, heads, headDim]),
            finalState: what == 1 ? nil : normal([batch, heads, headDim, stateDim]),
            sequenceStates: pick(0...2) > 0 ? nil : normal([sequences, heads, headDim, stateDim]))
        form = [.recurrent, .chunked(size: pick(1...5)), .quadratic][pick(0...2)]
        self.seed = seed
    }
}

extension SSDGradientCase {
    /// Distance of each gradient from the differences of the forward pass, relative to its norm.
    func distances(of gradients: SSDGradients<Double>) throws -> [(name: String, error: Double)] {
        let weights =
            (upstream.y?.elements ?? []) + (upstream.finalState?.elements ?? [])
            + (upstream.sequenceStates?.elements ?? [])
        // Rounding of the outputs hides a gradient that is next to nothing: all of it decayed, or
        // all of it cancelled.
        let floor = 1e-5 * norm(weights)
        func outputs(_ inputs: SSDInputs<Double>) throws -> [Double] {
            let outputs = try SSDForm.recurrent.evaluate(inputs)
            return (upstream.y == nil ? [] : outputs.y.elements)
                + (upstream.finalState == nil ? [] : outputs.finalState.elements)
                + (upstream.sequenceStates == nil ? [] : outputs.sequenceStates.elements)
        }
        func distance(
            _ gradient: Tensor<Double>?, _ tensor: Tensor<Double>?, step: Double,
            _ replace: (Tensor<Double>) throws -> SSDInputs<Double>
        ) throws -> Double {
            guard let tensor else { return gradient == nil ? 0 : .infinity }
            let expected = try differences(of: tensor, step: step, upstream: weights) { try outputs(replace($0)) }
            let absolute = difference(gradient?.elements ?? [], expected)
            return absolute / max(norm(expected), floor)
        }
        let rate = inputs.a.elements.map(\.magnitude).max() ?? 0
        let steps = 0.04 / (1 + rate)
        // The outputs are linear in the initial state, so any step is exact; a large one is seen
        // through a strong decay.
        return try [
            ("x", distance(gradients.x, inputs.x, step: 0.5) { try inputs.replacing(x: $0) }),
            ("dt", distance(gradients.dt, inputs.dt, step: steps) { try inputs.replacing(dt: $0) }),
            ("A", distance(gradients.a, inputs.a, step: 0.01) { try inputs.replacing(a: $0) }),
            ("B", distance(gradients.b, inputs.b, step: 0.5) { try inputs.replacing(b: $0) }),
            ("C", distance(gradients.c, inputs.c, step: 0.5) { try inputs.replacing(c: $0) }),
            ("D", distance(gradients.d, inputs.d, step: 0.5) { try inputs.replacing(d: $0) }),
            ("z", distance(gradients.z, inputs.z, step: 0.3) { try inputs.replacing(z: $0) }),
            ("dt_bias", distance(gradients.dtBias, inputs.dtBias, step: steps) { try inputs.replacing(dtBias: $0) }),
            (
                "initial_states",
                distance(
                    gradients.initialState,
                    inputs.initialState
                        ?? Tensor(
                            repeating: 0,
                            shape: [
                                inputs.packing?.count ?? inputs.batch, inputs.heads, inputs.headDim, inputs.stateDim,
                            ]),
                    step: 0x1p30
                ) { try inputs.replacing(initialState: $0) }
            ),
        ]
    }
}

private func norm(_ a: [Double]) -> Double { a.reduce(0) { $0 + $1 * $1 }.squareRoot() }

/// ||a - b||_2; infinity when the counts differ.
private func difference(_ a: [Double], _ b: [Double]) -> Double {
    a.count == b.count ? norm(zip(a, b).map { $0 - $1 }) : .infinity
}

/// The gradients are the derivatives of the forward pass, whatever the options.
@Suite struct SSDGradientDifferenceTests {
    @Test(arguments: 0..<10) func gradientsAreTheDifferencesOfTheForwardPass(block: Int) throws {
        for seed in 0..<100 {
            let example = try SSDGradientCase(seed: UInt64(block * 100 + seed))
            let gradients = try example.form.gradients(of: example.inputs, upstream: example.upstream)
            for (name, error) in try example.distances(of: gradients) {
                #expect(error < 1e-7, "grad_\(name) of \(example.testDescription): \(error)")
            }
        }
    }

    /// What the comparison above is worth: the usual mistakes of a backward pass are far outside
    /// it.
    @Test(arguments: SSDGradientFault.allCases) func aFaultIsFarFromTheDifferences(fault: SSDGradientFault) throws {
        var worst = 0.0
        for seed in 0..<100 {
            let example = try SSDGradientCase(seed: UInt64(seed))
            if example.inputs.packing != nil || example.upstream.sequenceStates != nil { continue }
            let gradients = try plainGradients(of: example.inputs, upstream: example.upstream, fault: fault)
            worst = max(worst, try example.distances(of: gradients).map(\.error).max() ?? 0)
        }
        if fault == .none {
            #expect(worst < 1e-7, "without a fault: \(worst)")
        } else {
            #expect(worst > 1e-2, "\(fault): \(worst)")
        }
    }
}
