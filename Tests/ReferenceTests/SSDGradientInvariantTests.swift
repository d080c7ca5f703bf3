import DualityCore
import TestSupport
import Testing

@testable import DualityReference

/// What must hold for any backward pass of the operator, in every form.
@Suite struct SSDGradientInvariantTests {
    static let forms = SSDInvariantTests.forms

    /// Larger shapes than differences can afford, decays from none to all.
    static let shapes: [SSDShape] =
        SSDInvariantTests.shapes + [SSDShape(batch: 1, length: 150, decay: 0.01), SSDShape(batch: 1, length: 0)]

    static func upstream(_ inputs: SSDInputs<Double>, seed: UInt64 = 77) -> SSDUpstream<Double> {
        var random = RandomSource(seed: seed)
        func normal(_ shape: [Int]) -> Tensor<Double> {
            Tensor(repeating: 0, shape: shape).map { _ in random.normal() }
        }
        let (batch, heads, headDim) = (inputs.batch, inputs.heads, inputs.headDim)
        return SSDUpstream(
            y: normal([batch, inputs.length, heads, headDim]),
            finalState: normal([batch, heads, headDim, inputs.stateDim]))
    }

    @Test(arguments: shapes, forms) func everyFormIsPlainBackpropagation(shape: SSDShape, form: SSDForm) throws {
        let inputs = try shape.inputs()
        let upstream = Self.upstream(inputs)
        let expected = try plainGradients(of: inputs, upstream: upstream, fault: .none)
        let found = try form.gradients(of: inputs, upstream: upstream)
        for ((name, found), (_, expected)) in zip(found.named, expected.named) {
            #expect(found.shape == expected.shape)
            let error = relativeL2(found.elements, expected.elements)
            #expect(error < 1e-12, "grad_\(name): \(error)")
        }
    }

    /// Powers of two scale without rounding, so linearity in one factor shows in the bits.
    @Test(arguments: forms) func theGradientsAreLinearInTheUpstream(form: SSDForm) throws {
        let inputs = try SSDShape().inputs()
        let (first, second) = (Self.upstream(inputs), Self.upstream(inputs, seed: 78))
        let scaled = SSDUpstream(y: first.y?.map { -4 * $0 }, finalState: first.finalState?.map { -4 * $0 })
        var sum = first
        for i in sum.y?.elements.indices ?? 0..<0 { sum.y?.elements[i] += second.y?.elements[i] ?? 0 }
        for i in sum.finalState?.elements.indices ?? 0..<0 {
            sum.finalState?.elements[i] += second.finalState?.elements[i] ?? 0
        }
        let ofFirst = try form.gradients(of: inputs, upstream: first).named
        let ofSecond = try form.gradients(of: inputs, upstream: second).named
        let ofScaled = try form.gradients(of: inputs, upstream: scaled).named
        let ofSum = try form.gradients(of: inputs, upstream: sum).named
        for (i, (name, gradient)) in ofFirst.enumerated() {
            #expect(ofScaled[i].gradient == gradient.map { -4 * $0 }, "grad_\(name) is homogeneous")
            let expected = zip(gradient.elements, ofSecond[i].gradient.elements).map { $0 + $1 }
            let error = relativeL2(ofSum[i].gradient.elements, expected)
            #expect(error < 1e-13, "grad_\(name) is additive: \(error)")
        }
    }

    @Test(arguments: forms) func anUpstreamOfZeroGivesZero(form: SSDForm) throws {
        let inputs = try SSDShape().inputs()
        for upstream in [SSDUpstream<Double>(), SSDUpstream(y: Self.upstream(inputs).y?.map { 0 * $0 })] {
            for (name, gradient) in try form.gradients(of: inputs, upstream: upstream).named {
                #expect(gradient.elements.allSatisfy { $0 == 0 }, "grad_\(name)")
            }
        }
    }

