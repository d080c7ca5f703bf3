//  What a kernel makes of its operands before the first sum, and how far that may be off.
//
//      u = dt + dtBias        Δ = clamp(softplus(u))        z = Δ A
//
//  |Δ̂ - Δ| is at most the error of u times the largest slope of softplus within it, sigmoid(u + error), plus that of the
//  evaluation: relative for log1p(exp(u)); absolute, about u (1 + e^u), for log(1 + exp(u)).
//  Clamping moves two numbers no further apart. Rounding x, B, C and z is not bounded but known:
//  the difference itself is carried.

import DualityCore
import DualityReference

/// One head of one sequence with bounds on the errors of its operands.
struct BoundedSequence {
    let length: Int
    let headDim: Int
    let stateDim: Int
    /// Where in its row the sequence begins; chunks are counted from the start of the row.
    let start: Int
    /// Δ, `[L]`.
    let step: [Bounded]
    /// z = Δ A, `[L]`.
    let logDecay: [Bounded]
    /// Sum of z over the tokens of the row between the beginning of the chunk and that of the
    /// sequence.
    let lead: Bounded
    /// Whether the tokens run backwards in time, as the walks of gradients have them; `lead` is
    /// then that of the last chunk.
    var isReversed = false
    /// `[L, P]`
    let x: BoundedRows
    /// `[L, N]`
    let b: BoundedRows
    /// `[L, N]`
    let c: BoundedRows
    /// `[P, N]`
    let initialState: BoundedRows
}

/// Rows of numbers and of errors; most often every error is zero, and then there are none.
struct BoundedRows {
    var values: [Double]
    var errors: [Double]?
    /// Whether the kernel computes them, and does not read them in its format.
    var areComputed = false
}

extension BoundedRows {
    /// Numbers of which the kernel has other versions.
    init(_ values: [Double], readAs computed: (Double) -> Double) {
        self.values = values
        let errors = values.map { ($0 - computed($0)).magnitude }
        self.errors = errors.allSatisfy { $0 == 0 } ? nil : errors
    }

    /// |value| + error.
    var magnitudes: [Double] {
        guard let errors else { return values.map(\.magnitude) }
        return zip(values, errors).map { $0.magnitude + $1 }
    }
}

extension BoundedSequence {
    /// - Parameters:
    ///   - steps: Δ with its errors, `[B, L, H]`.
    init(
        _ inputs: SSDInputs<Double>, steps: Tensor<Bounded>, run: SSDRun, head: Int, arithmetic: KernelArithmetic
    ) {
        length = run.tokens.count
        headDim = inputs.headDim
        stateDim = inputs.stateDim
        let start = run.tokens.lowerBound
        self.start = start

        let storage = arithmetic.storage(arithmetic.steps)
        let exactRate = inputs.a.elements[head]
        let rate = Bounded(exactRate, error: (exactRate - arithmetic.accumulate.round(exactRate)).magnitude)
        let z = (0..<run.tokens.upperBound).map { t in
            let step = steps.elements[(run.row * inputs.length + t) * inputs.heads + head]
            // A step that is certainly zero needs no rounding.
            return step.magnitude == 0 ? step : (step * rate).rounded(arithmetic.operation).rounded(storage)
        }
        logDecay = Array(z[start...])
        let chunkStart = arithmetic.isTree ? start : arithmetic.chunkSize.map { start - start % $0 } ?? start
        lead = z[chunkStart..<start].reduce(Bounded(0), +)
        step = run.tokens.map { steps.elements[(run.row * inputs.length + $0) * inputs.heads + head] }

        func rows(_ tensor: Tensor<Double>, head: Int, width: Int) -> BoundedRows {
            BoundedRows(columns(of: tensor, row: run.row, tokens: run.tokens, head: head, width: width)) {
                arithmetic.inputs.round($0)
            }
        }
        x = rows(inputs.x, head: inputs.headMap.x[head], width: headDim)
        b = rows(inputs.b, head: inputs.headMap.b[head], width: stateDim)
        c = rows(inputs.c, head: inputs.headMap.c[head], width: stateDim)
        initialState = BoundedRows(run.initialState(of: head, in: inputs)) { arithmetic.state.round($0) }
    }
}

