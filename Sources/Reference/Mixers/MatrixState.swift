//  What the two matrix-valued recurrences share: their forms, norms of heads, and products with a D
//  x D state.

import DualityCore

/// In which order a recurrence over a matrix-valued state is computed; the answer is the same up to
/// rounding.
public enum RecurrenceForm: Sendable, Hashable {
    /// Token by token: the definition. A sequence in pieces gives bit for bit what it gives as a
    /// whole.
    case recurrent
    /// `size` tokens together, from the state before them.
    case chunked(size: Int)

    /// The form's name without its parameters.
    public var name: String {
        switch self {
        case .recurrent: "recurrent"
        case .chunked: "chunked"
        }
    }

    /// Q of the chunked form.
    public var chunkSize: Int? {
        if case .chunked(let size) = self { size } else { nil }
    }
}

/// out = Sᵀ x for S `[rows, columns]`.
@inline(__always)
func multiplyTransposed<Scalar: RealNumber>(
    _ state: UnsafePointer<Scalar>, _ x: UnsafePointer<Scalar>, into out: UnsafeMutablePointer<Scalar>, rows: Int,
    columns: Int
) {
    for j in 0..<columns { out[j] = 0 }
    for i in 0..<rows { addScaled(x[i], state + i * columns, to: out, columns) }
}

/// S += factor k vᵀ for S `[rows, columns]`.
@inline(__always)
func addOuterProduct<Scalar: RealNumber>(
    _ factor: Scalar, _ k: UnsafePointer<Scalar>, _ v: UnsafePointer<Scalar>, to state: UnsafeMutablePointer<Scalar>,
    rows: Int, columns: Int
) {
    for i in 0..<rows { addScaled(factor * k[i], v, to: state + i * columns, columns) }
}

/// x *= factor.
@inline(__always)
func scale<Scalar: RealNumber>(_ x: UnsafeMutablePointer<Scalar>, by factor: Scalar, _ count: Int) {
    for i in 0..<count { x[i] *= factor }
}

/// `-e^A_log softplus(w + dt_bias)`, at most 0: the log decay of every token and head, `[L, H]`.
///
/// - Parameters:
///   - w: `[L, H]`.
///   - rates: `-e^A_log`, `[H]`.
func logDecays<Scalar: RealNumber>(
    _ w: Tensor<Scalar>, rates: Tensor<Scalar>, bias: Tensor<Scalar>
) -> Tensor<Scalar> {
    var gamma = w
    let heads = rates.count
    for i in gamma.elements.indices {
        let head = i % heads
        gamma.elements[i] = rates.elements[head] * Scalar.thresholdedSoftplus(w.elements[i] + bias.elements[head])
    }
    return gamma
}

/// The decays of a chunk, relative to each of its tokens.
struct SegmentDecays<Scalar: RealNumber> {
    /// `e^(γ_1 + … + γ_i)`: how much of the state before the chunk is left at token i.
    private(set) var fromStart: [Scalar]
    /// `between[i * Q + j] = e^(γ_{j+1} + … + γ_i)` for j <= i, else 0. Sums of segments, never
    /// differences of sums.
    private(set) var between: [Scalar]

    /// - Parameter logDecays: γ of the chunk's tokens.
    init(_ logDecays: [Scalar]) {
        let size = logDecays.count
        fromStart = Array(repeating: 1, count: size)
        between = Array(repeating: 0, count: size * size)
        var total = Scalar.zero
        for i in 0..<size {
            total += logDecays[i]
            fromStart[i] = Scalar.exp(total)
            var segment = Scalar.zero
            for j in stride(from: i, through: 0, by: -1) {
                between[i * size + j] = Scalar.exp(segment)
                segment += logDecays[j]
            }
        }
    }
}
