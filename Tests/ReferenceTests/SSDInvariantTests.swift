import DualityCore
import TestSupport
import Testing

@testable import DualityReference

/// What must hold of the operator whatever the numbers are.
@Suite struct SSDInvariantTests {
    static let forms: [SSDForm] = [
        .recurrent, .chunked(size: 1), .chunked(size: 2), .chunked(size: 7), .chunked(size: 64), .chunked(size: 200),
        .quadratic, .associative(tree: .left, leaf: 1), .associative(tree: .right, leaf: 3),
        .associative(tree: .balanced, leaf: 1), .associative(tree: .balanced, leaf: 8),
        .associative(tree: .random(seed: 7), leaf: 2), .associative(tree: .balanced, leaf: .max),
    ]

    static let shapes: [SSDShape] = [
        SSDShape(length: 1), SSDShape(length: 2), SSDShape(length: 6), SSDShape(length: 7), SSDShape(length: 8),
        SSDShape(batch: 1, length: 67, heads: 2, xHeads: 1, bHeads: 2, cHeads: 1, headDim: 1, stateDim: 1),
        SSDShape(batch: 1, length: 131, heads: 2, xHeads: 2, bHeads: 1, cHeads: 2, headDim: 3, stateDim: 16),
        SSDShape(length: 30, decay: 1e-8), SSDShape(length: 30, decay: 40), SSDShape(length: 30, decay: 1e3),
    ]

    /// The recurrence is the sum of its terms: S_t = sum over s of the decays behind s times x̄_s
    /// B_sᵀ.
    @Test(arguments: shapes) func theDefinitionIsTheSumOfItsTerms(shape: SSDShape) throws {
        let inputs = try shape.inputs()
        let (found, expected) = (inputs.definition(), termByTerm(inputs))
        let y = relativeL2(found.y.elements, expected.y)
        let state = relativeL2(found.states.elements, expected.state)
        #expect(y < 1e-14 && state < 1e-14, "y: \(y), states: \(state)")
    }

    @Test(arguments: shapes, forms) func everyFormIsTheDefinition(shape: SSDShape, form: SSDForm) throws {
        let inputs = try shape.inputs()
        let expected = inputs.definition()
        let outputs = try form.evaluate(inputs)
        let y = relativeL2(outputs.y.elements, expected.y.elements)
        let state = relativeL2(outputs.finalState.elements, expected.states.elements)
        #expect(y < 1e-14, "y: \(y)")
        #expect(state < 1e-14, "final state: \(state)")
    }

    @Test(arguments: forms) func splittingTheSequenceAnywhereChangesNothing(form: SSDForm) throws {
        let inputs = try SSDShape(length: 20).inputs()
        let whole = try form.evaluate(inputs)
        for cut in 0...inputs.length {
            let first = try form.evaluate(inputs.tokens(0..<cut, initialState: inputs.initialState))
            let second = try form.evaluate(inputs.tokens(cut..<inputs.length, initialState: first.finalState))
            let y = [
                try relativeL2(first.y.elements, whole.y.tokens(0..<cut).elements),
                try relativeL2(second.y.elements, whole.y.tokens(cut..<inputs.length).elements),
            ]
            #expect(y.max() ?? 1 < 1e-14, "cut at \(cut): \(y)")
            let state = relativeL2(second.finalState.elements, whole.finalState.elements)
            #expect(state < 1e-14, "cut at \(cut): \(state)")
            let logDecay = zip(first.logDecay.elements, second.logDecay.elements).map { $0 + $1 }
            #expect(maximumDifference(logDecay, whole.logDecay.elements) < 1e-14)
            if form == .recurrent {
                #expect(second.finalState == whole.finalState, "token by token nothing is reordered")
            }
        }
    }