extension BoundedSequence {
    /// At least any number of the state: no decay exceeds 1, so none exceeds what has ever been put
    /// into one.
    ///
    /// - Parameters:
    ///   - x: |x̄| with its error, `[L, P]`.
    ///   - b: |B| likewise, `[L, N]`.
    func largestState(x: [Double], b: [Double]) -> Double {
        var state = initialState.magnitudes.max() ?? 0
        for t in 0..<length {
            let largestX = x[t * headDim..<(t + 1) * headDim].max() ?? 0
            state += largestX * (b[t * stateDim..<(t + 1) * stateDim].max() ?? 0)
        }
        return state
    }
}

extension KernelArithmetic {
    /// Δ and the error a kernel may make in it, `[B, L, H]`.
    func boundedSteps(of inputs: SSDInputs<Double>) -> Tensor<Bounded> {
        let heads = inputs.heads
        let limits = inputs.dtLimit
        var i = 0
        return inputs.dt.map { dt in
            defer { i += 1 }
            var u = Bounded(dt, error: (dt - self.inputs.round(dt)).magnitude)
            if let bias = inputs.dtBias?.elements[i % heads] {
                u = (u + Bounded(bias, error: (bias - parameters.round(bias)).magnitude)).rounded(operation)
            }
            let step = inputs.dtSoftplus ? boundedSoftplus(u) : u
            return clamped(step, to: limits).rounded(storage(steps))
        }
    }

    /// softplus, or the argument itself above 20.
    private func boundedSoftplus(_ u: Bounded) -> Bounded {
        let value = Double.thresholdedSoftplus(u.value)
        let largest = u.value + u.error
        let power = Double.exp(min(largest, 20))
        let exp = relativeErrorOfExp(u.magnitude)
        var evaluation: Double
        switch softplus {
        case .accurate:
            // log1p within 2 ulp, the addition of max(u, 0), and the error of exp, which log1p does
            // not enlarge.
            evaluation = (exp + 5 * operation.unit) * (1 + exp) * Double.softplus(largest)
        case .naive:
            // The sum 1 + e^u, a number of at least 1, and its logarithm.
            let sum = (power * exp + operation.unit * (1 + power * (1 + exp))) / (1 + power)
            evaluation = sum / (1 - sum) + logarithmError(of: Double.softplus(largest))
        }
        evaluation += operation.tiny
        // On the other side of the threshold, or without one, the answer is another by ln(1 +
        // e^-u).
        let threshold = largest > 20 ? Double.exp(-max(u.value - u.error, 0)) : 0
        return Bounded(value, error: u.error * .sigmoid(largest) + evaluation + threshold)
    }

    /// The error of a logarithm of numbers >= 1. The fast instruction is within 2^-22 of log2,
    /// absolutely below 2 and relatively above; a library within 2 ulp.
    private func logarithmError(of logarithm: Double) -> Double {
        let unit = operation.unit
        return exponential == .library
            ? 4 * unit * logarithm : 4 * unit * max(logarithm, 0.7) + 2 * unit * logarithm
    }

    /// Clamping, and the rounding of the limits to the kernel's format.
    private func clamped(_ step: Bounded, to limits: ClosedRange<Double>) -> Bounded {
        func clamp(_ value: Double) -> Double { min(max(value, limits.lowerBound), limits.upperBound) }
        let value = clamp(step.value)
        let (low, high) = (clamp(step.value - step.error), clamp(step.value + step.error))
        var error = max(value - low, high - value)
        if low == limits.lowerBound { error += operation.unit * limits.lowerBound }
        if high == limits.upperBound { error += operation.unit * limits.upperBound }
        return Bounded(value, error: error)
    }
}
