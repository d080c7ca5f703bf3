//  The angles of rotary position embedding, in float32 as the official model computes them.
//
//      f_i = theta^(-2i/D),  i in 0 ..< D/2                 changed by the scaling of a stretched context
//      cos[t, i], sin[t, i] = cos(p_t f_i) s, sin(p_t f_i) s        s the attention scale of YaRN, else 1
//
//  Source: transformers, modeling_rope_utils.py; YaRN (arXiv 2309.00071).

import DualityCore

/// The frequencies of a rotary embedding and tables of its cosines and sines.
struct RotaryFrequencies: Sendable {
    /// D, even.
    let headDim: Int
    private let parameters: RopeParameters
    /// The trained length, from which `dynamic` scaling starts to stretch.
    private let maxPositions: Int
    /// What the tables are multiplied with.
    private let scale: Float
    /// The frequencies where they do not depend on the length; nil for `dynamic`.
    private let fixed: [Float]?
    /// Whether the angles of a position depend on the length of the sequence.
    var dependsOnLength: Bool { fixed == nil }

    /// - Throws: `InputError` (`.value`) when the head width is odd.
    init(_ configuration: HybridConfiguration) throws(InputError) {
        headDim = configuration.headDim
        guard headDim > 0, headDim % 2 == 0 else {
            throw InputError(.value, in: "head_dim", expected: "an even number for RoPE", found: "\(headDim)")
        }
        parameters = configuration.rope
        maxPositions = configuration.maxPositions
        let base = Self.unscaled(theta: parameters.theta, headDim)
        switch parameters.scaling {
        case .none:
            (fixed, scale) = (base, 1)
        case .linear(let factor):
            (fixed, scale) = (base.map { $0 / Float(factor) }, 1)
        case .dynamic:
            (fixed, scale) = (nil, 1)
        case .llama3(let factor, let low, let high, let original):
            let stretched = base.map { f -> Float in
                let turns = Float(original) * f / (2 * Float.pi)
                if turns < Float(low) { return f / Float(factor) }
                if turns > Float(high) { return f }
                let smooth = (turns - Float(low)) / (Float(high) - Float(low))
                return (1 - smooth) * f / Float(factor) + smooth * f
            }
            (fixed, scale) = (stretched, 1)
        case .yarn(let yarn):
            (fixed, scale) = (Self.interpolated(base, yarn, parameters.theta, headDim), Self.attentionScale(yarn))
        }
    }

    /// Fills rows of cosines and sines, `[positions, D/2]` each.
    ///
    /// - Parameter length: tokens of the sequence after this pass, on which `dynamic` frequencies
    ///   depend.
    func fill(
        _ cosines: UnsafeMutablePointer<Float>, _ sines: UnsafeMutablePointer<Float>, positions: Range<Int>,
        length: Int
    ) {
        let frequencies = fixed ?? dynamic(length: length)
        let half = headDim / 2
        for (row, position) in positions.enumerated() {
            for i in 0..<half {
                let angle = Float(position) * frequencies[i]
                cosines[row * half + i] = Float.cos(angle) * scale
                sines[row * half + i] = Float.sin(angle) * scale
            }
        }
    }

    private static func unscaled(theta: Double, _ headDim: Int) -> [Float] {
        (0..<headDim / 2).map { i in 1 / Float.pow(Float(theta), Float(2 * i) / Float(headDim)) }
    }

    private func dynamic(length: Int) -> [Float] {
        guard case .dynamic(let factor) = parameters.scaling else { return [] }
        let stretch = factor * Double(max(length, maxPositions)) / Double(maxPositions) - (factor - 1)
        let exponent = Double(headDim) / Double(headDim - 2)
        return Self.unscaled(theta: parameters.theta * Double.pow(stretch, exponent), headDim)
    }

    /// YaRN: slow pairs are interpolated, fast ones kept, with a ramp between.
    private static func interpolated(
        _ base: [Float], _ yarn: RopeParameters.Yarn, _ theta: Double, _ headDim: Int
    ) -> [Float] {
        func pair(rotations: Double) -> Double {
            let wavelength = Double(yarn.originalMaxPositions) / (rotations * 2 * Double.pi)
            return Double(headDim) * Double.log(wavelength) / (2 * Double.log(theta))
        }
        var (low, high) = (pair(rotations: yarn.betaFast), pair(rotations: yarn.betaSlow))
        if yarn.truncate { (low, high) = (low.rounded(.down), high.rounded(.up)) }
        low = max(low, 0)
        high = min(high, Double(headDim) - 1)
        if low == high { high += 0.001 }
        return base.enumerated().map { i, f in
            let ramp = Float(min(max((Double(i) - low) / (high - low), 0), 1))
            return f / Float(yarn.factor) * ramp + f * (1 - ramp)
        }
    }

    private static func attentionScale(_ yarn: RopeParameters.Yarn) -> Float {
        func mscale(_ weight: Double) -> Double {
            yarn.factor <= 1 ? 1 : 0.1 * weight * Double.log(yarn.factor) + 1
        }
        if let attentionFactor = yarn.attentionFactor { return Float(attentionFactor) }
        if let a = yarn.mscale, let b = yarn.mscaleAllDim, a != 0, b != 0 { return Float(mscale(a) / mscale(b)) }
        return Float(mscale(1))
    }
}
