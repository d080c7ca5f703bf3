//  What the arithmetic of one chunk of the gated delta rule backwards may add, the states at both
//  ends taken as they are: the lines of DeltaAdjointWalk+Chunks.swift with a bound on every number.
//
//  T and δ come with their bounds from the chunk on its way forwards (DeltaChunkBound.swift). From
//  there every line is a product or a sum, and none is recursive, so that magnitudes do not pile
//  up. ∂A = -Tᵀ ∂T Tᵀ, the way of U and W, and -X δᵀ, the short way, are one number; the larger of
//  both bounds counts. So it is with ∂β, of which the way by U and W has the terms of the other.

import DualityCore
import DualityReference

extension DeltaAdjointBound {
    /// Roundings of a chunk's products.
    private struct Roundings {
        let bound: DeltaBound
        let products: Double

        init(_ bound: DeltaBound) {
            self.bound = bound
            products = 2 * bound.storing(bound.arithmetic.products)
        }

        /// Of a product whose sums have so many terms.
        func callAsFunction(_ count: Int) -> Double { bound.growth(count) + products + 2 * bound.unit }
        func tiny(_ count: Int) -> Double { bound.arithmetic.accumulate.smallestNormal * Double(count + 4) }

        func times(_ a: BoundedMatrix, _ b: BoundedMatrix) -> BoundedMatrix {
            a.times(b, self(a.columns), tiny(a.columns))
        }

        /// The sum of a row.
        func total(_ matrix: BoundedMatrix, _ row: Int) -> (sum: Bounded, magnitude: Double) {
            var (sum, magnitude) = matrix.sum(row: row)
            sum.error += bound.growth(matrix.columns) * (magnitude + sum.error)
            return (sum, magnitude)
        }
    }

    /// A chunk's operands and what is made of them.
    private struct Chunk {
        let roundings: Roundings
        let q, k, pull: BoundedMatrix
        let state, adjoint: BoundedMatrix
        /// e^ℓ_i, e^(ℓ_Q - ℓ_i), β_i, and e_ij below and on the diagonal.
        let fromStart, toEnd, beta: [Bounded]
        let between: BoundedMatrix
        let inverse, delta: BoundedMatrix
        let scaledValues, scaledKeys: BoundedMatrix
        /// e^ℓ_Q.
        var toStart: Bounded { fromStart[fromStart.count - 1] }
        /// e q·k with the diagonal, e k·k without.
        let queryKeys, keyKeys: BoundedMatrix

        init(
            _ bound: DeltaBound, local: DeltaChunkBound, tokens: Range<Int>, pulls: [Double], start: [Double],
            end: [Double]
        ) {
            let (head, size, keys, values) = (bound.head, tokens.count, bound.head.keyDim, bound.head.valueDim)
            let (rows, columns) = (
                tokens.lowerBound * keys..<tokens.upperBound * keys,
                tokens.lowerBound * values..<tokens.upperBound * values
            )
            roundings = Roundings(bound)
            let ofStates = bound.storing(bound.arithmetic.chunkStates)
            q = BoundedMatrix(size, keys, Array(head.q[rows]), relative: bound.ofQueries)
            k = BoundedMatrix(size, keys, Array(head.k[rows]), relative: bound.ofKeys)
            pull = BoundedMatrix(size, values, Array(pulls[columns]), relative: 0)
            state = BoundedMatrix(keys, values, start, relative: ofStates)
            adjoint = BoundedMatrix(keys, values, end, relative: ofStates)
            (inverse, delta) = (local.inverse, local.delta)
            var decays = BoundedMatrix(size, size, [Double](repeating: 0, count: size * size), relative: 0)
            for i in 0..<size {
                for j in 0...i {
                    let (e, relative) = i == j ? (1, 0) : local.decay(i, j)
                    (decays.value[i * size + j], decays.error[i * size + j]) = (e, e * relative)
                }
            }
            between = decays
            fromStart = local.fromStart.enumerated().map { i, e in
                Bounded(e, error: e * (bound.exponential(local.sums[i]) + 2 * bound.growth(size) * local.sums[i]))
            }
            toEnd = (0..<size).map { i in
                Bounded(decays.value[(size - 1) * size + i], error: decays.error[(size - 1) * size + i])
            }
            beta = tokens.map { Bounded(head.beta[$0]) }
            let steps = zip(beta, fromStart).map { $0 * $1 }
            scaledValues = BoundedMatrix(size, values, Array(head.v[columns]), relative: 0).scaled(by: beta, bound.unit)
            scaledKeys = k.scaled(by: steps, 2 * bound.unit)
            let other = k.transposed
            queryKeys = roundings.times(q, other).hadamard(decays, 2 * bound.unit).lower(diagonal: true)
            keyKeys = roundings.times(k, other).hadamard(decays, 2 * bound.unit).lower(diagonal: false)
        }
    }