    /// y_t depends on no later token, so what is asked of it moves none; and not even a NaN there
    /// reaches back into it.
    @Test(arguments: forms) func aTokenIsMovedByNothingBeforeIt(form: SSDForm) throws {
        let inputs = try SSDShape().inputs()
        let (cut, length) = (20, inputs.length)
        var upstream = Self.upstream(inputs)
        let later = try form.gradients(of: inputs, upstream: upstream)
        for row in 0..<inputs.batch {
            for i in 0..<cut * inputs.heads * inputs.headDim {
                upstream.y?.elements[row * length * inputs.heads * inputs.headDim + i] = .nan
            }
        }
        let found = try form.gradients(of: inputs, upstream: upstream)
        for ((name, gradient), (_, expected)) in zip(found.named, later.named)
        where ["x", "dt", "B", "C", "z"].contains(name) {
            let (found, expected) = try (gradient.tokens(cut..<length), expected.tokens(cut..<length))
            #expect(found == expected, "grad_\(name)")
        }

        // And the other way round: asked at one token, only what came before is moved.
        let alone = Tensor(repeating: 0.0, shape: [inputs.batch, length, inputs.heads, inputs.headDim])
        var asked = SSDUpstream(y: alone)
        for h in 0..<inputs.heads { asked.y?[0, cut, h, 0] = 1 }
        for (name, gradient) in try form.gradients(of: inputs, upstream: asked).named
        where ["x", "dt", "B", "C", "z"].contains(name) {
            let after = try gradient.tokens(cut + 1..<length).elements
            #expect(after.allSatisfy { $0 == 0 }, "grad_\(name)")
            #expect(try gradient.tokens(cut..<cut + 1).elements.contains { $0 != 0 }, "grad_\(name)")
        }
    }

    /// The gradient of the initial state is what the segment before has to be told.
    @Test(arguments: forms) func theGradientsOfTwoSegmentsAreThoseOfTheWhole(form: SSDForm) throws {
        let inputs = try SSDShape().inputs()
        let upstream = Self.upstream(inputs)
        let whole = try form.gradients(of: inputs, upstream: upstream)
        for cut in [0, 1, 7, 20, 36, 37] {
            let first = try inputs.tokens(0..<cut, initialState: inputs.initialState)
            let middle = try form.evaluate(first).finalState
            let second = try inputs.tokens(cut..<inputs.length, initialState: middle)
            let late = try form.gradients(
                of: second,
                upstream: SSDUpstream(
                    y: upstream.y?.tokens(cut..<inputs.length), finalState: upstream.finalState))
            let early = try form.gradients(
                of: first, upstream: SSDUpstream(y: upstream.y?.tokens(0..<cut), finalState: late.initialState))
            let state = relativeL2(early.initialState.elements, whole.initialState.elements)
            #expect(state < 1e-13, "initial state, cut at \(cut): \(state)")
            let a = relativeL2(zip(early.a.elements, late.a.elements).map { $0 + $1 }, whole.a.elements)
            #expect(a < 1e-12, "A, cut at \(cut): \(a)")
            let x = try relativeL2(early.x.elements, whole.x.tokens(0..<cut).elements)
            #expect(x < 1e-13, "x, cut at \(cut): \(x)")
        }
    }

