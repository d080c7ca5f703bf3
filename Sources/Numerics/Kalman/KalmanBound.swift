//  What a right kernel of Gated KalmaNet is never further off than: one head.
//
//  Both states are sums of outer products, so that a number of theirs is off by no more than what
//  decays and sums of its own have left: E, number by number. The solver sees |E|_F. Everything
//  behind it is a bound of 2-norms: of x by how a step's error grows (SolverErrors.swift), of o by
//
//      |Δo_j| <= |scale| ( |M_j|₂ |Δy|₂ + |E_j|₂ (|y|₂ + |Δy|₂) + (γ_D + 2 u_products) Σ |M_ij y_i| )
//
//  with M_j the column of a channel. docs/numerics.md, "The family: Gated KalmaNet".

import DualityCore
import DualityReference

/// Bounds of one head, carried along a sequence.
package struct KalmanBound {
    let head: KalmanHead<Double>
    let arithmetic: KalmanArithmetic
    let unit: Double
    /// Relative errors of q, k and v before any product.
    let ofQueries: Double
    let ofKeys: Double
    let ofValues: Double
    /// The exact states, and what each of their numbers may be off by.
    var state = KalmanState<Double>(gram: [], memory: [])
    var errors = KalmanState<Double>(gram: [], memory: [])
    /// How far the Gram matrix that came in is from one: its part that is not symmetric, and its
    /// most negative eigenvalue.
    var defect = 0.0

    /// - Parameters:
    ///   - head: normalised exactly.
    ///   - normalizes: whether the kernel did that.
    ///   - gates: whether it multiplied keys and values by their gates.
    package init(_ head: KalmanHead<Double>, _ arithmetic: KalmanArithmetic, normalizes: Bool, gates: Bool) {
        (self.head, self.arithmetic) = (head, arithmetic)
        unit = arithmetic.accumulate.unitRoundoff
        func storing(_ format: NumberFormat) -> Double {
            format.holds(arithmetic.accumulate) ? 0 : format.unitRoundoff
        }
        var own = 0.0
        if normalizes {
            own =
                (Double(head.keyDim) / 2 + 6) * unit + 4.5 * storing(arithmetic.norms)
                + storing(arithmetic.normalized)
        }
        ofValues = gates ? 3 * unit + 2.01 * storing(arithmetic.gated) : 0
        ofQueries = own
        ofKeys = own + ofValues + own * ofValues
    }

    /// n u / (1 - n u), a little more.
    func growth(_ count: Int) -> Double {
        let units = (Double(count) + 2) * unit
        return units < 0.5 ? units / (1 - units) : .infinity
    }

    /// The unit roundoff of a format beside what is accumulated in.
    func storing(_ format: NumberFormat) -> Double {
        format.holds(arithmetic.accumulate) ? 0 : format.unitRoundoff
    }

    /// The relative error of e^x.
    func exponential(_ x: Double) -> Double {
        x == 0 ? 0 : (4 + (arithmetic.exponential == .fast ? 3 : 1) * x.magnitude) * unit
    }

    /// The smallest number that an underflow may lose.
    var tiny: Double { arithmetic.accumulate.smallestNormal }

    func key(_ t: Int) -> [Double] {
        (t * head.keyDim..<(t + 1) * head.keyDim).map { head.gate[t] * head.k[$0] }
    }

    func value(_ t: Int) -> [Double] {
        (t * head.valueDim..<(t + 1) * head.valueDim).map { head.gate[t] * head.v[$0] }
    }

    static func norm(_ x: [Double]) -> Double {
        var sum = 0.0
        for value in x { sum += value * value }
        return sum.squareRoot()
    }

    /// Bounds of the outputs of a sequence before they are stored, `[tokens, V]`, and of the states
    /// after it.
    package mutating func sizes(
        _ tokens: Range<Int>, state entering: KalmanState<Double>
    ) -> (o: [Double], state: KalmanState<Double>) {
        state = entering
        errors = KalmanState(
            gram: entering.gram.map { _ in 0 }, memory: entering.memory.map { _ in 0 })
        defect = head.iterations > 0 ? GramDefect.size(of: entering.gram, head.keyDim) : 0
        var out = [Double](repeating: 0, count: tokens.count * head.valueDim)
        switch arithmetic.form {
        case .recurrent:
            for (i, t) in tokens.enumerated() { step(t, &out, i) }
        case .chunked(let size):
            for first in stride(from: tokens.lowerBound, to: tokens.upperBound, by: size) {
                chunk(first..<min(first + size, tokens.upperBound), &out, first - tokens.lowerBound)
            }
        }
        return (out, errors)
    }

    private mutating func step(_ t: Int, _ out: inout [Double], _ row: Int) {
        let (decay, own) = (Double.exp(head.logDecay[t]), exponential(head.logDecay[t]))
        let (key, value) = (key(t), value(t))
        let pair = 2 * ofKeys + ofKeys * ofKeys
        if head.iterations > 0 {
            let (decay, own) = head.decaysGram ? (decay, own) : (1, 0)
            Self.move(
                &state.gram, errors: &errors.gram, decay: decay, ofDecay: own, a: key, b: key, ofProduct: pair,
                unit: unit, tiny: tiny)
            defect *= decay
        }
        let mixed = ofKeys + ofValues + ofKeys * ofValues
        Self.move(
            &state.memory, errors: &errors.memory, decay: decay, ofDecay: own, a: key, b: value, ofProduct: mixed,
            unit: unit, tiny: tiny)
        let (size, error) = (Self.norm(state.gram), Self.norm(errors.gram))
        let reading = GramReading(
            size: size + error, error: error, relative: growth(head.keyDim) + 2 * storing(arithmetic.products),
            norm: error + (size + error) * (growth(head.keyDim * head.keyDim) / 2 + 2 * unit) + lost(size))
        let (y, ofY) = solution(t, reading)
        read(y, ofY, &out, row)
        let storing = storing(arithmetic.state)
        guard storing > 0 else { return }
        if head.iterations > 0 {
            for i in errors.gram.indices { errors.gram[i] += storing * (state.gram[i].magnitude + errors.gram[i]) }
        }
        for i in errors.memory.indices {
            errors.memory[i] += storing * (state.memory[i].magnitude + errors.memory[i])
        }
    }

    /// What |G|_F may lose where squares underflow.
    func lost(_ norm: Double) -> Double {
        let count = Double(head.keyDim * head.keyDim)
        return min(norm > 0 ? count * tiny / norm : .infinity, (count * tiny).squareRoot())
    }

    /// S <- decay S + a bᵀ and the bounds of its numbers.
    private static func move(
        _ state: inout [Double], errors: inout [Double], decay: Double, ofDecay: Double, a: [Double],
        b: [Double], ofProduct: Double, unit: Double, tiny: Double
    ) {
        for i in a.indices {
            for j in b.indices {
                let place = i * b.count + j
                let (kept, product) = (decay * state[place], a[i] * b[j])
                state[place] = kept + product
                errors[place] =
                    decay * errors[place] * (1 + ofDecay + 2 * unit) + kept.magnitude * (ofDecay + unit)
                    + product.magnitude * (ofProduct + unit) + state[place].magnitude * unit + tiny
            }
        }
    }

    private func read(_ y: [Double], _ ofY: Double, _ out: inout [Double], _ row: Int) {
        let (length, width) = (Self.norm(y), head.valueDim)
        let relative = growth(head.keyDim) + 2 * unit + 2 * storing(arithmetic.products)
        for j in 0..<width {
            var (column, error, magnitude) = (0.0, 0.0, 0.0)
            for i in 0..<head.keyDim {
                let (m, e) = (state.memory[i * width + j], errors.memory[i * width + j])
                column += m * m
                error += e * e
                magnitude += (m * y[i]).magnitude
            }
            (column, error) = (column.squareRoot(), error.squareRoot())
            out[row * width + j] =
                head.scale.magnitude
                * (column * ofY + error * (length + ofY) + relative * (magnitude + column * ofY)
                    + Double(head.keyDim) * tiny) + tiny
        }
    }
}
