//  The operator with faults: the chunked form in float64, every step of which can be done wrong.
//
//      inside a chunk   T_t = a_t T_{t-1} + x̄_t B_tᵀ,   T = 0 before its first token          (the chunk's own state)
//      read out         y_t = T_t C_t + exp(ℓ_t) H C_t                                         (H: the entering state)
//      between chunks   H <- exp(ℓ_end) H + T_end
//
//  It is the chunked form written as a recurrence: O(L P N) whatever the chunk size, which only
//  says where T restarts and H moves on. Without a fault it is the operator, up to float64's
//  rounding. Several faults may be combined.
//
//  The walk along the tokens is in ScanWalk.swift, the skip, the gate and the steps are in
//  FaultyScan+Ends.swift, narrow matrix products in FaultyScan+Products.swift.

import DualityCore
import DualityReference

/// A scan with mistakes in it.
struct FaultyScan {
    let call: ScanCall
    let faults: Set<ScanFault>
    /// Which shape of those faults that have several.
    let variant: Int
    let chunkSize: Int
    /// Whether all terms are added by their magnitudes, as their rounding errors are.
    var sumsMagnitudes = false

    /// - Returns: nil where a fault is about an operand that is not there.
    init?(_ call: ScanCall, _ faults: [ScanFault], variant: Int = 0, chunkSize: Int) {
        var bent = call
        for fault in faults {
            guard let next = bent.bent(by: fault, variant: variant) else { return nil }
            bent = next
        }
        self.call = bent
        self.faults = Set(faults)
        self.variant = variant
        self.chunkSize = max(chunkSize, 1)
    }

    func has(_ fault: ScanFault) -> Bool { faults.contains(fault) }

    /// Runs the call. Where it overflows the result has infinities and NaN.
    ///
    /// - Complexity: O(B L H P N), and with narrow products O(B L H Q (P + N)).
    func run() -> ScanResult {
        let steps = effectiveSteps()
        var result = ScanResult(like: call)
        for head in 0..<call.heads {
            for lane in lanes { advance(lane, head: head, steps: steps, &result) }
        }
        gatherFinalStates(&result)
        finish(&result, steps: steps)
        return result
    }

    /// What is scanned in one go: a sequence, or a whole row where nothing is reset.
    private struct Lane {
        let row: Int
        let tokens: Range<Int>
        let initialState: Int?
        /// Sequences and where they end.
        let ends: [(sequence: Int, end: Int)]
    }

    private var lanes: [Lane] {
        /// The sequences whose last token lies in a range of a row.
        func ends(_ row: Int, _ tokens: Range<Int>, _ number: Int) -> [(sequence: Int, end: Int)] {
            if tokens.isEmpty { return [(number, tokens.upperBound)] }
            return call.ends.indices.filter { call.ends[$0].row == row && tokens.contains(call.ends[$0].end - 1) }
                .map { ($0, call.ends[$0].end) }
        }
        guard has(.noReset) || has(.resetByID) else {
            return call.runs.map { run in
                let ends = ends(run.row, run.tokens, run.sequence)
                guard has(.stateTakenLate), run.tokens.upperBound < call.length, !run.tokens.isEmpty else {
                    return Lane(row: run.row, tokens: run.tokens, initialState: run.initialState, ends: ends)
                }
                // One token more, whose y the next run replaces by its own.
                return Lane(
                    row: run.row, tokens: run.tokens.lowerBound..<run.tokens.upperBound + 1,
                    initialState: run.initialState, ends: ends.map { ($0.sequence, $0.end + 1) })
            }
        }
        return (0..<call.batch).map { row in
            let first = call.runs.first { $0.row == row }
            return Lane(
                row: row, tokens: 0..<call.length, initialState: first?.initialState,
                ends: ends(row, 0..<call.length, first?.sequence ?? 0))
        }
    }

    private func advance(_ lane: Lane, head: Int, steps: Tensor<Double>, _ result: inout ScanResult) {
        var walk = ScanWalk(self, row: lane.row, tokens: lane.tokens, head: head, steps: steps)
        walk.enter(lane.initialState)
        if has(.resetByID), let ids = call.ids {
            walk.scan(byID: Array(ids.elements[lane.row * call.length..<(lane.row + 1) * call.length]))
            for (sequence, _) in lane.ends { walk.store(stateOf: sequence, to: &result) }
        } else {
            var first = lane.tokens.lowerBound
            for (sequence, end) in lane.ends {
                if has(.stateTakenEarly), first < end {
                    walk.scan(first..<end - 1)
                    walk.store(stateOf: sequence, to: &result)
                    walk.scan(end - 1..<end)
                } else {
                    walk.scan(first..<end)
                    walk.store(stateOf: sequence, to: &result)
                }
                first = end
            }
            if first < lane.tokens.upperBound { walk.scan(first..<lane.tokens.upperBound) }
        }
        walk.store(&result)
    }

    private func gatherFinalStates(_ result: inout ScanResult) {
        let size = call.heads * call.headDim * call.stateDim
        for (i, run) in call.runs.enumerated() {
            let isFirst = i == 0 || call.runs[i - 1].row != run.row
            if has(.finalStateOfFirst) && !isFirst { continue }
            for j in 0..<size {
                result.finalState.elements[run.row * size + j] =
                    result.sequenceStates.elements[run.sequence * size + j]
            }
        }
        if has(.sequenceStatesShifted) {
            let (states, count) = (result.sequenceStates.elements, call.sequences)
            for sequence in 0..<count {
                let other = (sequence + (variant == 0 ? 1 : count - 1)) % count
                result.sequenceStates.elements.replaceSubrange(
                    sequence * size..<(sequence + 1) * size, with: states[other * size..<(other + 1) * size])
            }
        }
        if has(.stateTransposed) {
            result.finalState = result.finalState.transposedLast()
            result.sequenceStates = result.sequenceStates.transposedLast()
        }
    }
}