    /// Wherever the cut lies in a chunk, at either end of the row, and with an empty sequence
    /// between.
    @Test(arguments: forms) func thePackedGradientsAreThoseOfTheSequencesApart(form: SSDForm) throws {
        let whole = try SSDShape(batch: 1, length: 20).inputs()
        let states = try #require(SSDShape(batch: 3, seed: 5).inputs().initialState)
        for cut in 0...20 {
            let packed = try whole.replacing(
                initialState: states, packing: Packing(cumulativeLengths: [0, cut, cut, 20]))
            var upstream = Self.upstream(packed)
            let perSequence = try #require(Self.upstream(SSDShape(batch: 3).inputs()).finalState)
            upstream.sequenceStates = perSequence
            let found = try form.gradients(of: packed, upstream: upstream)
            var (a, d, dtBias) = (found.a.map { _ in 0.0 }, found.a.map { _ in 0.0 }, found.a.map { _ in 0.0 })
            for (i, range) in [0..<cut, cut..<cut, cut..<20].enumerated() {
                var asked = try perSequence.slice(i)
                if i == 2, let last = upstream.finalState { asked = asked.multiplied(last) { $0 + $1 } }
                let alone = try form.gradients(
                    of: whole.tokens(range, initialState: states.slice(i)),
                    upstream: SSDUpstream(y: upstream.y?.tokens(range), finalState: asked))
                for ((name, found), (_, expected)) in zip(found.named, alone.named)
                where ["x", "dt", "B", "C", "z"].contains(name) {
                    let error = try relativeL2(found.tokens(range).elements, expected.elements)
                    #expect(error < 1e-13, "grad_\(name), cut at \(cut), sequence \(i): \(error)")
                }
                let state = try relativeL2(found.initialState.slice(i).elements, alone.initialState.elements)
                #expect(state < 1e-13, "initial state, cut at \(cut), sequence \(i): \(state)")
                a = a.multiplied(alone.a) { $0 + $1 }
                if let part = alone.d { d = d.multiplied(part) { $0 + $1 } }
                if let part = alone.dtBias { dtBias = dtBias.multiplied(part) { $0 + $1 } }
            }
            for (found, sum) in [(found.a, a), (found.d, d), (found.dtBias, dtBias)] {
                let error = relativeL2(found?.elements ?? [], sum.elements)
                #expect(error < 1e-12, "cut at \(cut): \(error)")
            }
        }
    }

    /// A sequence that starts from nothing has a gradient of its own start only where every
    /// sequence was given one.
    @Test func theGradientOfTheInitialStatesHasTheirShape() throws {
        let inputs = try SSDShape(batch: 2, length: 9).inputs()
        let ids = try Tensor(shape: [2, 9], elements: [0, 0, 0, 1, 1, 1, 1, 1, 4] + [7, 7, 7, 7, 7, 8, 8, 8, 8])
        let packed = try inputs.replacing(packing: Packing(sequenceIds: ids))
        let upstream = Self.upstream(inputs)
        let ofRows = try SSDForm.recurrent.gradients(of: packed, upstream: upstream).initialState
        let ofNone = try SSDForm.recurrent.gradients(
            of: packed.replacing(initialState: .some(nil)), upstream: upstream
        ).initialState
        #expect(ofRows.shape == [2, 4, 5, 7])
        #expect(ofNone.shape == [5, 4, 5, 7])
        #expect(try ofRows.slice(0) == ofNone.slice(0))
        #expect(try ofRows.slice(1) == ofNone.slice(3))
    }

    @Test(arguments: forms) func aSharedHeadIsPulledByAllThatReadIt(form: SSDForm) throws {
        let inputs = try SSDShape().inputs()
        let upstream = Self.upstream(inputs)
        let repeated = try inputs.replacing(
            x: inputs.x.heads([0, 0, 1, 1]), b: inputs.b.heads([0, 0, 1, 1]),
            headMap: HeadMap.grouped(heads: 4, x: 4, b: 4, c: 4))
        let shared = try form.gradients(of: inputs, upstream: upstream)
        let apart = try form.gradients(of: repeated, upstream: upstream)
        for (shared, apart) in [(shared.x, apart.x), (shared.b, apart.b)] {
            let even = try apart.heads([0, 2]).elements
            let odd = try apart.heads([1, 3]).elements
            let error = relativeL2(shared.elements, zip(even, odd).map { $0 + $1 })
            #expect(error < 1e-14, "\(error)")
        }
        #expect(shared.c == apart.c)
        #expect(shared.dt == apart.dt)
    }

