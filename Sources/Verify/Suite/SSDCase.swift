//  One generated case of the operator: a few parameters, and the operands that follow from them.
//
//  A case is its parameters. It prints as one line, and that line makes the same operands again on
//  any machine:
//
//      seed=91 B=1 L=65 Q=64 H=4 Hx=2 Gb=2 Gc=4 P=16 N=16 decay=0.001 state=1 D=head z=1 bias=1 softplus=1 cuts=7,64 values=normal map=grouped still=0 limit=-

import DualityCore
import DualityReference

/// The parameters of a generated case.
package struct SSDCase: Sendable, Equatable {
    /// What x, B and C are filled with.
    package enum Values: String, Sendable, CaseIterable {
        /// Normal numbers of variance one.
        case normal
        /// Four in five are zero.
        case sparse
        /// Zero, all of them.
        case zeros
        /// x around 1e-40: below float32's normal range.
        case denormal
        /// Around 1e12, where a square does not overflow float32 and a fourth power does.
        case large
    }

    /// Which heads of x, B and C the SSM heads read.
    package enum Map: String, Sendable, CaseIterable {
        /// Equal groups; the counts divide `heads`.
        case grouped
        /// Any head each, as the seed has it; the counts are at most `heads`.
        case random
    }

    /// How the skip weight D is given.
    package enum Skip: String, Sendable, CaseIterable {
        /// Not at all, one per head `[H]`, or one per channel `[H, P]`.
        case none, head, channel
    }

    /// What the operands are drawn from.
    package var seed: UInt64
    /// B, the rows.
    package var batch = 1
    /// L, the tokens of a row.
    package var length = 16
    /// Q for chunked forms; the answer does not depend on it.
    package var chunkSize = 16
    /// H, the heads of dt and y.
    package var heads = 2
    /// Heads of x, of B and of C; each divides `heads` in a grouped map, and is at most `heads`.
    package var xHeads = 2
    /// Gb, the heads of B.
    package var bHeads = 2
    /// Gc, the heads of C.
    package var cHeads = 2
    /// P, the channels of a head.
    package var headDim = 4
    /// N, the width of the state.
    package var stateDim = 4
    /// The typical dt |A| of a token, from 1e-8 (remembers everything) to 1e3 (remembers nothing).
    package var decay = 0.1
    /// The size of the initial state; 0 for none.
    package var stateScale = 0.0
    /// Whether there is a D, `[H]` for `head` and `[H, P]` for `channel`.
    package var skip = Skip.none
    /// Whether there is a z, `[B, L, H, P]`.
    package var gate = false
    /// Whether there is a dt_bias, `[H]`.
    package var bias = false
    /// Whether steps go through a softplus; else they are drawn positive.
    package var softplus = true
    /// Where sequences begin inside each row, besides its start; ascending, within 1 ..< length.
    package var cuts: [Int] = []
    /// The distribution of x, B and C.
    package var values = Values.normal
    /// How SSM heads are sent to the heads of x, B and C.
    package var map = Map.grouped
    /// Whether dt, B and C are the same at every token, so that the convolution form applies too.
    package var still = false
    /// Whether steps are clamped to 0.25 ... 0.75.
    package var limited = false

    /// A small plain case: 16 tokens, two heads of 4 channels, and nothing optional.
    package init(seed: UInt64) {
        self.seed = seed
    }

    /// The operands, every number exactly representable in float32.
    ///
    /// - Throws: `InputError` when the parameters do not fit together.
    package func inputs<Scalar: RealNumber>(as type: Scalar.Type = Scalar.self) throws -> SSDInputs<Scalar> {
        let random = RandomSource(seed: seed)
        func tensor(_ name: String, _ shape: [Int], _ draw: (inout RandomSource) -> Double) -> Tensor<Scalar> {
            var source = random.stream(name)
            return Tensor(repeating: Scalar.zero, shape: shape).map { _ in Scalar(Float(draw(&source))) }
        }
        // Steps around 1 in log scale where the softplus is its steep part; A then sets the decay.
        let rates = tensor("A", [heads]) { -decay * $0.uniform(in: 0.3...3) }
        func rows(_ name: String, _ shape: [Int], _ draw: (inout RandomSource) -> Double) -> Tensor<Scalar> {
            guard still else { return tensor(name, shape, draw) }
            // The first token's for all tokens.
            let row = tensor(name, [1, 1] + shape[2...], draw).elements
            var i = 0
            return Tensor(repeating: Scalar.zero, shape: shape).map { _ in
                defer { i += 1 }
                return row[i % row.count]
            }
        }
        let steps = rows("dt", [batch, length, heads]) { source in
            softplus ? source.normal() : source.uniform(in: 0.2...2)
        }
        let packing =
            cuts.isEmpty
            ? nil
            : try Packing(
                sequenceIds: Tensor(
                    shape: [batch, length],
                    elements: (0..<batch).flatMap { _ in (0..<length).map { t in cuts.count { $0 <= t } } }))
        let sequences = packing?.count ?? batch
        return try SSDInputs(
            x: tensor("x", [batch, length, xHeads, headDim]) { value(&$0) * (values == .denormal ? 1e-40 : 1) },
            dt: steps,
            a: rates,
            b: rows("B", [batch, length, bHeads, stateDim], value),
            c: rows("C", [batch, length, cHeads, stateDim], value),
            d: skip == .none ? nil : tensor("D", skip == .head ? [heads] : [heads, headDim]) { $0.normal() },
            z: gate ? tensor("z", [batch, length, heads, headDim]) { 2 * $0.normal() } : nil,
            dtBias: bias ? tensor("dt_bias", [heads]) { $0.uniform(in: softplus ? -6...1 : 0...0.1) } : nil,
            initialState: stateScale == 0
                ? nil
                : tensor("initial_states", [sequences, heads, headDim, stateDim]) { stateScale * $0.normal() },
            packing: packing, headMap: headMap(random), dtSoftplus: softplus,
            dtLimit: limited ? 0.25...0.75 : 0...(.infinity))
    }

    private func headMap(_ random: RandomSource) throws -> HeadMap? {
        guard map == .random else { return nil }
        var source = random.stream("map")
        func pick(_ count: Int) -> [Int] { (0..<heads).map { _ in source.integer(in: 0...count - 1) } }
        return try HeadMap(x: pick(xHeads), b: pick(bHeads), c: pick(cHeads))
    }

    private func value(_ source: inout RandomSource) -> Double {
        let normal = source.normal()
        switch values {
        case .normal: return normal
        case .sparse: return source.uniform() < 0.8 ? 0 : normal
        case .zeros: return 0
        case .denormal: return normal
        case .large: return normal * 1e12
        }
    }
}

