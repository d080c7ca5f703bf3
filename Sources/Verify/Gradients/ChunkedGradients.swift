//  A call's gradients, head by head, as a backward pass in chunks makes them, rightly or with one
//  part taken wrongly.

import DualityCore
import DualityReference

extension GradientParts {
    /// The runs of one head.
    func runs(_ h: Int, _ upstream: SSDUpstream<Double>, chunkSize: Int) -> [(run: GradientRun, first: Int)] {
        let (length, headDim, stateDim) = (inputs.length, inputs.headDim, inputs.stateDim)
        let size = headDim * stateDim
        let packing = inputs.packing ?? .whole(batch: inputs.batch, length: length)
        let states = inputs.initialState
        let perSequence = states.map { $0.shape[0] == packing.count } ?? false
        var runs: [(GradientRun, Int)] = []
        var sequence = 0
        for (row, pieces) in packing.rows.enumerated() {
            for (i, tokens) in pieces.enumerated() {
                defer { sequence += 1 }
                func rows(_ tensor: Tensor<Double>, _ head: Int, _ width: Int) -> [Double] {
                    tokens.flatMap { t -> ArraySlice<Double> in
                        let first = ((row * length + t) * tensor.shape[2] + head) * width
                        return tensor.elements[first..<first + width]
                    }
                }
                let steps = tokens.map { self.steps.elements[(row * length + $0) * inputs.heads + h] }
                var x = rows(inputs.x, inputs.headMap.x[h], headDim)
                for k in x.indices { x[k] *= steps[k / headDim] }
                let zero = [Double](repeating: 0, count: size)
                func state(_ tensor: Tensor<Double>?, _ index: Int) -> [Double] {
                    tensor.map {
                        Array($0.elements[(index * inputs.heads + h) * size..<(index * inputs.heads + h + 1) * size])
                    }
                        ?? zero
                }
                let entering = perSequence ? state(states, sequence) : i == 0 ? state(states, row) : zero
                var leaving = state(upstream.sequenceStates, sequence)
                if i + 1 == pieces.count { leaving = zip(leaving, state(upstream.finalState, row)).map { $0 + $1 } }
                let starts = tokens.indices.filter { $0 == tokens.lowerBound || $0 % chunkSize == 0 }
                runs.append(
                    (
                        GradientRun(
                            headDim: headDim, stateDim: stateDim, g: rows(pull, h, headDim), x: x,
                            b: rows(inputs.b, inputs.headMap.b[h], stateDim),
                            c: rows(inputs.c, inputs.headMap.c[h], stateDim),
                            decays: steps.map { $0 * inputs.a.elements[h] },
                            starts: starts.map { $0 - tokens.lowerBound },
                            entering: entering, leaving: leaving), row * length + tokens.lowerBound
                    ))
            }
        }
        return runs
    }
}

/// A call's backward pass in chunks of one size, ready to be done wrongly.
struct ChunkedGradients: Sendable {
    private let right: GradientParts
    /// Of each head its runs, where they begin (row times length and token), and what pairs of
    /// tokens inside chunks give when nothing is wrong.
    private let heads: [[(run: GradientRun, first: Int, insides: GradientRun.Result)]]

    /// - Parameter isLong: whether pairs of tokens are taken from the whole gradient instead, less
    ///   what comes through states.
    init(_ parts: GradientParts, _ upstream: SSDUpstream<Double>, chunkSize: Int, isLong: Bool) {
        right = parts
        heads = parallelMap(parts.inputs.heads) { h in
            parts.runs(h, upstream, chunkSize: chunkSize).map { run, first in
                var insides = isLong ? run.nothing : run.insides(GradientChoice())
                if isLong {
                    insides = parts.taken(run, first, head: h).less(run.gradients(GradientChoice(), insides: insides))
                }
                return (run, first, insides)
            }
        }
    }

