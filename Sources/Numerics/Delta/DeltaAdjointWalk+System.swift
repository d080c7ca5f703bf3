//  The triangular system of a chunk of the gated delta rule and its gradient, imitated: T = (I +
//  A)^-1 by substitution in blocks of 16, ∂A = -Tᵀ ∂T Tᵀ. The rest is in
//  DeltaAdjointWalk+Chunks.swift.

import DualityCore
import DualityReference

extension DeltaAdjointWalk {
    /// (I + A)^-1, `[Q, Q]`.
    mutating func solved(_ chunk: Chunk) -> [Double] {
        let size = chunk.size
        var inverse = [Double](repeating: 0, count: size * size)
        for i in 0..<size {
            var row = (0..<i).map { -head.beta[chunk.start + i] * chunk.keyKeys[i * size + $0] }
            for s in row.indices { row[s] = rounding.operation(row[s], row[s].magnitude) }
            for m in 0..<i {
                var value = dot(row, from: m, step: 1, with: inverse, from: m * size + m, step: size, count: i - m)
                if i / 16 != m / 16, !arithmetic.merge.holds(arithmetic.accumulate) {
                    value = rounding.perturbed(value, units: 2, of: arithmetic.merge)
                }
                inverse[i * size + m] = value
            }
            inverse[i * size + i] = 1
        }
        return inverse.map { rounding.store($0, as: arithmetic.inverse) }
    }

    /// ∂A = -Tᵀ ∂T Tᵀ, `[Q, Q]` below the diagonal.
    mutating func systemBack(
        _ chunk: Chunk, _ ofU: [Double], _ ofW: [Double], _ factors: [Double]
    ) -> [Double] {
        let (size, keys, values) = (chunk.size, head.keyDim, head.valueDim)
        var ofInverse = [Double](repeating: 0, count: size * size)
        for i in 0..<size {
            for j in 0...i {
                let a = dot(
                    ofU, from: i * values, step: 1, with: chunk.scaledValues, from: j * values, step: 1, count: values)
                let b = dot(ofW, from: i * keys, step: 1, with: chunk.scaledKeys, from: j * keys, step: 1, count: keys)
                ofInverse[i * size + j] = product(rounding.operation(a + b, a.magnitude + b.magnitude))
            }
        }
        // ∂T Tᵀ, of which the rows from i on are read for row i of the result.
        var half = ofInverse
        for i in 0..<size {
            for j in 0..<size {
                let count = min(i, j) + 1
                half[i * size + j] = product(
                    dot(ofInverse, from: i * size, step: 1, with: factors, from: j * size, step: 1, count: count))
            }
        }
        var result = [Double](repeating: 0, count: size * size)
        for i in 0..<size {
            for j in 0..<i {
                result[i * size + j] = product(
                    -dot(
                        factors, from: i * size + i, step: size, with: half, from: i * size + j, step: size,
                        count: size - i))
            }
        }
        return result
    }
}
