//  What the operator's tests are run on: the conformance cases, generated operands, and the
//  definition written out.

import DualityCore
import TestSupport
import Testing

@testable import DualityReference

/// One case of Tests/Fixtures/ssd.
struct SSDCase: Sendable, CustomTestStringConvertible {
    let name: String
    let dtSoftplus: Bool
    let dtLimit: ClosedRange<Double>
    let isStep: Bool
    let isTied: Bool
    /// What the official kernels were run with.
    let chunkSize: Int
    /// `f32` or `bf16`.
    let dtype: String
    /// `f32` or `bf16`; of steps alone.
    let stateDtype: String?
    /// Relative L2 error of what the official kernels gave, by tensor.
    let officialErrors: [String: Double]

    var testDescription: String { name }

    static let all: [SSDCase] = {
        do {
            let cases = try JSON(contentsOf: Fixtures.path("ssd/cases.json"))
            return cases.object?.members.map { SSDCase(name: $0.name, fields: $0.value) } ?? []
        } catch {
            return []
        }
    }()
    static let scans = all.filter { !$0.isStep }
    static let steps = all.filter { $0.isStep }

    private init(name: String, fields: JSON) {
        self.name = name
        dtSoftplus = fields["dt_softplus"]?.bool ?? true
        let limits = fields["dt_limit"]?.array ?? []
        dtLimit = (limits.first?.double ?? 0)...(limits.last?.double ?? .infinity)
        isStep = fields["kind"]?.string == "step"
        isTied = fields["tied"]?.bool ?? true
        chunkSize = fields["chunk_size"]?.int ?? 1
        dtype = fields["dtype"]?.string ?? ""
        stateDtype = fields["state_dtype"]?.string
        let errors = fields["triton_vs_f64_rel_l2"]?.object?.members ?? []
        officialErrors = Dictionary(
            errors.compactMap { member in member.value.double.map { (member.name, $0) } }, uniquingKeysWith: { $1 })
    }

    func file() throws -> SafetensorsFile { try SafetensorsFile(path: Fixtures.path("ssd/\(name).safetensors")) }

    func inputs<Scalar: RealNumber>(as type: Scalar.Type = Scalar.self) throws -> SSDInputs<Scalar> {
        try SSDInputs(readingFrom: file(), dtSoftplus: dtSoftplus, dtLimit: dtLimit)
    }
}

/// A seeded call of the operator with everything in it: groups, gate, skip, bias and an initial
/// state.
struct SSDShape: Sendable, CustomTestStringConvertible {
    var batch = 2
    var length = 37
    var heads = 4
    var xHeads = 2
    var bHeads = 2
    var cHeads = 4
    var headDim = 5
    var stateDim = 7
    /// Typical Δ|A| of a token.
    var decay = 0.3
    var seed: UInt64 = 1

    var testDescription: String { "L=\(length) H=\(heads) P=\(headDim) N=\(stateDim) decay=\(decay) seed=\(seed)" }

    func inputs() throws -> SSDInputs<Double> {
        var random = RandomSource(seed: seed)
        func normal(_ shape: [Int], scale: Double = 1) -> Tensor<Double> {
            var tensor = Tensor(repeating: 0.0, shape: shape)
            for i in tensor.elements.indices { tensor.elements[i] = scale * random.normal() }
            return tensor
        }
        return try SSDInputs(
            x: normal([batch, length, xHeads, headDim]), dt: normal([batch, length, heads]),
            a: normal([heads]).map { -decay * (0.1 + $0.magnitude) }, b: normal([batch, length, bHeads, stateDim]),
            c: normal([batch, length, cHeads, stateDim]), d: normal([heads]),
            z: normal([batch, length, heads, headDim]), dtBias: normal([heads]),
            initialState: normal([batch, heads, headDim, stateDim]))
    }
}

