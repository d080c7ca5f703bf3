//  The backward pass of one head in chunks, in the parts that a kernel computes apart: what stays
//  inside a chunk, and what comes through the states of chunks. Each part can be taken wrongly.
//
//      H   enters a chunk, Φ = ∂ℒ/∂H of the state that leaves it; ℓ the sum of z from the chunk's first token
//
//      ∂C_t  = Σ_{j<=t} e^(ℓ_t-ℓ_j) (g_t·x̄_j) B_j        +  e^ℓ_t Hᵀ g_t
//      ∂B_t  = Σ_{i>=t} e^(ℓ_i-ℓ_t) (g_i·x̄_t) C_i        +  e^(ℓ_end-ℓ_t) Φᵀ x̄_t
//      ∂x̄_t  = Σ_{i>=t} e^(ℓ_i-ℓ_t) (C_i·B_t) g_i        +  e^(ℓ_end-ℓ_t) Φ B_t
//      λ_t   = Σ_{i>=t>j} W_ij  +  Σ_{i>=t} e^ℓ_i g_i·H C_i  +  Σ_{j<t} e^(ℓ_end-ℓ_j) ⟨Φ, x̄_j B_jᵀ⟩  +  e^ℓ_end ⟨Φ, H⟩
//      Φ    <- e^ℓ_end Φ + Σ_t e^ℓ_t g_t C_tᵀ             H <- e^ℓ_end H + Σ_t e^(ℓ_end-ℓ_t) x̄_t B_tᵀ
//
//  A sequence that begins inside a chunk begins a chunk of its own there. The faults are in
//  ChunkedGradientFault.swift. Source: state-spaces/mamba, ops/triton/ssd_combined.py, backward.

import DualityCore
import DualityReference

/// How one part of a gradient is taken.
enum GradientPart: Sendable, Equatable {
    case right
    case missing
    /// Without any decay.
    case notDecayed
    /// With the decay of a token more, or less, than there are between the two.
    case oneTokenMore
    case oneTokenLess
    /// Through the state of the chunk before, or after, the right one.
    case stateBefore
    case stateAfter
}

/// How the parts of a backward pass are taken.
struct GradientChoice: Sendable {
    /// Of x̄, B and C: inside chunks and between them.
    var insideX = GradientPart.right
    var insideB = GradientPart.right
    var insideC = GradientPart.right
    var betweenX = GradientPart.right
    var betweenB = GradientPart.right
    var betweenC = GradientPart.right
    /// Of λ: inside a chunk, through the state that is read, through the one that is written,
    /// through both.
    var inside = GradientPart.right
    var reads = GradientPart.right
    var writes = GradientPart.right
    var passes = GradientPart.right
    /// Of the recursions of Φ and of H, which enter all parts between chunks.
    var gradientOfStates = GradientPart.right
    var recomputedStates = GradientPart.right
    /// Whether x·∂x̄ in the gradient of dt is that of the faulty ∂x̄.
    var entersSteps = true
}

/// One run of tokens of one head, ready to be walked backwards.
struct GradientRun {
    let headDim: Int
    let stateDim: Int
    /// Rows of the run's tokens: g `[T, P]`, x̄ `[T, P]`, B and C `[T, N]`.
    let g: [Double]
    let x: [Double]
    let b: [Double]
    let c: [Double]
    /// z = ln a of the run's tokens.
    let decays: [Double]
    /// Where its pieces begin: its first token, and every border of a chunk in it.
    let starts: [Int]
    /// H before the first token, and Φ after the last one, `[P, N]`.
    let entering: [Double]
    let leaving: [Double]

    /// Gradients of a run.
    struct Result {
        var x: [Double]
        var b: [Double]
        var c: [Double]
        /// λ
        var decay: [Double]
        /// Φ before the first token.
        var entering: [Double]
    }

    private var count: Int { decays.count }
    private var size: Int { headDim * stateDim }

    private func piece(_ i: Int) -> Range<Int> { starts[i]..<(i + 1 < starts.count ? starts[i + 1] : count) }

