//  Chunks of the gated delta rule in float64 with one fault: the equations of DeltaOperands.swift
//  in its order.

import DualityCore
import DualityNumerics
import DualityReference

/// A head that is computed chunk by chunk.
struct FaultyDeltaChunks {
    let head: DeltaHead<Double>
    let fault: DeltaFault
    /// The sum of the log decays before the chunk.
    private var total = 0.0

    init(head: DeltaHead<Double>, fault: DeltaFault) {
        (self.head, self.fault) = (head, fault)
    }

    private func product(_ x: Double) -> Double {
        switch fault {
        case .productsTF32: NumberFormat.tf32.round(x)
        case .productsBFloat16: NumberFormat.bf16.round(x)
        default: x
        }
    }

    private func overlap(_ a: [Double], _ s: Int, _ t: Int) -> Double {
        var sum = 0.0
        for m in 0..<head.keyDim {
            sum += product(a[s * head.keyDim + m]) * product(head.k[t * head.keyDim + m])
        }
        return sum
    }

    mutating func run(_ tokens: Range<Int>, _ first: Int, _ state: inout [Double], _ rows: inout [Double]) {
        let (size, start, keys, values) = (tokens.count, tokens.lowerBound, head.keyDim, head.valueDim)
        if fault == .chunkStateLost && start > first { for i in state.indices { state[i] = 0 } }
        // ℓ_i, with ℓ_0 = 0 in front.
        var sums = [0.0]
        for t in tokens { sums.append(sums[sums.count - 1] + head.logDecay[t]) }
        let shift = fault == .sumsNotRestarted ? total : 0
        total += sums[size]
        let entering = sums.map { Double.exp($0 + shift) }
        let inverse = inverse(sums, start)
        let delta = deltas(inverse: inverse, entering: entering, state: state, start: start, size: size)
        for i in 0..<size {
            let row = (start - first + i) * values
            let faded = fault == .crossDecayMissing ? 1 : entering[i + 1]
            for m in 0..<keys {
                let query = faded * product(head.q[(start + i) * keys + m])
                for j in 0..<values { rows[row + j] += query * product(state[m * values + j]) }
            }
            for s in 0...i {
                let e = fault == .insideDecayMissing ? 1 : Double.exp(sums[i + 1] - sums[s + 1])
                let weight = product(e * overlap(head.q, start + i, start + s))
                for j in 0..<values { rows[row + j] += weight * product(delta[s * values + j]) }
            }
        }
        if fault != .chunkStateUndecayed { for i in state.indices { state[i] *= entering[size] } }
        for i in 0..<size {
            let e = fault == .keysNotDecayed ? 1 : Double.exp(sums[size] - sums[i + 1])
            for m in 0..<keys {
                let key = product(head.k[(start + i) * keys + m])
                for j in 0..<values { state[m * values + j] += key * product(e * delta[i * values + j]) }
            }
        }
        if fault == .chunkStateBFloat16 { state = state.map { NumberFormat.bf16.round($0) } }
    }

    /// A with its fault, `[Q, Q]`.
    private func system(_ sums: [Double], _ start: Int) -> [Double] {
        let size = sums.count - 1
        var system = [Double](repeating: 0, count: size * size)
        for i in 0..<size {
            for j in 0...i where j < i || fault == .systemDiagonal {
                let exponent: Double =
                    switch fault {
                    case .systemDecayMissing: 0
                    case .systemDecayLate: sums[i + 1] - sums[j]
                    case .systemDecayEarly: sums[i] - sums[j + 1]
                    default: sums[i + 1] - sums[j + 1]
                    }
                let beta = fault == .systemBetaMissing ? 1 : head.beta[start + i]
                system[i * size + j] = beta * overlap(head.k, start + i, start + j) * Double.exp(exponent)
            }
        }
        return system
    }

    private func inverse(_ sums: [Double], _ start: Int) -> [Double] {
        let (size, system) = (sums.count - 1, system(sums, start))
        func identity() -> [Double] {
            (0..<size * size).map { $0 / size == $0 % size ? 1 : 0 }
        }
        func times(_ a: [Double], _ b: [Double]) -> [Double] {
            var c = [Double](repeating: 0, count: size * size)
            for i in 0..<size {
                for j in 0...i where a[i * size + j] != 0 {
                    for m in 0...j { c[i * size + m] += a[i * size + j] * b[j * size + m] }
                }
            }
            return c
        }
        var inverse = identity()
        switch fault {
        case .inverseFirstOrder, .inverseTruncated:
            var power = identity()
            for order in 1...(fault == .inverseFirstOrder ? 1 : 3) {
                power = times(system, power)
                for i in inverse.indices { inverse[i] += order % 2 == 1 ? -power[i] : power[i] }
            }
        default:
            for i in 0..<size {
                for j in 0..<i where !(fault == .inverseBlocksOnly && i / 16 != j / 16) {
                    for m in 0...j { inverse[i * size + m] -= system[i * size + j] * inverse[j * size + m] }
                }
                let diagonal = 1 + system[i * size + i]
                for m in 0...i { inverse[i * size + m] /= diagonal }
            }
        }
        switch fault {
        case .inverseTF32: return inverse.map { NumberFormat.tf32.round($0) }
        case .inverseBFloat16: return inverse.map { NumberFormat.bf16.round($0) }
        default: return inverse.map(product)
        }
    }

    /// δ = U - W S, `[Q, V]`.
    private func deltas(
        inverse: [Double], entering: [Double], state: [Double], start: Int, size: Int
    ) -> [Double] {
        let (keys, values) = (head.keyDim, head.valueDim)
        var delta = [Double](repeating: 0, count: size * values)
        for i in 0..<size {
            var w = [Double](repeating: 0, count: keys)
            for s in 0...i {
                let t = inverse[i * size + s]
                let beta = head.beta[start + s]
                for j in 0..<values { delta[i * values + j] += t * product(beta * head.v[(start + s) * values + j]) }
                let faded = fault == .enteringDecayMissing ? 1 : entering[s + 1]
                for m in 0..<keys { w[m] += t * product(beta * faded * head.k[(start + s) * keys + m]) }
            }
            guard fault != .enteringUncorrected else { continue }
            for m in 0..<keys {
                for j in 0..<values { delta[i * values + j] -= product(w[m]) * product(state[m * values + j]) }
            }
        }
        return delta
    }
}