    /// Adds the bounds of a chunk.
    ///
    /// - Returns: bounds of what it adds to the columns of R before it.
    func addChunk(
        _ local: DeltaChunkBound, _ tokens: Range<Int>, state: [Double], adjoint: [Double],
        to gradients: inout DeltaHeadGradients<Double>
    ) -> [Double] {
        let chunk = Chunk(bound, local: local, tokens: tokens, pulls: pull, start: state, end: adjoint)
        let (times, unit) = (chunk.roundings.times, bound.unit)
        let stored = bound.storing(arithmetic.values)
        let inside = times(chunk.queryKeys.transposed, chunk.pull)
        let ofDelta = inside.adding(times(chunk.k.scaled(by: chunk.toEnd, unit), chunk.adjoint), unit).stored(stored)
        let ofW = times(ofDelta, chunk.state.transposed).negated().stored(stored)
        let inverse = chunk.inverse.transposed
        let (x, z) = (times(inverse, ofDelta).stored(stored), times(inverse, ofW).stored(stored))
        let ofSystem = self.ofSystem(chunk, ofDelta, ofW, x)
        let pairs = times(chunk.pull, chunk.delta.transposed).lower(diagonal: true)
        let betas = chunk.beta
        let ofPairs = ofSystem.hadamard(chunk.between, unit).scaled(by: betas, unit)
        // What queries read of the state, what keys read of it, what keys write into R.
        let read = times(chunk.pull, chunk.state.transposed).scaled(by: chunk.fromStart, unit)
        let solved = z.scaled(by: zip(betas, chunk.fromStart).map { $0 * $1 }, 2 * unit)
        let written = times(chunk.delta, chunk.adjoint.transposed).scaled(by: chunk.toEnd, unit)
        let weights = pairs.hadamard(chunk.between, unit)
        let ofQueries = times(weights, chunk.k).stored(stored).adding(read.stored(stored), 3 * unit)
        let ofKeys = times(ofPairs, chunk.k).adding(times(ofPairs.transposed, chunk.k), 3 * unit)
            .adding(times(weights.transposed, chunk.q), 3 * unit).stored(stored).adding(solved.stored(stored), 3 * unit)
            .adding(written.stored(stored), 3 * unit)
        let first = tokens.lowerBound
        for i in ofQueries.error.indices {
            gradients.q[first * head.keyDim + i] += ofQueries.error[i]
            gradients.k[first * head.keyDim + i] += ofKeys.error[i]
        }
        let ofValues = x.scaled(by: betas, 2 * unit)
        for i in ofValues.error.indices { gradients.v[first * head.valueDim + i] += ofValues.error[i] }
        let ofOverlaps = ofSystem.hadamard(chunk.keyKeys, unit)
        addGates(
            chunk, tokens, x: x, z: z, read: read, written: written, overlaps: ofOverlaps,
            weights: pairs.hadamard(chunk.queryKeys, unit), to: &gradients)
        // R before the chunk.
        let kept = chunk.adjoint.scaled(by: [Bounded](repeating: chunk.toStart, count: head.keyDim), 2 * unit)
        let queries = times(chunk.q.scaled(by: chunk.fromStart, unit).transposed, chunk.pull)
        let corrections = times(chunk.scaledKeys.transposed, x)
        return kept.adding(queries, 3 * unit).adding(corrections, 3 * unit).errorNorms
    }

