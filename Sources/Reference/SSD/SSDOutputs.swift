//  What the operator returns, and where in it the result of one head of one sequence goes.

import DualityCore

/// The results of one call of the operator.
public struct SSDOutputs<Scalar: RealNumber>: Sendable {
    /// Output, `[B, L, H, P]`.
    public package(set) var y: Tensor<Scalar>
    /// State after the last token of each row, `[B, H, P, N]`.
    public package(set) var finalState: Tensor<Scalar>
    /// Sum of Δ A over the tokens behind `finalState`, `[B, H]`: the logarithm of how much is left
    /// of the state they started from. In float64 always, because states are weighed by differences
    /// of it.
    public package(set) var logDecay: Tensor<Double>

    /// State after the last token of each sequence, `[S, H, P, N]`. Without packing each row is a
    /// sequence, S = B.
    public package(set) var sequenceStates: Tensor<Scalar>
    /// Sum of Δ A over each sequence, `[S, H]`.
    public package(set) var sequenceLogDecay: Tensor<Double>

    /// When asked for, the states after E, 2E, 3E … tokens of each row and after its last,
    /// `[B, ceil(L / E), H, P, N]`. Where a sequence ends at such a place it is the state of that
    /// one, not yet the initial state of the next.
    public package(set) var boundaryStates: Tensor<Scalar>?
    /// The token counts that `boundaryStates` belong to, ascending; the last is L.
    public let boundaries: [Int]
}

/// One sequence of one row.
package struct SSDRun {
    /// Index along the batch.
    package let row: Int
    package let tokens: Range<Int>
    /// Index along the sequences of the whole batch.
    package let sequence: Int
    /// Index along `initialState`; nil for a start from zero.
    package let initialState: Int?

    package func initialState<Scalar: RealNumber>(of head: Int, in inputs: SSDInputs<Scalar>) -> [Scalar] {
        let size = inputs.headDim * inputs.stateDim
        guard let initialState, let states = inputs.initialState else { return [Scalar](repeating: .zero, count: size) }
        let first = (initialState * inputs.heads + head) * size
        return Array(states.elements[first..<first + size])
    }
}

extension SSDInputs {
    /// The sequences of the batch, row by row.
    package var runs: [SSDRun] {
        let packing = self.packing ?? .whole(batch: batch, length: length)
        let perSequence = initialState?.shape[0] == packing.count
        var runs: [SSDRun] = []
        for (row, sequences) in packing.rows.enumerated() {
            for (i, tokens) in sequences.enumerated() {
                let number = runs.count
                let initial = perSequence ? number : i == 0 ? row : nil
                runs.append(SSDRun(row: row, tokens: tokens, sequence: number, initialState: initial))
            }
        }
        return runs
    }
}

extension SSDOutputs {
    /// Results of the right shapes, all zero.
    package init(for inputs: SSDInputs<Scalar>, statesEvery interval: Int?) {
        let (batch, length, heads) = (inputs.batch, inputs.length, inputs.heads)
        let state = [heads, inputs.headDim, inputs.stateDim]
        let sequences = inputs.packing?.count ?? batch
        y = Tensor(repeating: .zero, shape: [batch, length, heads, inputs.headDim])
        finalState = Tensor(repeating: .zero, shape: [batch] + state)
        logDecay = Tensor(repeating: 0, shape: [batch, heads])
        sequenceStates = Tensor(repeating: .zero, shape: [sequences] + state)
        sequenceLogDecay = Tensor(repeating: 0, shape: [sequences, heads])
        boundaries =
            interval.map { e in Array(stride(from: e, to: length, by: e)) + (length > 0 ? [length] : []) } ?? []
        boundaryStates = interval.map { _ in Tensor(repeating: .zero, shape: [batch, boundaries.count] + state) }
    }

    /// Puts the result of one head of one sequence in its places.
    package mutating func store(
        _ result: HeadResult<Scalar>, of run: SSDRun, head: Int, steps: Tensor<Scalar>, rate: Scalar
    ) {
        let (length, heads, headDim) = (y.shape[1], y.shape[2], y.shape[3])
        let stateSize = headDim * finalState.shape[3]
        var sum = 0.0
        for (i, t) in run.tokens.enumerated() {
            let place = (run.row * length + t) * heads + head
            for p in 0..<headDim { y.elements[place * headDim + p] = result.y[i * headDim + p] }
            sum += steps.elements[place].double * rate.double
        }
        let place = run.sequence * heads + head
        sequenceLogDecay.elements[place] = sum
        sequenceStates.replace(stateSize, at: place, with: result.states[result.states.count - 1])

        let inside = boundaries.indices.filter {
            run.tokens.lowerBound < boundaries[$0] && boundaries[$0] <= run.tokens.upperBound
        }
        for (i, boundary) in inside.enumerated() {
            boundaryStates?.replace(
                stateSize, at: (run.row * boundaries.count + boundary) * heads + head, with: result.states[i])
        }
    }

    /// The states of the rows are those of their last sequences.
    package mutating func gatherFinalStates(of inputs: SSDInputs<Scalar>) {
        guard inputs.packing != nil else {
            (finalState, logDecay) = (sequenceStates, sequenceLogDecay)
            return
        }
        let size = finalState.shape[1...].reduce(1, *)
        for run in inputs.runs {
            let states = sequenceStates.elements[run.sequence * size..<(run.sequence + 1) * size]
            finalState.replace(size, at: run.row, with: Array(states))
            for head in 0..<inputs.heads {
                logDecay.elements[run.row * inputs.heads + head] =
                    sequenceLogDecay.elements[run.sequence * inputs.heads + head]
            }
        }
    }
}

extension SSDOutputs<Float> {
    /// The same numbers as Doubles, exactly.
    public var widened: SSDOutputs<Double> { converted() }
}

extension SSDOutputs {
    /// The same numbers in another format.
    package func converted<Other: RealNumber>(to type: Other.Type = Other.self) -> SSDOutputs<Other> {
        SSDOutputs<Other>(
            y: y.converted(), finalState: finalState.converted(), logDecay: logDecay,
            sequenceStates: sequenceStates.converted(), sequenceLogDecay: sequenceLogDecay,
            boundaryStates: boundaryStates?.converted(), boundaries: boundaries)
    }
}

extension Tensor {
    /// Replaces the `place`-th group of `size` consecutive elements.
    fileprivate mutating func replace(_ size: Int, at place: Int, with elements: [Element]) {
        self.elements.replaceSubrange(place * size..<(place + 1) * size, with: elements)
    }
}