extension SSDCase: LosslessStringConvertible {
    package var description: String {
        "seed=\(seed) B=\(batch) L=\(length) Q=\(chunkSize) H=\(heads) Hx=\(xHeads) Gb=\(bHeads) Gc=\(cHeads) P=\(headDim) "
            + "N=\(stateDim) decay=\(decay) state=\(stateScale) D=\(skip.rawValue) z=\(gate ? 1 : 0) bias=\(bias ? 1 : 0) "
            + "softplus=\(softplus ? 1 : 0) cuts=\(cuts.isEmpty ? "-" : cuts.map(String.init).joined(separator: ",")) "
            + "values=\(values.rawValue) map=\(map.rawValue) still=\(still ? 1 : 0) limit=\(limited ? "0.25,0.75" : "-")"
    }

    /// A case from its line; nil when a field is unknown or does not parse. Fields left out have
    /// their default.
    package init?(_ description: String) {
        var fields: [Substring: Substring] = [:]
        for field in description.split(separator: " ") {
            let parts = field.split(separator: "=", maxSplits: 1)
            guard parts.count == 2 else { return nil }
            fields[parts[0]] = parts[1]
        }
        func take<Value: LosslessStringConvertible>(_ name: Substring, _ value: inout Value) -> Bool {
            guard let text = fields.removeValue(forKey: name) else { return true }
            guard let parsed = Value(String(text)) else { return false }
            value = parsed
            return true
        }
        var seed: UInt64 = 0
        guard take("seed", &seed) else { return nil }
        self.init(seed: seed)
        var (z, bias, softplus, still) = (0, 0, 1, 0)
        var (skip, values, cuts, map, limit) = ("none", "normal", "-", "grouped", "-")
        guard take("B", &batch), take("L", &length), take("Q", &chunkSize), take("H", &heads), take("Hx", &xHeads),
            take("Gb", &bHeads), take("Gc", &cHeads), take("P", &headDim), take("N", &stateDim), take("decay", &decay),
            take("state", &stateScale), take("D", &skip), take("z", &z), take("bias", &bias),
            take("softplus", &softplus), take("cuts", &cuts), take("values", &values), take("map", &map),
            take("still", &still), take("limit", &limit), fields.isEmpty, ["-", "0.25,0.75"].contains(limit),
            let parsedMap = Map(rawValue: map), let parsedSkip = Skip(rawValue: skip),
            let parsedValues = Values(rawValue: values)
        else { return nil }
        (gate, self.bias, self.softplus) = (z != 0, bias != 0, softplus != 0)
        (self.skip, self.values, self.map) = (parsedSkip, parsedValues, parsedMap)
        (self.still, limited) = (still != 0, limit != "-")
        if cuts != "-" {
            let parsed = cuts.split(separator: ",").map { Int($0) }
            guard parsed.allSatisfy({ $0 != nil }) else { return nil }
            self.cuts = parsed.compactMap { $0 }
        }
        guard isSound else { return nil }
    }

    /// Whether the parameters fit together.
    var isSound: Bool {
        [batch, chunkSize, heads, xHeads, bHeads, cHeads, headDim, stateDim].allSatisfy { $0 > 0 } && length >= 0
            && [xHeads, bHeads, cHeads].allSatisfy { map == .random ? $0 <= heads : heads % $0 == 0 } && decay >= 0
            && decay.isFinite
            && stateScale.isFinite && cuts.allSatisfy { $0 > 0 && $0 < length }
            && zip(cuts, cuts.dropFirst()).allSatisfy(<)
    }
}
