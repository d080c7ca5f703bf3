//  The two recurrences with a matrix-valued state: hand-computed examples, forms against each
//  other, the solver against its bound.

import DualityCore
import TestSupport
import Testing

@testable import DualityReference

/// The operands of the hand-computed examples: two tokens, one head of two channels.
private let q = try! Tensor<Double>(shape: [2, 2], elements: [1, 0, 0.6, 0.8])
private let k = try! Tensor<Double>(shape: [2, 2], elements: [0, 2, 3, 4])
private let v = try! Tensor<Double>(shape: [2, 2], elements: [1, -1, 2, 0.5])
private let beta = try! Tensor<Double>(shape: [2, 1], elements: [0.5, 0.8])
private let gamma = try! Tensor<Double>(shape: [2, 1], elements: [-0.1, -0.3])
private let alpha = try! Tensor<Double>(shape: [2, 1], elements: [0.7, 0.4])

private let forms: [RecurrenceForm] = [.recurrent, .chunked(size: 1), .chunked(size: 2), .chunked(size: 64)]

private func random(_ shape: [Int], _ source: inout RandomSource, _ map: (Double) -> Double = { $0 }) -> Tensor<Double>
{
    Tensor(repeating: 0.0, shape: shape).map { _ in map(source.normal()) }
}

@Suite struct FamilyRuleTests {
    @Test(arguments: forms) func theDeltaRuleMatchesAHandComputedExample(form: RecurrenceForm) {
        let rule = GatedDeltaRule(q: q, k: k, v: v, beta: beta, logDecay: gamma, headDim: 2)
        var state = Tensor<Double>(repeating: 0, shape: [1, 2, 2])
        let o = rule.evaluate(form, state: &state)
        let expected = [0, 0, 1.1732772490969747, 0.24093557788561334]
        #expect(maximumDifference(o.elements, expected) < 1e-12, "\(o.elements)")
        let final = [0.8177629058982278, 0.382237070101773, 1.4607596052373657, 0.13924036276263507]
        #expect(maximumDifference(state.elements, final) < 1e-12, "\(state.elements)")
    }

    @Test(arguments: forms) func theKalmaRuleMatchesHandComputedExamples(form: RecurrenceForm) {
        func last(_ iterations: Int) -> [Double] {
            let rule = GatedKalmaRule(
                q: q, k: k, v: v, alpha: alpha, beta: beta, logDecay: gamma, ridge: 0.02,
                solver: .chebyshev(iterations: iterations), headDim: 2)
            var (gram, memory) = (
                Tensor<Double>(repeating: 0, shape: [1, 2, 2]), Tensor<Double>(repeating: 0, shape: [1, 2, 2])
            )
            return Array(rule.evaluate(form, gram: &gram, memory: &memory).elements[2...])
        }
        let (two, thirty) = (last(2), last(30))
        #expect(maximumDifference(two, [1.5067353176290617, 0.23624360415855714]) < 1e-12, "\(two)")
        #expect(maximumDifference(thirty, [1.1515872101447187, 0.19482188020386998]) < 1e-12, "\(thirty)")
    }

    @Test func theOutputNormComesBeforeTheGate() throws {
        let norm = try GatedGroupNorm<Double>(
            weight: Tensor([1, 2]), groupSize: 2, epsilon: 1e-5, normBeforeGate: true)
        let y = norm(
            try Tensor(shape: [1, 2], elements: [1, -2]), gate: try Tensor(shape: [1, 2], elements: [0.5, 1]))
        // The mixers' own output, with projections that are the identity and a gate that is (0.5,
        // 1).
        let identity = try Linear<Double>(weight: Tensor(shape: [2, 2], elements: [1, 0, 0, 1]))
        let output = GatedHeadOutput(
            gate: identity, norm: RMSNorm(weight: Tensor([1, 2]), epsilon: 1e-5), projection: identity)
        let o = output(
            try Tensor(shape: [1, 2], elements: [1, -2]), try Tensor(shape: [1, 2], elements: [0.5, 1]))
        let expected = [0.19683853006563104, -1.8494444702956487]
        #expect(maximumDifference(y.elements, expected) < 1e-12)
        #expect(maximumDifference(o.elements, expected) < 1e-12, "\(o.elements)")
    }

