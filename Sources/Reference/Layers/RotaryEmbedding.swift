//  Rotary position embedding (RoPE), plain and stretched.
//
//      f_i = theta^(-2i/D),  i in 0 ..< D/2                       the frequency of pair i, changed by the scaling below
//      (v_i, v_{i+D/2})  ->  (v_i cos(p f_i) - v_{i+D/2} sin(p f_i),  v_{i+D/2} cos(p f_i) + v_i sin(p f_i))
//
//  Element i is paired with element i + D/2 (not with its neighbour), p is the position of the
//  token. In Double all of it is Double. In Float frequencies, angles and tables are float32, as in
//  the official model; its angle at position 131071 is then off by 4e-3, and following it exactly
//  is the point.
//
//  Source: Su et al. (arXiv 2104.09864); transformers, modeling_rope_utils.py; YaRN (arXiv
//  2309.00071).

import DualityCore

/// The frequencies of a rotary embedding and the rotation by them.
public struct RotaryEmbedding<Scalar: RealNumber>: Sendable {
    /// D, the width of a head; even.
    public let headDim: Int
    /// The base theta and how frequencies are stretched.
    public let parameters: RopeParameters
    /// M, the trained length, from which `dynamic` scaling starts to stretch.
    public let maxPositions: Int

    /// - Throws: `InputError` (`.value`) when the head width is odd.
    public init(headDim: Int, parameters: RopeParameters, maxPositions: Int) throws(InputError) {
        guard headDim > 0, headDim % 2 == 0 else {
            throw InputError(.value, in: "head_dim", expected: "an even number for RoPE", found: "\(headDim)")
        }
        self.headDim = headDim
        self.parameters = parameters
        self.maxPositions = maxPositions
    }

    /// Cosines and sines of the positions `positions`, scaled for attention where YaRN asks for it.
    ///
    /// - Note: `dynamic` frequencies depend on the length seen so far, that is
    ///   `positions.upperBound`: beyond the trained length a sequence fed in pieces is, by its
    ///   definition, not rotated as the same sequence fed whole.
    public func table(positions: Range<Int>) -> RotaryTable<Scalar> {
        let half = headDim / 2
        let frequencies = frequencies(length: positions.upperBound)
        let scale = attentionScale
        var cosines = Tensor<Scalar>(repeating: 0, shape: [positions.count, half])
        var sines = cosines
        for (t, position) in positions.enumerated() {
            for i in 0..<half {
                let angle = Scalar(position) * frequencies[i]
                cosines.elements[t * half + i] = Scalar.cos(angle) * scale
                sines.elements[t * half + i] = Scalar.sin(angle) * scale
            }
        }
        return RotaryTable(cosines: cosines, sines: sines)
    }

    /// The frequencies `f_i`, `[D/2]`, in radians a token, for a context of `length` tokens.
    public func frequencies(length: Int) -> [Scalar] {
        switch parameters.scaling {
        case .none:
            return unscaled(theta: parameters.theta)
        case .linear(let factor):
            return unscaled(theta: parameters.theta).map { $0 / Scalar(factor) }
        case .dynamic(let factor):
            let stretch = factor * Double(max(length, maxPositions)) / Double(maxPositions) - (factor - 1)
            let exponent = Double(headDim) / Double(headDim - 2)
            return unscaled(theta: parameters.theta * Double.pow(stretch, exponent))
        case .yarn(let yarn):
            return interpolated(yarn)
        case .llama3(let factor, let low, let high, let originalMaxPositions):
            return unscaled(theta: parameters.theta).map { frequency in
                let turns = Scalar(originalMaxPositions) * frequency / (2 * Scalar(Double.pi))
                if turns < Scalar(low) { return frequency / Scalar(factor) }
                if turns > Scalar(high) { return frequency }
                let smooth = (turns - Scalar(low)) / (Scalar(high) - Scalar(low))
                return (1 - smooth) * frequency / Scalar(factor) + smooth * frequency
            }
        }
    }

    /// What cosines and sines are multiplied with; attention scores grow by its square.
    public var attentionScale: Scalar {
        guard case .yarn(let yarn) = parameters.scaling else { return 1 }
        func mscale(_ weight: Double) -> Double {
            yarn.factor <= 1 ? 1 : 0.1 * weight * Double.log(yarn.factor) + 1
        }
        if let attentionFactor = yarn.attentionFactor { return Scalar(attentionFactor) }
        if let numerator = yarn.mscale, let denominator = yarn.mscaleAllDim, numerator != 0, denominator != 0 {
            return Scalar(mscale(numerator) / mscale(denominator))
        }
        return Scalar(mscale(1))
    }

    private func unscaled(theta: Double) -> [Scalar] {
        (0..<headDim / 2).map { i in 1 / Scalar.pow(Scalar(theta), Scalar(2 * i) / Scalar(headDim)) }
    }

    /// YaRN: fast pairs keep their frequency, slow ones are interpolated, a ramp joins them.
    private func interpolated(_ yarn: RopeParameters.Yarn) -> [Scalar] {
        let (theta, dimension) = (parameters.theta, Double(headDim))
        /// The (fractional) pair index that turns `rotations` times within the original context.
        func pair(rotations: Double) -> Double {
            let wavelength = Double(yarn.originalMaxPositions) / (rotations * 2 * Double.pi)
            return dimension * Double.log(wavelength) / (2 * Double.log(theta))
        }
        var low = pair(rotations: yarn.betaFast)
        var high = pair(rotations: yarn.betaSlow)
        if yarn.truncate {
            low = low.rounded(.down)
            high = high.rounded(.up)
        }
        low = max(low, 0)
        high = min(high, dimension - 1)
        if low == high { high += 0.001 }
        return unscaled(theta: theta).enumerated().map { i, frequency in
            let ramp = Scalar(min(max((Double(i) - low) / (high - low), 0), 1))
            return frequency / Scalar(yarn.factor) * ramp + frequency * (1 - ramp)
        }
    }
}

/// Cosines and sines for a run of positions, `[L, D/2]` each.
public struct RotaryTable<Scalar: RealNumber>: Sendable {
    /// cos(p f_i) times the attention scale, one row a position.
    public let cosines: Tensor<Scalar>
    /// sin(p f_i) times the attention scale, one row a position.
    public let sines: Tensor<Scalar>

    /// Rotates every head of every row in place.
    ///
    /// - Parameter u: `[L, heads D]`, one row a position of the table.
    public func rotate(_ u: inout Tensor<Scalar>) {
        let (length, half) = (cosines.shape[0], cosines.shape[1])
        guard length > 0 else { return }
        let width = u.count / length
        precondition(u.shape[0] == length && width % (2 * half) == 0, "rows of whole heads")
        withRows(cosines, sines) { cosines, sines in
            withRows(of: &u) { u in
                for t in 0..<length {
                    let (cosine, sine) = (cosines + t * half, sines + t * half)
                    for head in stride(from: t * width, to: (t + 1) * width, by: 2 * half) {
                        let (first, second) = (u + head, u + head + half)
                        for i in 0..<half {
                            let (a, b) = (first[i], second[i])
                            first[i] = a * cosine[i] - b * sine[i]
                            second[i] = b * cosine[i] + a * sine[i]
                        }
                    }
                }
            }
        }
    }
}