    /// What pairs of tokens of one chunk give.
    ///
    /// - Complexity: O(T Q (P + N)).
    func insides(_ choice: GradientChoice) -> Result {
        var result = Result(
            x: [Double](repeating: 0, count: x.count), b: [Double](repeating: 0, count: b.count),
            c: [Double](repeating: 0, count: c.count), decay: [Double](repeating: 0, count: count), entering: leaving)
        for i in starts.indices { walkInside(piece(i), choice, &result) }
        return result
    }

    /// Walks backwards.
    ///
    /// - Parameter insides: what pairs of tokens of one chunk give.
    /// - Complexity: O(T P N).
    func gradients(_ choice: GradientChoice, insides: Result) -> Result {
        var result = insides
        guard count > 0 else { return result }
        let states = self.states(choice.recomputedStates)
        let adjoints = self.adjoints(choice.gradientOfStates)
        for i in starts.indices {
            let tokens = piece(i)
            func chosen(_ part: GradientPart, _ list: [[Double]], _ own: Int) -> [Double] {
                let index = part == .stateBefore ? own - 1 : part == .stateAfter ? own + 1 : own
                return list[min(max(index, 0), list.count - 1)]
            }
            walkBetween(
                tokens, choice, entering: states[i], leaving: adjoints[i + 1],
                forX: chosen(choice.betweenX, adjoints, i + 1), forB: chosen(choice.betweenB, adjoints, i + 1),
                forC: chosen(choice.betweenC, states, i), &result)
        }
        result.entering = adjoints[0]
        return result
    }

    /// The state that enters each piece, and the last one.
    private func states(_ part: GradientPart) -> [[Double]] {
        var states = [entering]
        for i in starts.indices {
            var state = states[i]
            let tokens = piece(i)
            let whole = tokens.reduce(0.0) { $0 + decays[$1] }
            let decay = part == .notDecayed ? 1 : Double.exp(whole)
            for j in 0..<size { state[j] = part == .missing ? 0 : decay * state[j] }
            var segment = 0.0
            for t in tokens.reversed() {
                addOuter(&state, Double.exp(segment), x, b, token: t)
                segment += decays[t]
            }
            states.append(state)
        }
        return states
    }

    /// Φ of the state that enters each piece, and of the last one.
    private func adjoints(_ part: GradientPart) -> [[Double]] {
        var adjoints = [leaving]
        for i in starts.indices.reversed() {
            let tokens = piece(i)
            let whole = tokens.reduce(0.0) { $0 + decays[$1] }
            let decay = part == .notDecayed ? 1 : Double.exp(whole)
            var state = adjoints[0].map { part == .missing ? 0 : decay * $0 }
            var sum = 0.0
            for t in tokens {
                sum += decays[t]
                addOuter(&state, Double.exp(part == .oneTokenLess ? sum - decays[t] : sum), g, c, token: t)
            }
            adjoints.insert(state, at: 0)
        }
        return adjoints
    }

    private func addOuter(
        _ state: inout [Double], _ weight: Double, _ rows: [Double], _ columns: [Double], token t: Int
    ) {
        for p in 0..<headDim {
            let value = weight * rows[t * headDim + p]
            for n in 0..<stateDim { state[p * stateDim + n] += value * columns[t * stateDim + n] }
        }
    }

    private func dot(_ a: [Double], _ i: Int, _ b: [Double], _ j: Int, width: Int) -> Double {
        var sum = 0.0
        for k in 0..<width { sum += a[i * width + k] * b[j * width + k] }
        return sum
    }

    /// The decay from token j to token i >= j of a piece, as a part takes it.
    private func decay(_ part: GradientPart, _ segment: Double, from j: Int, to i: Int) -> Double {
        switch part {
        case .missing: 0
        case .notDecayed: 1
        case .oneTokenMore: Double.exp(segment + decays[j])
        case .oneTokenLess: Double.exp(i > j ? segment - decays[i] : 0)
        default: Double.exp(segment)
        }
    }

