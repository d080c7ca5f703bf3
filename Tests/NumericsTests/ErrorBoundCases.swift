//  Seeded calls of the operator of every size and kind, for holding kernels against their bounds.

import DualityCore

@testable import DualityNumerics
@testable import DualityReference

/// A call of the operator that its seed determines: lengths around the chunk size, decays from 1e-8
/// to 1e3 a token, operands from subnormal to huge, zeros, constants, packing.
struct ErrorBoundCase: Sendable, CustomStringConvertible {
    let seed: UInt64
    /// Every operand is exact in it.
    let format: NumberFormat
    /// What the lengths are chosen around.
    let chunkSize: Int
    /// The largest of P and N.
    let widest: Int
    /// What was drawn, for a person who has to find out what is special about the case.
    private(set) var description = ""
    private(set) var inputs: SSDInputs<Double>

    init(seed: UInt64, format: NumberFormat = .f32, chunkSize: Int? = nil, widest: Int = 64) throws {
        self.seed = seed
        self.format = format
        self.widest = widest
        var random = RandomSource(seed: seed)
        let q = chunkSize ?? [16, 32, 64, 128][random.integer(in: 0...3)]
        self.chunkSize = q

        let length = random.element(of: [1, 2, q - 1, q, q + 1, 2 * q + 3, 7, 31, 97, 127, 257])
        let batch = random.element(of: [1, 1, 1, 2])
        let heads = random.element(of: [1, 2, 4])
        func divisor() -> Int { random.uniform() < 0.5 ? heads : 1 }
        let (xHeads, bHeads, cHeads) = (divisor(), divisor(), divisor())
        let headDim = min(random.element(of: [1, 3, 8, 16, 64]), widest)
        let stateDim = min(random.element(of: [1, 5, 16, 64, 128]), widest)

        let kinds = ["normal", "positive", "silu", "sparse", "constant", "tiny", "large"]
        var drawn: [String] = []
        func numbers(_ name: String, _ shape: [Int], kinds: [String] = kinds, scale: Double = 1) -> Tensor<Double> {
            let kind = random.element(of: kinds)
            drawn.append("\(name) \(kind)")
            let width = shape[shape.count - 1]
            let constant = (0..<width).map { _ in random.normal() }  // the same for every token
            var tensor = Tensor(repeating: 0.0, shape: shape)
            for i in tensor.elements.indices {
                let value: Double
                switch kind {
                case "positive": value = random.uniform()
                case "silu": value = .silu(random.normal())
                case "sparse": value = random.uniform() < 0.7 ? 0 : random.normal()
                case "constant": value = constant[i % width]
                case "tiny": value = random.normal() * 1e-38
                case "large": value = random.normal() * 1e4
                default: value = random.normal()
                }
                tensor.elements[i] = format.round(value * scale)
            }
            return tensor
        }
        // Subnormal operands stay where they cannot make every product vanish.
        let ordinary = kinds.filter { $0 != "tiny" && $0 != "large" }
        let x = numbers("x", [batch, length, xHeads, headDim])
        let b = numbers("B", [batch, length, bHeads, stateDim], kinds: ordinary)
        let c = numbers("C", [batch, length, cHeads, stateDim], kinds: ordinary)

        // Δ|A| of each head, and how it varies from token to token.
        let dtSoftplus = random.uniform() < 0.75
        var rates = Tensor(repeating: 0.0, shape: [heads])
        var dt = Tensor(repeating: 0.0, shape: [batch, length, heads])
        var bias = Tensor(repeating: 0.0, shape: [heads])
        let spread = random.element(of: [0, 0.5, 0.5, 2])
        for head in 0..<heads {
            let decay = Double.pow(10, random.uniform(in: -8...3))
            let step = Double.pow(10, random.uniform(in: -5...1))
            drawn.append("decay \(Float(decay)) step \(Float(step))")
            rates.elements[head] = NumberFormat.f32.round(-decay / step)
            bias.elements[head] = format.round(random.normal())
            for i in 0..<batch * length {
                let wanted = step * .exp(spread * random.normal())
                // softplus backwards: ln(e^Δ - 1)
                let raw = dtSoftplus ? (wanted > 20 ? wanted : .log(.exp(wanted) - 1)) : wanted
                dt.elements[i * heads + head] = format.round(raw - (dtSoftplus ? bias.elements[head] : 0))
            }
        }
        if random.uniform() < 0.1 { dt = dt.map { _ in format.round(dtSoftplus ? -200 : 0) } }

        var initialState: Tensor<Double>?
        if random.uniform() < 0.5 {
            let scale = Double.pow(10, random.element(of: [-30.0, -6, 0, 0, 6, 20]))
            drawn.append("S0 \(scale)")
            initialState = numbers("S0", [batch, heads, headDim, stateDim], kinds: ordinary, scale: scale)
                .map { NumberFormat.f32.round($0) }
        }
        var packing: Packing?
        if length > 3, random.uniform() < 0.3 {
            var ids = Tensor(repeating: 0, shape: [batch, length])
            for row in 0..<batch {
                var id = 0
                for t in 0..<length {
                    if t > 0, random.uniform() < 3 / Double(length) { id += 1 }
                    ids.elements[row * length + t] = id
                }
            }
            packing = try Packing(sequenceIds: ids)
            drawn.append("packed")
        }
        let withSkip = random.uniform()
        let d = withSkip < 0.3 ? nil : numbers("D", withSkip < 0.6 ? [heads] : [heads, headDim], kinds: ["normal"])
        let z =
            random.uniform() < 0.6
            ? nil
            : numbers(
                "z", [batch, length, heads, headDim], kinds: ["normal", "sparse"], scale: random.element(of: [1, 30]))
        let limit: ClosedRange<Double> = random.uniform() < 0.15 ? 0.01...0.5 : 0...(.infinity)

        inputs = try SSDInputs(
            x: x, dt: dt, a: rates, b: b, c: c, d: d, z: z, dtBias: dtSoftplus ? bias : nil,
            initialState: initialState, packing: packing,
            headMap: HeadMap.grouped(heads: heads, x: xHeads, b: bHeads, c: cHeads),
            dtSoftplus: dtSoftplus, dtLimit: limit)
        description =
            "seed \(seed) \(format) L=\(length) Q=\(q) H=\(heads) P=\(headDim) N=\(stateDim) softplus=\(dtSoftplus) "
            + "spread=\(spread) limit=\(limit) \(drawn.joined(separator: ", "))"
    }
}

extension RandomSource {
    fileprivate mutating func element<Element>(of list: [Element]) -> Element {
        list[integer(in: 0...list.count - 1)]
    }
}