    /// ∂A below the diagonal.
    private func ofSystem(
        _ chunk: Chunk, _ ofU: BoundedMatrix, _ ofW: BoundedMatrix, _ x: BoundedMatrix
    ) -> BoundedMatrix {
        let (times, unit) = (chunk.roundings.times, bound.unit)
        let products = bound.storing(arithmetic.products)
        let ofInverse = times(ofU, chunk.scaledValues.transposed)
            .adding(times(ofW, chunk.scaledKeys.transposed), 2 * unit).lower(diagonal: true).stored(products)
        let half = times(ofInverse, chunk.inverse.transposed).stored(products)
        var system = times(chunk.inverse.transposed, half).negated().stored(products).lower(diagonal: false)
        let short = times(x, chunk.delta.transposed)
        for i in 0..<system.rows {
            for j in 0..<i {
                let place = i * system.columns + j
                system.error[place] = max(system.error[place], short.error[place])
            }
        }
        return system
    }

    /// Adds the bounds of the gradients of β and of g.
    private func addGates(
        _ chunk: Chunk, _ tokens: Range<Int>, x: BoundedMatrix, z: BoundedMatrix, read: BoundedMatrix,
        written: BoundedMatrix, overlaps: BoundedMatrix, weights: BoundedMatrix,
        to gradients: inout DeltaHeadGradients<Double>
    ) {
        let (size, keys, values, unit) = (tokens.count, head.keyDim, head.valueDim, bound.unit)
        let rows = tokens.lowerBound * values..<tokens.upperBound * values
        let ofValues = x.hadamard(BoundedMatrix(size, values, Array(head.v[rows]), relative: 0), unit)
        let ofKeys = z.hadamard(chunk.k.scaled(by: chunk.fromStart, unit), unit)
        let (reads, writes) = (read.hadamard(chunk.q, unit), written.hadamard(chunk.k, unit))
        let solved = z.hadamard(chunk.scaledKeys, unit)
        let pairs = weights.adding(overlaps.scaled(by: chunk.beta, unit), 0)
        let sums = chunk.roundings
        let columns = pairs.transposed
        var (errors, sizes) = ([Double](repeating: 0, count: size), [Double](repeating: 0, count: size))
        for i in 0..<size {
            let ofBeta = [ofValues, ofKeys, overlaps].map { sums.total($0, i) }
            gradients.beta[tokens.lowerBound + i] += ofBeta.reduce(sums.tiny(keys + values)) {
                $0 + $1.sum.error + 4 * unit * $1.magnitude
            }
            let parts = [reads, solved, writes, pairs, columns].map { sums.total($0, i) }
            for part in parts {
                errors[i] += part.sum.error + 6 * unit * part.magnitude
                sizes[i] += part.magnitude
            }
            let write = sums.total(writes, i)
            errors[size - 1] += write.sum.error + bound.growth(size) * write.magnitude
            sizes[size - 1] += write.magnitude
        }
        var (passing, error) = (0.0, 0.0)
        for i in chunk.state.value.indices {
            let (s, r) = (chunk.state.value[i], chunk.adjoint.value[i])
            passing += (s * r).magnitude
            error += chunk.state.error[i] * r.magnitude + s.magnitude * chunk.adjoint.error[i]
        }
        let factor = chunk.toStart
        errors[size - 1] += factor.magnitude * error + (factor.error + factor.magnitude * sums(keys * values)) * passing
        sizes[size - 1] += factor.magnitude * passing
        var (behind, total) = (0.0, 0.0)
        for i in (0..<size).reversed() {
            behind += errors[i]
            total += sizes[i]
            gradients.logDecay[tokens.lowerBound + i] += behind + bound.growth(size) * total + sums.tiny(keys * values)
        }
    }
}
