//  The decays between the tokens of a chunk, with the bound of their errors.
//
//      L_ts = exp(seg(t, s))        seg summed from s + 1 to t, or as the difference of running sums ℓ_t - ℓ_s
//
//  A segment's error grows with its own length; a difference carries the roundings of both running
//  sums, which is what makes it the worse of the two.

import DualityCore
import DualityReference

/// exp(seg) between the tokens of a chunk, with the bound of its error.
struct BoundedChunkDecays {
    let arithmetic: KernelArithmetic
    let first: Int
    /// ℓ with the errors of z alone, from the beginning of the chunk, `[n]`; the sum before the
    /// sequence's first token.
    let sums: [Bounded]
    let lead: Bounded
    /// ρ, `[n]`, and that of `lead`: what the additions of the running sum may add to its error.
    let roundings: [Double]
    let leadRounding: Double
    /// Of the tree, 0 where there is none.
    let leaves: Int

    init(_ sequence: BoundedSequence, over chunk: Range<Int>, _ arithmetic: KernelArithmetic) {
        self.arithmetic = arithmetic
        leaves = arithmetic.leaves(of: sequence.length)
        first = chunk.lowerBound
        let position = arithmetic.firstPosition(ofSequenceAt: sequence.start) + chunk.lowerBound
        let chunkStart = arithmetic.chunkSize.map { position % $0 } ?? 0
        let operation = arithmetic.operation
        if sequence.isReversed {
            // The running sums of the kernel go the other way: any of them is at most the sum of
            // all.
            lead = Bounded(0)
            leadRounding = 0
            var sum = Bounded(0)
            sums = chunk.map { t in
                sum = sum + sequence.logDecay[t]
                return sum
            }
            let before = chunk.upperBound == sequence.length ? sequence.lead.magnitude : 0
            let size = min(arithmetic.chunkSize ?? 1, chunk.count + sequence.start + sequence.length)
            let rounding = operation.growth(size) * (sum.magnitude + before)
            roundings = [Double](repeating: rounding, count: chunk.count)
            return
        }
        lead = first == 0 ? sequence.lead : Bounded(0)
        var sum = lead
        var sums: [Bounded] = []
        var roundings: [Double] = []
        for (i, t) in chunk.enumerated() {
            sum = sum + sequence.logDecay[t]
            sums.append(sum)
            roundings.append(operation.growth(chunkStart + i) * sum.magnitude)
        }
        self.sums = sums
        self.roundings = roundings
        leadRounding = operation.growth(chunkStart) * lead.magnitude
    }

    /// L_ts, for s <= t.
    func between(_ s: Int, _ t: Int) -> BoundedDecay {
        if s == t { return .none }
        return decay(from: sums[s - first], roundings[s - first], to: t, additions: t - s - 1, leaves: 0)
    }

    /// The decay of the entering state up to and with token t.
    func fromStart(_ t: Int) -> BoundedDecay {
        decay(from: lead, leadRounding, to: t, additions: t - first, leaves: leaves)
    }

    private func decay(
        from sum: Bounded, _ rounding: Double, to t: Int, additions: Int, leaves: Int
    ) -> BoundedDecay {
        let (end, endRounding) = (sums[t - first], roundings[t - first])
        var segment = Bounded(end.value - sum.value, error: end.error - sum.error)
        let operation = arithmetic.operation
        switch arithmetic.decaySums {
        case .segments: segment.error += operation.growth(additions) * segment.magnitude
        case .differences: segment.error += rounding + endRounding
        }
        if arithmetic.decaySums == .differences { segment = segment.rounded(operation) }
        segment.error +=
            operation.growth(leaves) * segment.magnitude + arithmetic.productError(of: additions + 1)
        return arithmetic.decay(segment)
    }
}
