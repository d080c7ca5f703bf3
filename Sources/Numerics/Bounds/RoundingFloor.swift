//  What an error is measured against: the floor that no kernel can go below, and how much its sums
//  cancel.
//
//      floor       |fl(y) - y|: the exact answer rounded to the format of the output
//      condition   (sum of |terms| of y) / |y|, the terms those of S C + D x: SSD of the magnitudes of all operands
//
//  An error of a few floors is a good kernel's, whatever its size; an error of many floors that is
//  small against the condition number times u belongs to the operands and not to the kernel.

import DualityCore
import DualityReference

/// The error of the exact answer rounded to the formats it is returned in.
public struct RoundingFloor: Sendable {
    /// Of each number.
    public let sizes: SSDErrorSizes
    /// ||fl(y) - y|| / ||y||; 0 where y is.
    public let relativeY: Double
    /// ||fl(S) - S|| / ||S|| of the final states.
    public let relativeFinalState: Double
}

extension KernelArithmetic {
    /// The least error that y and the states can have in this arithmetic's formats `output` and
    /// `state`.
    ///
    /// - Parameter outputs: the exact answer, from the oracle.
    public func roundingFloor(of outputs: SSDOutputs<Double>) -> RoundingFloor {
        func floor(_ tensor: Tensor<Double>, _ format: NumberFormat) -> Tensor<Double> {
            tensor.map { (format.round($0) - $0).magnitude }
        }
        let sizes = SSDErrorSizes(
            y: floor(outputs.y, output), finalState: floor(outputs.finalState, state),
            sequenceStates: floor(outputs.sequenceStates, state))
        return RoundingFloor(
            sizes: sizes, relativeY: norm(sizes.y) / max(norm(outputs.y), .leastNormalMagnitude),
            relativeFinalState: norm(sizes.finalState) / max(norm(outputs.finalState), .leastNormalMagnitude))
    }
}

/// The Euclidean norm of all elements.
private func norm(_ tensor: Tensor<Double>) -> Double {
    tensor.elements.reduce(0) { $0 + $1 * $1 }.squareRoot()
}

extension SSDInputs<Double> {
    /// The sums of the magnitudes of the terms of y and of the states. Divided by |y| they are the
    /// condition numbers of the sums: 1 where nothing cancels, large where a kernel has to lose
    /// digits.
    ///
    /// - Complexity: that of the recurrent form.
    public func magnitudes() throws(InputError) -> SSDErrorSizes {
        func magnitude(_ tensor: Tensor<Double>) -> Tensor<Double> { tensor.map(\.magnitude) }
        let absolute = try SSDInputs(
            x: magnitude(x), dt: dt, a: a, b: magnitude(b), c: magnitude(c), d: d.map(magnitude), dtBias: dtBias,
            initialState: initialState.map(magnitude), packing: packing, headMap: headMap, dtSoftplus: dtSoftplus,
            dtLimit: dtLimit)
        let outputs = try SSDForm.recurrent.evaluate(absolute)
        var y = outputs.y
        if let z {
            for i in y.elements.indices { y.elements[i] *= Double.silu(z.elements[i]).magnitude }
        }
        return SSDErrorSizes(y: y, finalState: outputs.finalState, sequenceStates: outputs.sequenceStates)
    }
}
