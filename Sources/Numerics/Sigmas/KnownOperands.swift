//  The roundings of operands that are not random, because no kernel has a choice in them.
//
//      ẑ_t = fl(Δ_t fl(A))      where Δ_t is known to the last bit: a step that is given, or clamped
//
//  Where steps repeat, and clamped ones do, that rounding is the same for many tokens, and adds up
//  over all of them. So the operator is run once on what the kernel multiplies, and the difference
//  counts as it is, beside the variances. In the walks of gradients the same holds for x̄ = fl(Δ x)
//  below the normal range.

import DualityCore
import DualityReference

/// Operands as a kernel has them; nil where they are as good as the exact ones.
struct KnownOperands {
    /// `[L]`
    var logDecay: [Double]?
    /// `[L, N]`
    var b: [Double]?
    /// `[L, N]`
    var c: [Double]?

    var areExact: Bool { logDecay == nil && b == nil && c == nil }
}

extension SpreadSequence {
    /// Sigma of S_t C_t and of the final state in the arithmetic's form.
    func sigma(_ arithmetic: KernelArithmetic) -> HeadErrors {
        var result = walk(arithmetic)
        var others = known.areExact ? [] : [known]
        if let errors = sharedExponentialErrors(arithmetic) {
            others.append(KnownOperands(logDecay: zip(logDecay, errors).map { $0 + $1 }))
        }
        guard !others.isEmpty else { return result }
        let exact = recurrence(KnownOperands())
        func add(_ a: [Double], _ b: [Double], to errors: inout [Double]) {
            for i in errors.indices {
                let difference = a[i] - b[i]
                errors[i] = (errors[i] * errors[i] + difference * difference).squareRoot()
            }
        }
        for operands in others {
            let found = recurrence(operands)
            add(exact.y, found.y, to: &result.yErrors)
            add(exact.states[0], found.states[0], to: &result.stateErrors)
        }
        return result
    }

    private func walk(_ arithmetic: KernelArithmetic) -> HeadErrors {
        if let (tree, leaf) = arithmetic.followedTree { return treeSigma(arithmetic, tree: tree, leaf: leaf) }
        return arithmetic.chunkSize.map { chunkedSigma(arithmetic, size: $0) } ?? recurrentSigma(arithmetic)
    }

    private func recurrence(_ operands: KnownOperands) -> HeadResult<Double> {
        HeadSequence(
            length: length, headDim: headDim, stateDim: stateDim,
            x: scaledInput, b: operands.b ?? b, c: operands.c ?? c,
            logDecay: operands.logDecay ?? logDecay, initialState: initialState, start: 0, checkpoints: [length]
        ).recurrent()
    }

    /// x̄ = Δ x, `[L, P]`.
    var scaledInput: [Double] { x.indices.map { factor[$0 / headDim] * x[$0] } }

    /// x̄ with what rounding does to it where it is below the normal range; nil where nothing is.
    func scaledInputAsKernels(_ arithmetic: KernelArithmetic) -> [Double]? {
        let format = arithmetic.scaledInput ?? arithmetic.accumulate
        guard arithmetic.accumulate != .f64 else { return nil }
        let exact = scaledInput
        let rounded = exact.map { $0.magnitude < format.smallestNormal ? format.round($0) : $0 }
        return rounded == exact ? nil : rounded
    }
}
