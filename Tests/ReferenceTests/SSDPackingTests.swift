import DualityCore
import TestSupport
import Testing

@testable import DualityReference

/// Several sequences in a row are as many rows of their own.
@Suite struct SSDPackingTests {
    /// Wherever the cut lies in a chunk, on its edge, at either end of the row.
    @Test(arguments: SSDInvariantTests.forms) func packedIsSeparateAtEveryCut(form: SSDForm) throws {
        let shape = SSDShape(batch: 1, length: 20)
        let whole = try shape.inputs()
        let states = try #require(SSDShape(batch: 2, seed: 5).inputs().initialState)
        for cut in 0...20 {
            let packed = try form.evaluate(
                whole.replacing(initialState: states, packing: Packing(cumulativeLengths: [0, cut, 20])))
            for (i, range) in [0..<cut, cut..<20].enumerated() {
                let alone = try form.evaluate(whole.tokens(range, initialState: states.slice(i)))
                let y = try relativeL2(packed.y.tokens(range).elements, alone.y.elements)
                let state = try relativeL2(packed.sequenceStates.slice(i).elements, alone.finalState.elements)
                #expect(y < 1e-14, "cut at \(cut), sequence \(i), y: \(y)")
                #expect(state < 1e-14, "cut at \(cut), sequence \(i), state: \(state)")
                let logDecay = try packed.sequenceLogDecay.slice(i)
                #expect(logDecay == alone.logDecay)
                if form == .recurrent {
                    #expect(y == 0 && state == 0, "token by token nothing is reordered")
                }
            }
            #expect(try packed.finalState == packed.sequenceStates.slice(1))
            #expect(try packed.logDecay == packed.sequenceLogDecay.slice(1))
        }
    }

    @Test(arguments: SSDInvariantTests.forms) func eachRowOfABatchIsCutForItself(form: SSDForm) throws {
        let inputs = try SSDShape(batch: 2, length: 9).inputs()
        // The first id need not be 0, and ids may leave gaps.
        let ids = try Tensor(shape: [2, 9], elements: [0, 0, 0, 1, 1, 1, 1, 1, 4] + [7, 7, 7, 7, 7, 8, 8, 8, 8])
        let packing = try Packing(sequenceIds: ids)
        #expect(packing.rows == [[0..<3, 3..<8, 8..<9], [0..<5, 5..<9]])
        let packed = try form.evaluate(inputs.replacing(packing: packing))
        #expect(packed.sequenceStates.shape == [5, 4, 5, 7])
        var sequence = 0
        for (row, ranges) in packing.rows.enumerated() {
            for (i, range) in ranges.enumerated() {
                // The initial state of the row is the first sequence's.
                let initial = i == 0 ? inputs.initialState : nil
                let alone = try form.evaluate(inputs.tokens(range, initialState: initial))
                let y = try relativeL2(
                    packed.y.slice(row).tokens(range).elements, alone.y.slice(row).elements)
                let state = try relativeL2(
                    packed.sequenceStates.slice(sequence).elements, alone.finalState.slice(row).elements)
                #expect(max(y, state) < 1e-14, "row \(row), sequence \(i): \(y), \(state)")
                sequence += 1
            }
            let last = try packed.sequenceStates.slice(sequence - 1)
            #expect(try packed.finalState.slice(row) == last)
        }
    }

    /// Whatever interval is asked for, and whether or not it fits the chunks.
    @Test(arguments: SSDInvariantTests.forms, [1, 3, 7, 8, 50])
    func theStateAtABoundaryIsTheFinalStateOfWhatLiesBefore(form: SSDForm, interval: Int) throws {
        let packing = try Packing(cumulativeLengths: [0, 5, 14, 14, 22])
        let inputs = try SSDShape(batch: 1, length: 22).inputs().replacing(packing: packing)
        let outputs = try form.evaluate(inputs, statesEvery: interval)
        let boundaries = (1...22).filter { $0 % interval == 0 || $0 == 22 }
        let states = try #require(outputs.boundaryStates)
        #expect(outputs.boundaries == boundaries)
        #expect(states.shape == [1, boundaries.count, 4, 5, 7])
        for (i, boundary) in boundaries.enumerated() {
            let start = try #require([0, 5, 14].last { $0 < boundary })
            let initial = start == 0 ? inputs.initialState : nil
            let expected = try SSDForm.recurrent.evaluate(
                inputs.tokens(start..<boundary, initialState: initial)
            ).finalState
            let error = try relativeL2(states.reshaped(Array(states.shape[1...])).slice(i).elements, expected.elements)
            #expect(error < 1e-14, "after \(boundary) tokens: \(error)")
        }
        #expect(try states.reshaped(Array(states.shape[1...])).slice(boundaries.count - 1) == outputs.finalState)
    }