    @Test func chunksOfAnySizeGiveWhatTheDefinitionGives() throws {
        var source = RandomSource(seed: 3)
        let (length, heads, width) = (23, 2, 5)
        let (q, k, v) = (
            random([length, heads * width], &source), random([length, heads * width], &source),
            random([length, heads * width], &source)
        )
        let beta = random([length, heads], &source) { Double.sigmoid($0) }
        let gamma = random([length, heads], &source) { -Double.softplus(2 * $0) }
        let start = random([heads, width, width], &source)
        let spread = random([heads, width, width], &source)
        for size in [1, 2, 7, 23, 100] {
            let rule = GatedDeltaRule(q: q, k: k, v: v, beta: beta, logDecay: gamma, headDim: width)
            var (expected, state) = (start, start)
            let error = maximumDifference(
                rule.evaluate(.chunked(size: size), state: &state).elements,
                rule.evaluate(.recurrent, state: &expected).elements)
            #expect(error < 1e-12, "delta rule, chunks of \(size): \(error)")
            #expect(maximumDifference(state.elements, expected.elements) < 1e-12)

            for decaysGram in [true, false] {
                for solver in [RidgeSolver.chebyshev(iterations: 7), .chebyshev(iterations: 0), .cholesky] {
                    let rule = GatedKalmaRule(
                        q: q, k: k, v: v, alpha: beta, beta: beta, logDecay: gamma, decaysGram: decaysGram,
                        ridge: 0.02, solver: solver, headDim: width)
                    // A Gram matrix to begin with: X Xᵀ of a random X.
                    var gram = Tensor<Double>(repeating: 0, shape: [heads, width, width])
                    for h in 0..<heads {
                        for i in 0..<width {
                            for j in 0..<width {
                                for m in 0..<width { gram[h, i, j] += spread[h, i, m] * spread[h, j, m] }
                            }
                        }
                    }
                    var (whole, chunked) = ((gram: gram, memory: start), (gram: gram, memory: start))
                    let error = maximumDifference(
                        rule.evaluate(.chunked(size: size), gram: &chunked.gram, memory: &chunked.memory).elements,
                        rule.evaluate(.recurrent, gram: &whole.gram, memory: &whole.memory).elements)
                    #expect(error < 1e-11, "\(solver), chunks of \(size): \(error)")
                    #expect(maximumDifference(chunked.gram.elements, whole.gram.elements) < 1e-12)
                    #expect(maximumDifference(chunked.memory.elements, whole.memory.elements) < 1e-12)
                }
            }
        }
    }

    @Test func theTransitionOfASegmentActsOnAnyStateBeforeIt() {
        var source = RandomSource(seed: 4)
        let (length, width) = (9, 4)
        let rule = GatedDeltaRule(
            q: random([length, width], &source), k: random([length, width], &source),
            v: random([length, width], &source), beta: random([length, 1], &source) { Double.sigmoid($0) },
            logDecay: random([length, 1], &source) { -Double.softplus($0) }, headDim: width)
        let start = random([1, width, width], &source)
        var (state, fromZero) = (start, Tensor<Double>(repeating: 0, shape: [1, width, width]))
        var transition = fromZero
        for i in 0..<width { transition[0, i, i] = 1 }
        _ = rule.evaluate(.recurrent, state: &state)
        _ = rule.evaluate(.recurrent, state: &fromZero)
        rule.advance(&transition)
        for i in 0..<width {
            for j in 0..<width {
                var sum = fromZero[0, i, j]
                for m in 0..<width { sum += transition[0, i, m] * start[0, m, j] }
                #expect((sum - state[0, i, j]).magnitude < 1e-13)
            }
        }
    }

