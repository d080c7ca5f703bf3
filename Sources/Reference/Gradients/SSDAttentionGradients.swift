//  Masked attention with decay, backwards: step 1 of the chunked form, and all of the quadratic
//  one.
//
//      Y_t = sum over s <= t of L_ts K_ts x̄_s          L_ts = exp(seg(t, s)),  K_ts = C_t · B_s,  X_ts = g_t · x̄_s
//
//      ∂x̄_s += sum over t >= s of L_ts K_ts g_t
//      ∂B_s += sum over t >= s of L_ts X_ts C_t
//      ∂C_t += sum over s <= t of L_ts X_ts B_s
//      λ_k  += sum over s < k <= t of L_ts K_ts X_ts
//
//  The attention matrix is made a tile at a time, as in the forward pass, and never above the
//  diagonal.

import DualityCore

extension HeadSequence {
    /// `addAttention(over:to:)` transposed, over the tokens of `range` alone. O(R² (P + N)) time
    /// for R tokens, O(R) memory.
    func addAttentionBack(over range: Range<Int>, _ g: [Scalar], to result: inout HeadGradients<Scalar>) {
        let width = min(64, range.count)
        let mask = MatrixLayout.rows(width: width)  // [s, t]
        var queries = [Scalar](repeating: .zero, count: stateDim * width)  // C of the tile, transposed, [N, t]
        var pulls = [Scalar](repeating: .zero, count: headDim * width)  // g of the tile, transposed, [P, t]
        var segment = [Scalar](repeating: .zero, count: range.count)  // seg(t, s) by s, for the last t seen
        var reach = [Scalar](repeating: .zero, count: width)  // sum of L K X over the s seen so far, by t

        for tFirst in stride(from: range.lowerBound, to: range.upperBound, by: width) {
            let ts = tFirst..<min(tFirst + width, range.upperBound)
            for t in ts {
                for n in 0..<stateDim { queries[n * width + t - tFirst] = c[t * stateDim + n] }
                for p in 0..<headDim { pulls[p * width + t - tFirst] = g[t * headDim + p] }
                reach[t - tFirst] = .zero
            }
            for sFirst in stride(from: range.lowerBound, through: tFirst, by: width) {
                let ss = sFirst..<min(sFirst + width, range.upperBound)
                var inner = [Scalar](repeating: .zero, count: width * width)  // K, then L K
                var outer = inner  // X, then L X
                addProduct(
                    b, as: .rows(from: sFirst, width: stateDim), times: queries, as: .rows(width: width),
                    to: &inner, as: mask, rows: ss.count, depth: stateDim, columns: ts.count)
                addProduct(
                    x, as: .rows(from: sFirst, width: headDim), times: pulls, as: .rows(width: width),
                    to: &outer, as: mask, rows: ss.count, depth: headDim, columns: ts.count)
                for s in ss {
                    var sum = segment[s - range.lowerBound]
                    var crossing = Scalar.zero  // what reaches across token s
                    for t in max(s, tFirst)..<ts.upperBound {
                        let place = (s - sFirst) * width + t - tFirst
                        crossing += reach[t - tFirst]
                        if t > s { sum += logDecay[t] }
                        let decay = Scalar.exp(sum)
                        inner[place] *= decay
                        reach[t - tFirst] += inner[place] * outer[place]
                        outer[place] *= decay
                    }
                    segment[s - range.lowerBound] = sum
                    result.logDecay[s] += crossing
                }
                addTile(inner, outer, mask, ts: ts, ss: ss, g, to: &result)
            }
        }
    }

    /// ∂x̄, ∂B and ∂C of one tile, from L K and L X, both `[s, t]`.
    private func addTile(
        _ inner: [Scalar], _ outer: [Scalar], _ mask: MatrixLayout, ts: Range<Int>, ss: Range<Int>, _ g: [Scalar],
        to result: inout HeadGradients<Scalar>
    ) {
        // Below the diagonal the tile is one block; on it each row has its own length.
        let diagonal = ss.lowerBound == ts.lowerBound
        for (i, s) in ss.enumerated() where diagonal || i == 0 {
            let (rows, first) = diagonal ? (1, s) : (ss.count, ts.lowerBound)
            var block = mask
            block.start = diagonal ? i * (mask.row + 1) : 0
            addProduct(
                inner, as: block, times: g, as: .rows(from: first, width: headDim), to: &result.x,
                as: .rows(from: s, width: headDim),
                rows: rows, depth: ts.upperBound - first, columns: headDim)
            addProduct(
                outer, as: block, times: c, as: .rows(from: first, width: stateDim), to: &result.b,
                as: .rows(from: s, width: stateDim),
                rows: rows, depth: ts.upperBound - first, columns: stateDim)
        }
        for (i, t) in ts.enumerated() where diagonal || i == 0 {
            let (rows, depth) = diagonal ? (1, i + 1) : (ts.count, ss.count)
            var block = mask.transposed
            block.start = diagonal ? i : 0
            addProduct(
                outer, as: block, times: b, as: .rows(from: ss.lowerBound, width: stateDim),
                to: &result.c, as: .rows(from: t, width: stateDim), rows: rows, depth: depth, columns: stateDim)
        }
    }
}