extension SSDInputs {
    /// The same operands with some of them replaced.
    func replacing(
        x: Tensor<Scalar>? = nil, dt: Tensor<Scalar>? = nil, a: Tensor<Scalar>? = nil, b: Tensor<Scalar>? = nil,
        c: Tensor<Scalar>? = nil, d: Tensor<Scalar>?? = nil, z: Tensor<Scalar>?? = nil,
        dtBias: Tensor<Scalar>?? = nil, initialState: Tensor<Scalar>?? = nil, packing: Packing?? = nil,
        headMap: HeadMap? = nil, dtSoftplus: Bool? = nil, dtLimit: ClosedRange<Double>? = nil
    ) throws -> SSDInputs {
        try SSDInputs(
            x: x ?? self.x, dt: dt ?? self.dt, a: a ?? self.a, b: b ?? self.b, c: c ?? self.c, d: d ?? self.d,
            z: z ?? self.z, dtBias: dtBias ?? self.dtBias, initialState: initialState ?? self.initialState,
            packing: packing ?? self.packing, headMap: headMap ?? self.headMap,
            dtSoftplus: dtSoftplus ?? self.dtSoftplus,
            dtLimit: dtLimit ?? self.dtLimit)
    }

    /// Tokens `range` alone, as one sequence entered with `initialState`.
    func tokens(_ range: Range<Int>, initialState: Tensor<Scalar>?) throws -> SSDInputs {
        try replacing(
            x: x.tokens(range), dt: dt.tokens(range), b: b.tokens(range), c: c.tokens(range), z: z?.tokens(range),
            initialState: initialState, packing: .some(nil))
    }
}

extension Tensor {
    /// `self[:, range]`.
    func tokens(_ range: Range<Int>) throws -> Tensor {
        let width = shape[2...].reduce(1, *)
        var elements: [Element] = []
        for row in 0..<shape[0] {
            let first = row * shape[1]
            elements += self.elements[(first + range.lowerBound) * width..<(first + range.upperBound) * width]
        }
        return try Tensor(shape: [shape[0], range.count] + shape[2...], elements: elements)
    }
}

/// The definition, written out without regard to cost: every term of y by itself, decays as
/// products of their logarithms' own sums. Shares no code with the forms.
func definition(_ inputs: SSDInputs<Double>) -> (y: [Double], state: [Double]) {
    let (batch, length, heads) = (inputs.batch, inputs.length, inputs.heads)
    let (headDim, stateDim) = (inputs.headDim, inputs.stateDim)
    var y: [Double] = []
    var states: [Double] = []
    func step(_ row: Int, _ t: Int, _ h: Int) -> Double {
        let u = inputs.dt[row, t, h] + (inputs.dtBias?[h] ?? 0)
        let step = inputs.dtSoftplus && u <= 20 ? Double.log(onePlus: .exp(u)) : u
        return min(max(step, inputs.dtLimit.lowerBound), inputs.dtLimit.upperBound)
    }
    func state(_ row: Int, _ t: Int, _ h: Int, _ p: Int, _ n: Int) -> Double {
        var sum = 0.0
        var logDecay = 0.0
        for s in stride(from: t, through: 0, by: -1) {
            sum +=
                Double.exp(logDecay) * step(row, s, h) * inputs.x[row, s, inputs.headMap.x[h], p]
                * inputs.b[row, s, inputs.headMap.b[h], n]
            logDecay += step(row, s, h) * inputs.a[h]
        }
        return sum + Double.exp(logDecay) * (inputs.initialState?[row, h, p, n] ?? 0)
    }
    for row in 0..<batch {
        for t in 0..<length {
            for h in 0..<heads {
                for p in 0..<headDim {
                    var value = 0.0
                    for n in 0..<stateDim {
                        value += state(row, t, h, p, n) * inputs.c[row, t, inputs.headMap.c[h], n]
                    }
                    if let d = inputs.d {
                        value += (d.shape.count == 2 ? d[h, p] : d[h]) * inputs.x[row, t, inputs.headMap.x[h], p]
                    }
                    if let z = inputs.z { value *= z[row, t, h, p] / (1 + .exp(-z[row, t, h, p])) }
                    y.append(value)
                }
            }
        }
        for h in 0..<heads {
            for p in 0..<headDim {
                for n in 0..<stateDim { states.append(state(row, length - 1, h, p, n)) }
            }
        }
    }
    return (y, states)
}
