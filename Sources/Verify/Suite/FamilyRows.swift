//  Queries and keys for recurrences that keep a matrix: directions of all kinds, and norms.

import DualityCore
import DualityReference

/// What keys are like.
enum FamilyKeys: Sendable {
    case random
    /// Four keys that come again and again: what a token writes, later ones correct, and a Gram
    /// matrix is of low rank.
    case repeated
    /// Nearly one direction, where the triangular system of a chunk is worst and the condition of a
    /// Gram matrix is that of its ridge.
    case aligned
    /// Unit vectors in turn, where the condition is that of the gates.
    case orthogonal
    /// Four numbers of five are zeros; so may be a whole key.
    case sparse
    /// Likewise, but for one number at least.
    case sparseButOne
}

/// Rows of queries or keys.
struct FamilyRows {
    let kinds: FamilyKeys
    /// What a row is multiplied with; nil for rows of the norm `norm`.
    let factor: Double?
    let norm: Double

    /// `[B, L, heads, width]`, drawn from the stream of a name.
    func tensor(_ shape: [Int], _ name: String, _ random: RandomSource) -> Tensor<Double> {
        let (heads, width) = (shape[2], shape[3])
        var source = random.stream(name)
        var tensor = Tensor(repeating: 0.0, shape: shape)
        let common = (0..<4 * width).map { _ in source.normal() }
        for first in stride(from: 0, to: tensor.count, by: width) {
            let token = first / (heads * width)
            var squares = 0.0
            for i in 0..<width {
                let isOwn = i == token % width
                let value =
                    switch kinds {
                    case .random: source.normal()
                    case .repeated: common[token % 4 * width + i]
                    case .aligned: common[i] + 0.1 * source.normal()
                    case .orthogonal: isOwn ? 1.0 : 0
                    case .sparse: source.uniform() < 0.8 ? 0 : source.normal()
                    case .sparseButOne: !isOwn && source.uniform() < 0.8 ? 0 : source.normal()
                    }
                tensor.elements[first + i] = value
                squares += value * value
            }
            let factor = factor ?? (squares > 0 ? norm / squares.squareRoot() : 0)
            for i in 0..<width { tensor.elements[first + i] *= factor }
        }
        return tensor
    }
}