    /// At the threshold and at the limits the slope is a convention: that of the official backward
    /// pass and of autograd.
    @Test func theSlopeOfTheStepAtItsKinksIsTheOfficialOne() throws {
        func slope(_ u: Double, softplus: Bool = true, limit: ClosedRange<Double> = 0...(.infinity)) throws -> Double {
            let one = Tensor(repeating: 1.0, shape: [1, 1, 1, 1])
            let inputs = try SSDInputs(
                x: one, dt: Tensor(repeating: u, shape: [1, 1, 1]), a: Tensor([-1]), b: one, c: one,
                dtSoftplus: softplus, dtLimit: limit)
            return inputs.effectiveStepDerivatives().elements[0]
        }
        #expect(try slope(20) == Double.sigmoid(20))
        #expect(try slope(20.nextUp) == 1)
        #expect(try slope(0) == 0.5)
        #expect(try slope(-80) == Double.exp(-80) / (1 + .exp(-80)))
        #expect(try slope(-800) == 0)
        #expect(try slope(0, softplus: false) == 1)
        #expect(try slope((0.0).nextDown, softplus: false) == 0)
        #expect(try slope(2, softplus: false, limit: 2...3) == 1)
        #expect(try slope(3, softplus: false, limit: 2...3) == 1)
        #expect(try slope((3.0).nextUp, softplus: false, limit: 2...3) == 0)
        #expect(try slope((2.0).nextDown, softplus: false, limit: 2...3) == 0)
    }

    @Test func theLogarithmicRateIsAnotherCoordinateOfTheSameLoss() throws {
        let inputs = try SSDShape(batch: 1, length: 9).inputs()
        let upstream = Self.upstream(inputs)
        let gradients = try SSDForm.recurrent.gradients(of: inputs, upstream: upstream)
        let weights = (upstream.y?.elements ?? []) + (upstream.finalState?.elements ?? [])
        let expected = try differences(of: inputs.a.map { .log(-$0) }, step: 0.05, upstream: weights) {
            let outputs = try SSDForm.recurrent.evaluate(inputs.replacing(a: $0.map { -.exp($0) }))
            return outputs.y.elements + outputs.finalState.elements
        }
        let error = relativeL2(gradients.logarithmicRate(inputs.a).elements, expected)
        #expect(error < 1e-10, "\(error)")
    }

    @Test(arguments: forms) func extremeDecaysStayFinite(form: SSDForm) throws {
        for decay in [1e-8, 1.0, 80, 1e3, 1e30] {
            let inputs = try SSDShape(length: 150, decay: decay).inputs()
            let upstream = Self.upstream(inputs)
            let exact = try SSDForm.recurrent.gradients(of: inputs, upstream: upstream)
            let rounded = try form.gradients(
                of: inputs.converted(to: Float.self),
                upstream: SSDUpstream(y: upstream.y?.converted(), finalState: upstream.finalState?.converted()))
            for ((name, found), (_, expected)) in zip(rounded.named, exact.named) {
                #expect(found.elements.allSatisfy { $0.isFinite }, "grad_\(name), decay \(decay)")
                if ["x", "B", "C", "z"].contains(name) {
                    let error = relativeL2(found.elements, expected.elements)
                    #expect(error < 2e-6, "grad_\(name), decay \(decay): \(error)")
                }
            }
        }
    }

    @Test func anUpstreamThatDoesNotFitIsNamed() throws {
        let inputs = try SSDShape().inputs()
        let wrong = Tensor(repeating: 0.0, shape: [2, 37, 4, 4])
        var error = #expect(throws: InputError.self) {
            try SSDForm.recurrent.gradients(of: inputs, upstream: SSDUpstream(y: wrong))
        }
        #expect(error?.kind == .shape && error?.place == "dout")
        error = #expect(throws: InputError.self) {
            try SSDForm.recurrent.gradients(of: inputs, upstream: SSDUpstream(finalState: wrong))
        }
        #expect(error?.kind == .shape && error?.place == "dfinal_states")
        error = #expect(throws: InputError.self) {
            try SSDForm.chunked(size: 0).gradients(of: inputs, upstream: SSDUpstream())
        }
        #expect(error?.kind == .value && error?.place == "chunk size")
    }
}