    @Test(arguments: forms) func theForwardPassIsItsStepsOneByOne(form: SSDForm) throws {
        let inputs = try SSDShape(length: 23).inputs()
        let whole = try form.evaluate(inputs)
        var state = inputs.initialState
        for t in 0..<inputs.length {
            let step = try form.evaluate(inputs.tokens(t..<t + 1, initialState: state))
            state = step.finalState
            let expected = try whole.y.tokens(t..<t + 1)
            let error = relativeL2(step.y.elements, expected.elements)
            #expect(error < 1e-13, "token \(t): \(error)")
            if form == .recurrent { #expect(step.y == expected) }
        }
        let error = try relativeL2(#require(state).elements, whole.finalState.elements)
        #expect(error < 1e-14, "\(error)")
    }

    /// Tokens whose steps are zero after the softplus: as if they were not there.
    @Test(arguments: forms) func paddingWithStepsOfZeroChangesNothing(form: SSDForm) throws {
        let inputs = try SSDShape(length: 23).inputs()
        for count in [1, 7, 16, 22] {
            var dt = inputs.dt
            for i in dt.elements.indices where i / inputs.heads % inputs.length >= count { dt.elements[i] = -1e4 }
            let padded = try form.evaluate(inputs.replacing(dt: dt))
            let alone = try form.evaluate(inputs.tokens(0..<count, initialState: inputs.initialState))
            let errors = [
                try relativeL2(padded.y.tokens(0..<count).elements, alone.y.elements),
                relativeL2(padded.finalState.elements, alone.finalState.elements),
            ]
            #expect(errors.allSatisfy { $0 < 1e-14 }, "\(count) tokens: \(errors)")
            if form == .recurrent { #expect(padded.finalState == alone.finalState) }
        }
    }

    @Test(arguments: forms) func noTokensLeaveTheStateAlone(form: SSDForm) throws {
        let inputs = try SSDShape(length: 3).inputs()
        let empty = try form.evaluate(inputs.tokens(0..<0, initialState: inputs.initialState))
        #expect(empty.y.shape == [2, 0, 4, 5])
        #expect(empty.finalState == inputs.initialState)
        #expect(empty.logDecay.elements.allSatisfy { $0 == 0 })
        let fresh = try form.evaluate(inputs.tokens(0..<0, initialState: nil))
        #expect(fresh.finalState.elements.allSatisfy { $0 == 0 })
    }

    /// Powers of two scale without rounding, so linearity shows in the bits.
    @Test(arguments: forms) func theOutputScalesWithEachOperand(form: SSDForm) throws {
        let inputs = try SSDShape().inputs().replacing(d: .some(nil), initialState: .some(nil))
        let y = try form.evaluate(inputs).y.map { 4 * $0 }
        let scaledX = try form.evaluate(inputs.replacing(x: inputs.x.map { 4 * $0 })).y
        #expect(scaledX == y)
        let scaledB = try form.evaluate(inputs.replacing(b: inputs.b.map { 4 * $0 })).y
        #expect(scaledB == y)
        let scaledC = try form.evaluate(inputs.replacing(c: inputs.c.map { 4 * $0 })).y
        #expect(scaledC == y)
    }

    @Test(arguments: forms) func theInitialStateEntersLinearly(form: SSDForm) throws {
        let inputs = try SSDShape().inputs().replacing(z: .some(nil))
        let full = try form.evaluate(inputs)
        let without = try form.evaluate(inputs.replacing(initialState: .some(nil)))
        let silent = inputs.x.map { _ in 0.0 }
        let alone = try form.evaluate(inputs.replacing(x: silent))
        let sum = zip(without.y.elements, alone.y.elements).map { $0 + $1 }
        let error = relativeL2(sum, full.y.elements)
        #expect(error < 1e-14, "\(error)")
    }

    @Test(arguments: forms) func withoutDecayItIsLinearAttention(form: SSDForm) throws {
        let shape = SSDShape(batch: 1, heads: 1, xHeads: 1, bHeads: 1, cHeads: 1)
        let inputs = try shape.inputs().replacing(
            a: Tensor([0]), d: .some(nil), z: .some(nil), initialState: .some(nil))
        let steps = inputs.effectiveSteps()
        var expected: [Double] = []
        for t in 0..<inputs.length {
            for p in 0..<inputs.headDim {
                var sum = 0.0
                for s in 0...t {
                    let score = (0..<inputs.stateDim).reduce(0.0) { $0 + inputs.c[0, t, 0, $1] * inputs.b[0, s, 0, $1] }
                    sum += score * steps[0, s, 0] * inputs.x[0, s, 0, p]
                }
                expected.append(sum)
            }
        }
        let error = try relativeL2(form.evaluate(inputs).y.elements, expected)
        #expect(error < 1e-14, "\(error)")
    }

    @Test(arguments: forms) func underInfiniteDecayATokenSeesOnlyItself(form: SSDForm) throws {
        let inputs = try SSDShape().inputs().replacing(z: .some(nil), dtLimit: 0.1...10)
        let forgetful = try inputs.replacing(a: inputs.a.map { _ in -1e300 })
        let together = try form.evaluate(forgetful)
        for t in 0..<inputs.length {
            let alone = try form.evaluate(forgetful.tokens(t..<t + 1, initialState: nil))
            let error = try relativeL2(alone.y.elements, together.y.tokens(t..<t + 1).elements)
            #expect(error < 1e-14, "token \(t): \(error)")
        }
    }

    @Test(arguments: forms) func aStepOfZeroIsTheIdentityOnTheState(form: SSDForm) throws {
        let inputs = try SSDShape().inputs()
        let still = try inputs.replacing(dt: inputs.dt.map { _ in 0 }, dtBias: .some(nil), dtSoftplus: false)
        let outputs = try form.evaluate(still)
        #expect(outputs.finalState == inputs.initialState)
        #expect(outputs.logDecay.elements.allSatisfy { $0 == 0 })
    }

    @Test(arguments: forms) func aTokenChangesNothingBeforeIt(form: SSDForm) throws {
        let inputs = try SSDShape().inputs()
        let before = try form.evaluate(inputs)
        let cut = 20
        // Not even when what comes later is no number at all.
        let later = inputs.x.shape[2...].reduce(1, *) * cut
        var x = inputs.x
        for i in later..<inputs.length * inputs.x.shape[2...].reduce(1, *) { x.elements[i] = .nan }
        let after = try form.evaluate(inputs.replacing(x: x))
        #expect(Array(after.y.elements[..<(cut * 20)]) == Array(before.y.elements[..<(cut * 20)]))
        #expect(after.y.elements[cut * 20].isNaN)
    }

    @Test(arguments: forms) func readingThroughTheHeadMapIsRepeating(form: SSDForm) throws {
        let inputs = try SSDShape().inputs()
        let repeated = try inputs.replacing(
            x: inputs.x.heads([0, 0, 1, 1]), b: inputs.b.heads([0, 0, 1, 1]),
            headMap: HeadMap.grouped(heads: 4, x: 4, b: 4, c: 4))
        let grouped = try form.evaluate(inputs)
        let apart = try form.evaluate(repeated)
        #expect(apart.y == grouped.y)
        #expect(apart.finalState == grouped.finalState)
    }

    @Test(arguments: forms) func permutingTheHeadsPermutesTheOutput(form: SSDForm) throws {
        let inputs = try SSDShape().inputs()
        let order = [2, 0, 3, 1]
        let map = inputs.headMap
        let permuted = try inputs.replacing(
            dt: inputs.dt.heads(order), a: Tensor(order.map { inputs.a[$0] }), d: Tensor(order.map { inputs.d![$0] }),
            z: inputs.z?.heads(order), dtBias: Tensor(order.map { inputs.dtBias![$0] }), initialState: .some(nil),
            headMap: HeadMap(x: order.map { map.x[$0] }, b: order.map { map.b[$0] }, c: order.map { map.c[$0] }))
        let expected = try form.evaluate(inputs.replacing(initialState: .some(nil))).y.heads(order)
        #expect(try form.evaluate(permuted).y == expected)
    }

    /// With x the identity, y is the matrix of the operator; every 2 x 2 minor below the diagonal
    /// of the 1-semiseparable matrix vanishes.
    @Test(arguments: forms) func theMaskIsSemiseparableOfOrderOne(form: SSDForm) throws {
        let length = 12
        let shape = SSDShape(
            batch: 1, length: length, heads: 1, xHeads: 1, bHeads: 1, cHeads: 1, headDim: length, stateDim: 1)
        let identity = (0..<length * length).map { $0 / length == $0 % length ? 1.0 : 0.0 }
        let inputs = try shape.inputs()
        let m = try form.evaluate(
            inputs.replacing(
                x: inputs.x.reshaped([length * length]).replacingElements(identity).reshaped([1, length, 1, length]),
                d: .some(nil), z: .some(nil), initialState: .some(nil))
        ).y
        for t in 0..<length {
            for s in 0..<length where s > t { #expect(m[0, t, 0, s] == 0, "above the diagonal") }
        }
        for t in 2..<length {
            for s in 0..<t - 1 {
                let minor = m[0, t - 1, 0, s] * m[0, t, 0, s + 1] - m[0, t - 1, 0, s + 1] * m[0, t, 0, s]
                let size = (m[0, t - 1, 0, s] * m[0, t, 0, s + 1]).magnitude
                #expect(minor.magnitude <= 1e-14 * size, "minor at (\(t), \(s)): \(minor) of \(size)")
            }
        }
    }

    /// Where decays multiply up to nothing within a few tokens, nothing overflows on the way there.
    @Test(arguments: forms) func extremeDecaysStayFinite(form: SSDForm) throws {
        for decay in [1e-8, 1.0, 80, 1e3, 1e30] {
            let inputs = try SSDShape(length: 300, decay: decay).inputs()
            let outputs = try form.evaluate(inputs.converted(to: Float.self))
            #expect(outputs.y.elements.allSatisfy { $0.isFinite }, "decay \(decay)")
            let error = try relativeL2(outputs.y.elements, SSDForm.recurrent.evaluate(inputs).y.elements)
            #expect(error < 1e-6, "decay \(decay): \(error)")
        }
    }

    /// Segment sums: the error in float32 does not grow with the chunk, as it does with differences
    /// of running sums.
    @Test func theErrorInFloat32DoesNotDependOnTheChunkSize() throws {
        let shape = SSDShape(
            batch: 1, length: 1024, heads: 4, xHeads: 4, bHeads: 1, cHeads: 1, headDim: 8, stateDim: 32, decay: 3)
        let inputs = try shape.inputs()
        let exact = try SSDForm.recurrent.evaluate(inputs).y.elements
        let errors = try [16, 64, 256, 1024].map { size in
            try relativeL2(SSDForm.chunked(size: size).evaluate(inputs.converted(to: Float.self)).y.elements, exact)
        }
        #expect((errors.max() ?? 1) < 2 * (errors.min() ?? 0), "\(errors)")
        #expect((errors.max() ?? 1) < 4e-7, "\(errors)")
    }
}

extension Tensor {
    /// `self[:, :, order]` of a `[B, L, heads, …]` tensor.
    func heads(_ order: [Int]) throws -> Tensor {
        let width = shape[3...].reduce(1, *)
        var elements: [Element] = []
        for token in 0..<shape[0] * shape[1] {
            for head in order {
                let first = (token * shape[2] + head) * width
                elements += self.elements[first..<first + width]
            }
        }
        return try Tensor(shape: [shape[0], shape[1], order.count] + shape[3...], elements: elements)
    }

    func replacingElements(_ elements: [Element]) throws -> Tensor { try Tensor(shape: shape, elements: elements) }
}
