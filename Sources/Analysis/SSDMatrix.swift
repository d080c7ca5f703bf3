//  The operator of one head as a matrix, for looking at.
//
//      M_ts = exp(seg(t, s)) (C_t · B_s) Δ_s   for s <= t, 0 above the diagonal          seg(t, s) = sum of Δ_k A, s < k <= t
//      y_t  = sum over s of M_ts x_s   (+ what the initial state adds, D x_t and the gate)
//
//  Every block of M that lies on or below the diagonal has rank at most N, which is why a state of
//  N numbers a channel is enough to carry it; the mask exp(seg) alone is of rank 1 there. Between
//  packed sequences M is zero.
//
//  Source: Mamba-2 (arXiv 2405.21060) sections 3 and 5: sequentially semiseparable matrices.

import DualityCore
import DualityReference

extension SSDInputs {
    /// M of one head of one row, `[L, L]`.
    ///
    /// - Throws: `InputError` (`.value`) when there is no such row or head.
    /// - Complexity: O(L² N) time.
    public func operatorMatrix(row: Int = 0, head: Int) throws(InputError) -> Tensor<Scalar> {
        var matrix = try decayMask(row: row, head: head)
        let steps = effectiveSteps()
        let (bHeads, cHeads, n) = (b.shape[2], c.shape[2], stateDim)
        for t in 0..<length {
            let cFirst = ((row * length + t) * cHeads + headMap.c[head]) * n
            for s in 0...t {
                let bFirst = ((row * length + s) * bHeads + headMap.b[head]) * n
                var sum = Scalar.zero
                for i in 0..<n { sum += c.elements[cFirst + i] * b.elements[bFirst + i] }
                matrix.elements[t * length + s] *= sum * steps.elements[(row * length + s) * heads + head]
            }
        }
        return matrix
    }

    /// exp(seg(t, s)) of one head of one row, `[L, L]`: how much of what token s put in is left at
    /// token t.
    ///
    /// - Throws: `InputError` (`.value`) when there is no such row or head.
    /// - Complexity: O(L²).
    public func decayMask(row: Int = 0, head: Int) throws(InputError) -> Tensor<Scalar> {
        guard row >= 0, row < batch else {
            throw InputError(.value, in: "row", expected: "0 ..< \(batch)", found: "\(row)")
        }
        guard head >= 0, head < heads else {
            throw InputError(.value, in: "head", expected: "0 ..< \(heads)", found: "\(head)")
        }
        let steps = effectiveSteps()
        var mask = Tensor(repeating: Scalar.zero, shape: [length, length])
        for tokens in packing?.rows[row] ?? [0..<length] {
            for s in tokens {
                var seg = Scalar.zero
                for t in s..<tokens.upperBound {
                    if t > s { seg += steps.elements[(row * length + t) * heads + head] * a.elements[head] }
                    mask.elements[t * length + s] = .exp(seg)
                }
            }
        }
        return mask
    }
}