    @Test(arguments: SSDInvariantTests.forms) func askingForStatesChangesNothingElse(form: SSDForm) throws {
        let inputs = try SSDShape(length: 22).inputs()
        let plain = try form.evaluate(inputs)
        let observed = try form.evaluate(inputs, statesEvery: 5)
        #expect(plain.boundaryStates == nil)
        #expect(observed.y == plain.y)
        #expect(observed.finalState == plain.finalState)
    }

    @Test func wrongDivisionsAreNamed() throws {
        func complaint(_ make: () throws -> Void) -> String {
            do { try make() } catch let error as InputError { return "\(error.kind) \(error.place)" } catch {}
            return "none"
        }
        #expect(
            complaint { _ = try Packing(sequenceIds: Tensor(shape: [2, 3], elements: [0, 1, 1, 0, 1, 0])) }
                == "value seq_idx[1, 2]")
        #expect(
            complaint { _ = try Packing(sequenceIds: Tensor(shape: [1, 2], elements: [-1, 0])) }
                == "value seq_idx[0, 0]")
        #expect(complaint { _ = try Packing(sequenceIds: Tensor([0, 1])) } == "shape seq_idx")
        #expect(complaint { _ = try Packing(cumulativeLengths: [0, 5, 4]) } == "value cu_seqlens[2]")
        #expect(complaint { _ = try Packing(cumulativeLengths: [1, 5]) } == "value cu_seqlens[0]")
        #expect(complaint { _ = try Packing(cumulativeLengths: [0]) } == "shape cu_seqlens")

        let inputs = try SSDShape(batch: 2, length: 9).inputs()
        #expect(
            complaint { _ = try inputs.replacing(packing: Packing(cumulativeLengths: [0, 9])) } == "shape packing")
        let short = try Packing(sequenceIds: Tensor(repeating: 0, shape: [2, 8]))
        #expect(complaint { _ = try inputs.replacing(packing: short) } == "shape packing")
        let states = try SSDShape(batch: 3).inputs().initialState
        #expect(complaint { _ = try inputs.replacing(initialState: states) } == "shape initial_states")
        #expect(complaint { _ = try SSDForm.recurrent.evaluate(inputs, statesEvery: 0) } == "value interval of states")
    }

    @Test func theConvolutionIsCutAtTheSamePlaces() throws {
        var random = RandomSource(seed: 3)
        let convolution = try CausalConvolution<Double>(
            weight: Tensor(shape: [3, 4], elements: (0..<12).map { _ in random.normal() }), bias: nil)
        let ids = try Tensor(shape: [2, 6], elements: [0, 0, 1, 1, 1, 2] + [0, 0, 0, 0, 0, 1])
        let packing = try Packing(sequenceIds: ids)
        let u = try Tensor(shape: [2, 6, 3], elements: (0..<36).map { _ in random.normal() })
        var windows = try Tensor(shape: [5, 3, 3], elements: (0..<45).map { _ in random.normal() })
        let before = windows
        let y = try convolution.extend(u, packing: packing, windows: &windows)
        var sequence = 0
        for (row, ranges) in packing.rows.enumerated() {
            for range in ranges {
                var window = try before.slice(sequence).reshaped([3, 3])
                let piece = try u.slice(row).tokens(range).reshaped([range.count, 3])
                let expected = convolution.extend(piece, window: &window).elements
                #expect(try y.slice(row).tokens(range).elements == expected)
                #expect(try windows.slice(sequence).elements == window.elements)
                sequence += 1
            }
        }
        var wrong = Tensor(repeating: 0.0, shape: [4, 3, 3])
        #expect(throws: InputError.self) { try convolution.extend(u, packing: packing, windows: &wrong) }
    }
}

extension Tensor {
    /// `self[i:i+1]`.
    func slice(_ i: Int) throws -> Tensor {
        let size = shape[1...].reduce(1, *)
        return try Tensor(shape: [1] + shape[1...], elements: Array(elements[i * size..<(i + 1) * size]))
    }
}