    /// Pairs of tokens of one chunk.
    private func walkInside(_ tokens: Range<Int>, _ choice: GradientChoice, _ result: inout Result) {
        // W_ij summed over i >= t > j: each pair adds from j + 1 to i.
        var crossing = [Double](repeating: 0, count: tokens.count + 1)
        for i in tokens {
            var segment = 0.0
            for j in (tokens.lowerBound...i).reversed() {
                let (pull, gram) = (dot(g, i, x, j, width: headDim), dot(c, i, b, j, width: stateDim))
                let (dx, db, dc) = (
                    decay(choice.insideX, segment, from: j, to: i) * gram,
                    decay(choice.insideB, segment, from: j, to: i) * pull,
                    decay(choice.insideC, segment, from: j, to: i) * pull
                )
                for p in 0..<headDim { result.x[j * headDim + p] += dx * g[i * headDim + p] }
                for n in 0..<stateDim {
                    result.b[j * stateDim + n] += db * c[i * stateDim + n]
                    result.c[i * stateDim + n] += dc * b[j * stateDim + n]
                }
                if j < i {
                    let weight = decay(choice.inside, segment, from: j, to: i) * pull * gram
                    crossing[j + 1 - tokens.lowerBound] += weight
                    crossing[i + 1 - tokens.lowerBound] -= weight
                }
                segment += decays[j]
            }
        }
        var sum = 0.0
        for t in tokens {
            sum += crossing[t - tokens.lowerBound]
            result.decay[t] += sum
        }
    }

    /// What comes through the states at both ends of a chunk.
    private func walkBetween(
        _ tokens: Range<Int>, _ choice: GradientChoice, entering: [Double], leaving: [Double], forX: [Double],
        forB: [Double], forC: [Double], _ result: inout Result
    ) {
        let sums = tokens.map { decays[$0] }.reduce(into: [0.0]) { $0.append($0[$0.count - 1] + $1) }
        let whole = sums[tokens.count]
        func exponential(_ part: GradientPart, _ exponent: Double, _ own: Double) -> Double {
            switch part {
            case .missing: 0
            case .notDecayed: 1
            case .oneTokenMore: Double.exp(exponent + own)
            case .oneTokenLess: Double.exp(exponent - own)
            default: Double.exp(exponent)
            }
        }
        var (read, written) = ([Double](), [Double]())
        for t in tokens {
            let k = t - tokens.lowerBound
            let (toToken, fromToken) = (sums[k + 1], whole - sums[k + 1])
            let ofC = exponential(choice.betweenC, toToken, decays[t])
            let (ofX, ofB) = (
                exponential(choice.betweenX, fromToken, decays[t]), exponential(choice.betweenB, fromToken, decays[t])
            )
            var (reading, writing) = (0.0, 0.0)
            for p in 0..<headDim {
                let (gp, xp) = (g[t * headDim + p], x[t * headDim + p])
                var sum = 0.0
                for n in 0..<stateDim {
                    let (i, bn, cn) = (p * stateDim + n, b[t * stateDim + n], c[t * stateDim + n])
                    result.c[t * stateDim + n] += ofC * forC[i] * gp
                    result.b[t * stateDim + n] += ofB * forB[i] * xp
                    sum += forX[i] * bn
                    reading += entering[i] * gp * cn
                    writing += leaving[i] * xp * bn
                }
                result.x[t * headDim + p] += ofX * sum
            }
            read.append(exponential(choice.reads, toToken, decays[t]) * reading)
            written.append(exponential(choice.writes, fromToken, decays[t]) * writing)
        }
        var passing = 0.0
        for i in 0..<size { passing += leaving[i] * entering[i] }
        passing *= exponential(choice.passes, whole, 0)
        var (after, before) = (read.reduce(0, +), 0.0)
        for t in tokens {
            let k = t - tokens.lowerBound
            result.decay[t] += after + before + passing
            after -= read[k]
            before += written[k]
        }
    }
}