    /// |x - x*| / |x*| <= 1 / cosh((K + 1) arccosh(1 / ρ)), 1 / ρ = 1 + 2 ridge, whatever the matrix.
    @Test(arguments: [0, 1, 5, 10, 30]) func theIterationKeepsItsBound(iterations: Int) {
        var source = RandomSource(seed: 5)
        let width = 24
        var gram = [Double](repeating: 0, count: width * width)
        for _ in 0..<40 {
            let key = (0..<width).map { _ in source.normal() }
            for i in gram.indices { gram[i] = 0.95 * gram[i] + key[i / width] * key[i % width] }
        }
        let norm = gram.reduce(0) { $0 + $1 * $1 }.squareRoot()
        let query = (0..<width).map { _ in source.normal() }
        func solve(_ solver: RidgeSolver) -> [Double] {
            solver.solve(query, norm: norm, ridge: 0.02) { x, product in
                for i in 0..<width { product[i] = (0..<width).reduce(0) { $0 + gram[i * width + $1] * x[$1] } }
            }
        }
        let exact = solve(.cholesky)
        for i in 0..<width {
            let row = (0..<width).reduce(0.02 * norm * exact[i]) { $0 + gram[i * width + $1] * exact[$1] }
            #expect((row - query[i]).magnitude < 1e-12 * norm, "the direct solution solves the system")
        }
        let error = relativeL2(solve(.chebyshev(iterations: iterations)), exact)
        let growth = Double.log(1.04 + (1.04 * 1.04 - 1).squareRoot()) * Double(iterations + 1)
        let bound = 2 / (Double.exp(growth) + Double.exp(-growth))
        // Zero iterations are a switch, not a solution; the rule never asks for them.
        #expect(error <= bound * (1 + 1e-12), "error \(error), bound \(bound)")
        #expect(error > bound * 1e-4, "the bound says something: error \(error), bound \(bound)")
    }

    @Test func aSequenceOfNothingSolvesToNothing() {
        let zero = Tensor<Double>(repeating: 0, shape: [3, 2])
        for form in forms {
            let rule = GatedKalmaRule(
                q: zero, k: zero, v: zero, alpha: nil, beta: nil, logDecay: nil, ridge: 0.02,
                solver: .chebyshev(iterations: 30), headDim: 2)
            var (gram, memory) = (
                Tensor<Double>(repeating: 0, shape: [1, 2, 2]), Tensor<Double>(repeating: 0, shape: [1, 2, 2])
            )
            #expect(rule.evaluate(form, gram: &gram, memory: &memory).elements == zero.elements)
        }
    }

    @Test func headsAreRepeatedMixedAndCorrected() throws {
        let u = try Tensor<Double>(shape: [1, 4], elements: [1, 2, 3, 4])
        let plain = HeadExpansion<Double>(heads: 4, headDim: 2, mixture: nil, correction: nil)
        #expect(plain(u).elements == [1, 2, 1, 2, 3, 4, 3, 4])
        let repetition = try Tensor<Double>(shape: [4, 2], elements: [1, 0, 1, 0, 0, 1, 0, 1])
        let down = try Linear<Double>(weight: Tensor(shape: [1, 4], elements: [1, 0, 0, 0]))
        let silent = try Linear<Double>(weight: Tensor(shape: [8, 1], elements: Array(repeating: 0, count: 8)))
        let same = HeadExpansion(heads: 4, headDim: 2, mixture: repetition, correction: (down, silent))
        #expect(same(u) == plain(u))
        let mixture = try Tensor<Double>(shape: [4, 2], elements: [1, 0, 0, 1, 0.5, 0.5, 0, 0])
        let up = try Linear<Double>(weight: Tensor(shape: [8, 1], elements: [0, 0, 0, 0, 0, 0, 1, 2]))
        let mixed = HeadExpansion(heads: 4, headDim: 2, mixture: mixture, correction: (down, up))
        let hidden = Double.silu(1)
        #expect(maximumDifference(mixed(u).elements, [1, 2, 3, 4, 2, 3, hidden, 2 * hidden]) < 1e-15)
        // As many key/value heads as heads: nothing is done, as in the official code.
        let full = HeadExpansion(heads: 2, headDim: 2, mixture: repetition, correction: (down, up))
        #expect(full(u) == u)
    }
}
