//  Faults that are a wrong idea of the operands: what a kernel with the fault takes them for.

import DualityCore
import DualityNumerics
import DualityReference

extension ScanCall {
    /// The call as a kernel with the fault sees it. Faults of the scan itself change nothing here.
    ///
    /// - Returns: nil where the fault changes nothing because the operand it is about is not there.
    func bent(by fault: ScanFault, variant: Int) -> ScanCall? {
        var call = self
        let isThere =
            call.bendSteps(by: fault, variant) && call.bendStates(by: fault) && call.bendHeads(by: fault, variant)
            && call.bendOutputs(by: fault)
        return isThere ? call : nil
    }

    /// Steps, their bias, softplus and limits, and the rates A.
    ///
    /// - Returns: false where the operand that the fault is about is not there.
    private mutating func bendSteps(by fault: ScanFault, _ variant: Int) -> Bool {
        switch fault {
        case .dtBiasMissing:
            guard dtBias != nil else { return false }
            dtBias = nil
        case .dtBiasTwice:
            guard dtBias != nil else { return false }
            dtBias = dtBias?.map { 2 * $0 }
        case .dtClampThousandth:
            guard limit.lowerBound < 0.001, limit.upperBound > 0.001 else { return false }
            limit = 0.001...limit.upperBound
        case .dtLimitIgnored:
            guard limit != 0...(.infinity) else { return false }
            limit = 0...(.infinity)
        case .softplusMissing:
            guard softplus else { return false }
            softplus = false
        case .softplusTwice:
            guard softplus else { return false }
        case .stepPreparedTwice:
            guard softplus, dtBias != nil else { return false }
        case .stepNotPrepared:
            guard softplus, dtBias != nil else { return false }
            (softplus, dtBias) = (false, nil)
        case .softplusUnwanted:
            guard !softplus else { return false }
            softplus = true
        case .dtLimitBeforeSoftplus:
            guard softplus, limit != 0...(.infinity) else { return false }
        case .aNegatedTwice:
            a = a.map { -$0 }
        case .aLogNotExponentiated:
            guard a.elements.allSatisfy({ $0 < 0 }) else { return false }
            a = a.map { variant == 0 ? Double.log(-$0) : -Double.log(-$0) }
        case .aBFloat16Log:
            a = a.map { $0 == 0 ? 0 : -Double.exp(NumberFormat.bf16.round(Double.log(-$0))) }
        case .aBFloat16:
            a = a.map { NumberFormat.bf16.round($0) }
        case .aTakenAsLog:
            a = a.map { -Double.exp($0) }
        case .dtBiasAfterSoftplus:
            guard dtBias != nil, softplus else { return false }
        case .softplusNaive, .softplusThresholdMissing:
            guard softplus else { return false }
        default:
            break
        }
        return true
    }

    /// States and the borders of sequences.
    ///
    /// - Returns: false where the operand that the fault is about is not there.
    private mutating func bendStates(by fault: ScanFault) -> Bool {
        switch fault {
        case .stateNotCleared:
            // What stood there is not known; StateShift.swift finds it out.
            guard runs.contains(where: { $0.initialState == nil && !$0.tokens.isEmpty }) else { return false }
        case .stateTakenEarly:
            guard runs.contains(where: { !$0.tokens.isEmpty }) else { return false }
        case .stateTakenLate, .stateTakenAtChunk, .sequenceStatesShifted:
            guard sequences > batch else { return false }
        case .initialStateIgnored:
            guard initialState != nil else { return false }
            initialState = nil
            for i in runs.indices { runs[i].initialState = nil }
        case .initialStateWrongSequence:
            guard let states = initialState, states.shape[0] > 1 || sequences > batch else { return false }
            exchangeInitialStates(count: states.shape[0])
        case .initialStateEverySequence:
            guard let states = initialState, states.shape[0] == batch, sequences > batch else { return false }
            for i in runs.indices { runs[i].initialState = runs[i].row }
        case .initialStateTransposed:
            guard let states = initialState, headDim == stateDim, headDim > 1, !isCut else { return false }
            initialState = states.transposedLast()
        case .noReset, .resetLate, .resetEarly:
            guard sequences > batch else { return false }
            if fault != .noReset { shiftResets(by: fault == .resetLate ? 1 : -1) }
        case .resetByID, .decayFromChunkStart, .finalStateOfFirst:
            guard sequences > batch else { return false }
        case .stateTransposed:
            guard headDim == stateDim, headDim > 1, !isCut else { return false }
        default:
            break
        }
        return true
    }

