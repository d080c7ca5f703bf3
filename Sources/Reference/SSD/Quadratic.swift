//  The quadratic form: attention with a mask that decays.
//
//      M_ts = exp(seg(t, s)) (C_t · B_s)  for s <= t, else 0          seg(t, s) = sum of ln a_k over k = s+1 ... t
//
//      1. attention          Y_t  = sum over s <= t of M_ts x̄_s
//      2. entering state     Y_t += exp(seg(t, 0)) S_0 C_t
//      3. leaving state      S_L  = exp(seg(L, 0)) S_0 + sum over s of exp(seg(L, s)) x̄_s B_sᵀ
//
//  Every seg(t, s) is summed over its own segment and starts anew at s, so that its error is
//  relative to itself; a difference of two running sums would carry the error of the longer one.
//  The mask is never evaluated above the diagonal, where exp of a positive sum would overflow.
//
//  Source: Mamba-2 (arXiv 2405.21060) section 3.2, structured masked attention; state-spaces/mamba,
//  ssd_minimal.py, `segsum`.

import DualityCore

extension HeadSequence {
    /// The quadratic form. O(L² (P + N)) time; the matrix M is made and used a tile at a time, so
    /// O(L) memory.
    func quadratic() -> HeadResult<Scalar> {
        var y = [Scalar](repeating: .zero, count: length * headDim)
        addAttention(over: 0..<length, to: &y)
        addReadout(of: initialState, over: 0..<length, to: &y)
        return HeadResult(y: y, states: checkpoints.map { advanced(initialState, over: 0..<$0) })
    }

    /// Step 1 among the tokens of `range` alone:
    /// `y[t] += sum over s in range, s <= t, of M_ts x̄_s`.
    func addAttention(over range: Range<Int>, to y: inout [Scalar]) {
        let width = 64
        var queries = [Scalar](repeating: .zero, count: stateDim * width)  // C of the tile, transposed, [N, t]
        var weights = [Scalar](repeating: .zero, count: width * width)  // M of the tile, transposed, [s, t]
        var sums = [Scalar](repeating: .zero, count: width * headDim)  // of the tile, [t, p]
        // seg(t, s) by s, for the last t seen
        var segment = [SegmentSum<Scalar>](repeating: SegmentSum(), count: range.count)

        for tFirst in stride(from: range.lowerBound, to: range.upperBound, by: width) {
            let ts = tFirst..<min(tFirst + width, range.upperBound)
            for t in ts {
                for n in 0..<stateDim { queries[n * width + t - tFirst] = c[t * stateDim + n] }
            }
            for sFirst in stride(from: range.lowerBound, through: tFirst, by: width) {
                let ss = sFirst..<min(sFirst + width, range.upperBound)
                // C_t · B_s
                for i in weights.indices { weights[i] = .zero }
                addProduct(
                    b, as: .rows(from: sFirst, width: stateDim), times: queries, as: .rows(width: width),
                    to: &weights, as: .rows(width: width), rows: ss.count, depth: stateDim, columns: ts.count)
                // exp(seg(t, s)), from the diagonal down
                for s in ss {
                    var sum = segment[s - range.lowerBound]
                    for t in max(s, tFirst)..<ts.upperBound {
                        if t > s { sum.add(logDecay[t]) }
                        weights[(s - sFirst) * width + t - tFirst] *= .exp(sum.value)
                    }
                    segment[s - range.lowerBound] = sum
                }
                // M x̄, each tile summed by itself; on the diagonal each row has its own length
                for i in sums.indices { sums[i] = .zero }
                let mask = MatrixLayout.rows(width: width).transposed
                if sFirst < tFirst {
                    addProduct(
                        weights, as: mask, times: x, as: .rows(from: sFirst, width: headDim),
                        to: &sums, as: .rows(width: headDim), rows: ts.count, depth: ss.count, columns: headDim)
                } else {
                    for t in ts {
                        var row = mask
                        row.start = t - tFirst
                        addProduct(
                            weights, as: row, times: x, as: .rows(from: sFirst, width: headDim), to: &sums,
                            as: .rows(from: t - tFirst, width: headDim),
                            rows: 1, depth: t - tFirst + 1, columns: headDim)
                    }
                }
                for i in 0..<ts.count * headDim { y[tFirst * headDim + i] += sums[i] }
            }
        }
    }

    /// Step 2 over the tokens of `range`: `y[t] += exp(seg) S C_t`, S the state before the first of
    /// them.
    func addReadout(of state: [Scalar], over range: Range<Int>, to y: inout [Scalar]) {
        var columns = [Scalar](repeating: .zero, count: stateDim * headDim)  // S transposed, [N, P]
        for p in 0..<headDim {
            for n in 0..<stateDim { columns[n * headDim + p] = state[p * stateDim + n] }
        }
        var decayed = Array(c[range.lowerBound * stateDim..<range.upperBound * stateDim])  // exp(seg) C_t
        var sum = SegmentSum<Scalar>()
        for (i, t) in range.enumerated() {
            sum.add(logDecay[t])
            let decay = Scalar.exp(sum.value)
            for n in 0..<stateDim { decayed[i * stateDim + n] *= decay }
        }
        addProduct(
            decayed, as: .rows(width: stateDim), times: columns, as: .rows(width: headDim),
            to: &y, as: .rows(from: range.lowerBound, width: headDim), rows: range.count, depth: stateDim,
            columns: headDim)
    }

    /// Step 3 over the tokens of `range`: the state after the last of them, from the state before
    /// the first.
    func advanced(_ state: [Scalar], over range: Range<Int>) -> [Scalar] {
        var carried = CarriedState(state)
        advance(&carried, over: range)
        return carried.value
    }

    /// The same on a state that goes on to further tokens.
    func advance(_ state: inout CarriedState<Scalar>, over range: Range<Int>) {
        var decayed = Array(x[range.lowerBound * headDim..<range.upperBound * headDim])  // exp(seg) x̄_s
        var sum = SegmentSum<Scalar>()  // from s + 1 to the end, growing backwards
        for (i, s) in range.enumerated().reversed() {
            let decay = Scalar.exp(sum.value)
            for p in 0..<headDim { decayed[i * headDim + p] *= decay }
            sum.add(logDecay[s])
        }
        // Summed apart, and in blocks, so that a state much larger than what the chunk adds is
        // rounded once per chunk and not once per token.
        var update = [Scalar](repeating: .zero, count: headDim * stateDim)
        for first in stride(from: 0, to: range.count, by: 64) {
            var sums = [Scalar](repeating: .zero, count: update.count)
            addProduct(
                decayed, as: .rows(from: first, width: headDim).transposed, times: b,
                as: .rows(from: range.lowerBound + first, width: stateDim),
                to: &sums, as: .rows(width: stateDim), rows: headDim, depth: min(64, range.count - first),
                columns: stateDim)
            for i in update.indices { update[i] += sums[i] }
        }
        state.advance(logDecay: sum.value, adding: update)
    }
}
