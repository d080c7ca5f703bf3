//  Two faults that need the chunk's matrix written out: narrow operands of the matrix products, and
//  sequences told apart by equal numbers.
//
//      Y_i = sum over j of fl(exp(ℓ_i - ℓ_j) Δ_j fl(C_i) · fl(B_j)) fl(x_j) + exp(ℓ_i) fl(H) fl(C_i)
//      H  <- exp(ℓ_end) H + sum over j of fl(exp(ℓ_end - ℓ_j) Δ_j B_j) fl(x_j)ᵀ

import DualityCore
import DualityNumerics
import DualityReference

extension FaultyScan {
    /// The format of the operands of matrix products, where that is a fault.
    var productFormat: NumberFormat? { has(.productsTF32) ? .tf32 : has(.productsBFloat16) ? .bf16 : nil }
}

extension ScanWalk {
    /// Moves over some tokens with narrow products, chunk by chunk.
    mutating func multiply(_ tokens: Range<Int>) {
        guard let format = scan.productFormat else { return }
        func narrow(_ values: [Double]) -> [Double] { values.map { format.round($0) } }
        let (x, b, c) = (narrow(raw), narrow(self.b), narrow(self.c))
        var first = tokens.lowerBound
        while first < tokens.upperBound {
            let chunk = first..<min(first + scan.chunkSize - first % scan.chunkSize, tokens.upperBound)
            first = chunk.upperBound
            let state = scan.variant == 0 ? narrow(entering) : entering
            for t in chunk {
                let i = t - start
                var segment = 0.0
                for s in chunk.lowerBound...t {
                    let j = chunk.lowerBound + (t - s) - start  // from t backwards
                    var gram = 0.0
                    for n in 0..<stateDim { gram += c[i * stateDim + n] * b[j * stateDim + n] }
                    let weight = format.round(Double.exp(segment) * gram * steps[j])
                    for p in 0..<headDim { y[i * headDim + p] += weight * x[j * headDim + p] }
                    segment += logDecay[j + start]
                }
                let decay = Double.exp(segment)
                for p in 0..<headDim {
                    var total = 0.0
                    for n in 0..<stateDim { total += state[p * stateDim + n] * c[i * stateDim + n] }
                    y[i * headDim + p] += decay * total
                }
            }
            var update = [Double](repeating: 0, count: entering.count)
            var segment = 0.0
            for t in chunk.reversed() {
                let j = t - start
                let decay = Double.exp(segment) * steps[j]
                for n in 0..<stateDim {
                    let scaled = format.round(self.b[j * stateDim + n] * decay)
                    for p in 0..<headDim { update[p * stateDim + n] += scaled * x[j * headDim + p] }
                }
                segment += logDecay[t]
            }
            let decay = Double.exp(segment)
            for i in entering.indices { entering[i] = decay * entering[i] + update[i] }
        }
    }

    /// Moves over a row in which tokens see each other where their numbers are equal. In the first
    /// variant that is asked inside chunks, and of the last tokens of neighbouring chunks; in the
    /// second of every two tokens.
    mutating func scan(byID ids: [Int]) {
        let size = headDim * stateDim
        var states: [Int: [Double]] = [:]
        var idBefore = 0  // before the first chunk, as the official kernels have it
        let initial = entering
        if scan.variant == 1 { states[ids.first ?? 0] = entering }
        for t in ids.indices {
            let (id, decay) = (ids[t], Double.exp(logDecay[t]))
            sum += logDecay[t]
            for key in states.keys {
                for i in 0..<size { states[key]?[i] *= decay }
            }
            var state = states[id] ?? [Double](repeating: 0, count: size)
            for p in 0..<headDim {
                let input = x[t * headDim + p]
                var total = 0.0
                for n in 0..<stateDim {
                    let place = p * stateDim + n
                    state[place] += input * b[t * stateDim + n]
                    var read = state[place]
                    if scan.variant == 0, id == idBefore { read += Double.exp(sum) * entering[place] }
                    total += read * c[t * stateDim + n]
                }
                y[t * headDim + p] = total
            }
            states[id] = state
            let isLast = t + 1 == ids.count
            if scan.variant == 0, (t + 1) % scan.chunkSize == 0 || isLast {
                let carried = id == idBefore ? Double.exp(sum) : 0
                entering = (0..<size).map { (carried == 0 ? 0 : carried * entering[$0]) + state[$0] }
                (states, idBefore, sum) = ([:], id, 0)
            }
        }
        if scan.variant == 1 { entering = states[ids.last ?? 0] ?? initial }
        sum = 0
    }
}