    /// The parts with a choice of how each is taken.
    func parts(_ choice: GradientChoice) -> GradientParts {
        var parts = right
        let inputs = right.inputs
        let (headDim, stateDim) = (inputs.headDim, inputs.stateDim)
        let packing = inputs.packing ?? .whole(batch: inputs.batch, length: inputs.length)
        let rowOf = packing.rows.enumerated().flatMap { row, pieces in pieces.map { _ in row } }
        for h in 0..<inputs.heads {
            var rate = 0.0
            for (sequence, item) in heads[h].enumerated() {
                let (run, first) = (item.run, item.first)
                let insides = choice.isInside ? run.insides(choice) : item.insides
                let result = run.gradients(choice, insides: insides)
                for t in run.decays.indices {
                    let place = (first + t) * inputs.heads + h
                    let step = right.steps.elements[place]
                    var direct = 0.0
                    for p in 0..<headDim {
                        parts.heads[h].x.elements[(first + t) * headDim + p] = step * result.x[t * headDim + p]
                        let x = inputs.x.elements[
                            ((first + t) * inputs.x.shape[2] + inputs.headMap.x[h]) * headDim + p]
                        direct += x * result.x[t * headDim + p]
                    }
                    for n in 0..<stateDim {
                        parts.heads[h].b.elements[(first + t) * stateDim + n] = result.b[t * stateDim + n]
                        parts.heads[h].c.elements[(first + t) * stateDim + n] = result.c[t * stateDim + n]
                    }
                    if choice.entersSteps { parts.direct.elements[place] = direct }
                    parts.throughDecay.elements[place] = inputs.a.elements[h] * result.decay[t]
                    rate += step * result.decay[t]
                }
                // One initial state per sequence, or one per row, which is that of its first.
                let states = parts.heads[h].initialState.shape[0]
                let isFirst = sequence == 0 || rowOf[sequence - 1] != rowOf[sequence]
                guard let index = states == packing.count ? sequence : isFirst ? rowOf[sequence] : nil else { continue }
                let size = headDim * stateDim
                parts.heads[h].initialState.elements.replaceSubrange(
                    index * size..<(index + 1) * size, with: result.entering)
            }
            parts.heads[h].a.elements[0] = rate
        }
        return parts
    }
}

extension GradientChoice {
    /// Whether pairs of tokens inside chunks are taken wrongly.
    fileprivate var isInside: Bool { [insideX, insideB, insideC, inside].contains { $0 != .right } }
}

extension GradientRun {
    /// No gradient at all.
    fileprivate var nothing: Result {
        Result(
            x: [Double](repeating: 0, count: x.count), b: [Double](repeating: 0, count: b.count),
            c: [Double](repeating: 0, count: c.count), decay: [Double](repeating: 0, count: decays.count),
            entering: leaving)
    }
}

extension GradientRun.Result {
    /// This less another.
    fileprivate func less(_ other: GradientRun.Result) -> GradientRun.Result {
        func difference(_ a: [Double], _ b: [Double]) -> [Double] { zip(a, b).map { $0 - $1 } }
        return GradientRun.Result(
            x: difference(x, other.x), b: difference(b, other.b), c: difference(c, other.c),
            decay: difference(decay, other.decay), entering: entering)
    }
}

extension GradientParts {
    /// The right gradients of one run of one head.
    fileprivate func taken(_ run: GradientRun, _ first: Int, head h: Int) -> GradientRun.Result {
        let (headDim, stateDim, count) = (inputs.headDim, inputs.stateDim, run.decays.count)
        let steps = (0..<count).map { self.steps.elements[(first + $0) * inputs.heads + h] }
        let rate = inputs.a.elements[h]
        let own = heads[h]
        return GradientRun.Result(
            x: (0..<count * headDim).map { i in
                let step = steps[i / headDim]
                return step == 0 ? 0 : own.x.elements[first * headDim + i] / step
            },
            b: Array(own.b.elements[first * stateDim..<(first + count) * stateDim]),
            c: Array(own.c.elements[first * stateDim..<(first + count) * stateDim]),
            decay: (0..<count).map {
                rate == 0 ? 0 : throughDecay.elements[(first + $0) * inputs.heads + h] / rate
            }, entering: run.leaving)
    }
}