    /// Which head of x, B and C belongs to a head.
    ///
    /// - Returns: false where the operand that the fault is about is not there.
    private mutating func bendHeads(by fault: ScanFault, _ variant: Int) -> Bool {
        let (ownX, ownB, ownC) = (xMap, bMap, cMap)
        switch fault {
        case .headMapTiled:
            // Every choice of operands that have fewer heads, the whole first.
            let operands = [7, 1, 2, 4, 3, 5, 6][variant]
            let shared = [x, b, c].enumerated().filter { $1.shape[2] < allHeads }.reduce(0) { $0 | 1 << $1.offset }
            // A choice that differs from an earlier one only in operands with all heads is that
            // one.
            guard operands == 7 ? shared != 0 : operands & shared == operands && operands != shared else {
                return false
            }
            func tiled(_ count: Int) -> [Int] { headNumbers.map { $0 % count } }
            if operands & 1 != 0 { xMap = tiled(x.shape[2]) }
            if operands & 2 != 0 { bMap = tiled(b.shape[2]) }
            if operands & 4 != 0 { cMap = tiled(c.shape[2]) }
            guard xMap != ownX || bMap != ownB || cMap != ownC else { return false }
        case .groupZeroOnly:
            bMap = bMap.map { _ in 0 }
            cMap = cMap.map { _ in 0 }
            guard bMap != ownB || cMap != ownC else { return false }
        case .bcSwapped:
            guard b.shape[2] == c.shape[2] else { return false }
            (b, c) = (c, b)
        default:
            break
        }
        return true
    }

    /// Skip, gate and the format of operands.
    ///
    /// - Returns: false where the operand that the fault is about is not there.
    private mutating func bendOutputs(by fault: ScanFault) -> Bool {
        switch fault {
        case .skipMissing:
            guard d != nil else { return false }
            d = nil
        case .skipOnSteppedInput, .skipMissingSomeChannels:
            guard d != nil else { return false }
        case .skipAfterGate:
            guard d != nil, z != nil else { return false }
        case .gateMissing:
            guard z != nil else { return false }
            z = nil
        case .gateSigmoid:
            guard z != nil else { return false }
        case .operandsBFloat16:
            func rounded(_ tensor: Tensor<Double>) -> Tensor<Double> { tensor.map { NumberFormat.bf16.round($0) } }
            (x, b, c) = (rounded(x), rounded(b), rounded(c))
        default:
            break
        }
        return true
    }

    /// Each sequence takes the next one's initial state; with one state a row, the last sequence
    /// takes the row's.
    private mutating func exchangeInitialStates(count: Int) {
        if count == sequences, count > 1 {
            for i in runs.indices { runs[i].initialState = (i + 1) % count }
        } else {
            for i in runs.indices {
                let isLast = i + 1 == runs.count || runs[i + 1].row != runs[i].row
                let isFirst = i == 0 || runs[i - 1].row != runs[i].row
                runs[i].initialState = isFirst && isLast ? (runs[i].row + 1) % count : isLast ? runs[i].row : nil
            }
        }
    }

    /// Every boundary inside a row moves by `shift` tokens.
    private mutating func shiftResets(by shift: Int) {
        for i in runs.indices {
            let first = runs[i].tokens.lowerBound
            let end = runs[i].tokens.upperBound
            let start = first == 0 ? 0 : min(max(first + shift, 0), length)
            let stop = end == length ? length : min(max(end + shift, 0), length)
            runs[i].tokens = min(start, stop)..<stop
        }
    }
}

extension Tensor {
    /// The last two axes exchanged, where they have the same length.
    func transposedLast() -> Tensor {
        let n = shape[shape.count - 1]
        var result = self
        for first in stride(from: 0, to: count, by: n * n) {
            for i in 0..<n {
                for j in 0..<n { result.elements[first + i * n + j] = elements[first + j * n + i] }
            }
        }
        return result
    }
}
