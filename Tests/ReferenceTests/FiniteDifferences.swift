//  Derivatives by central differences, extrapolated to a step of zero.
//
//      d(h) = (f(h) - f(-h)) / 2h = f'(0) + c2 h² + c4 h⁴ + …
//
//  Halving h four times and combining the answers (Richardson; Ridders, "Accurate computation of
//  F'(x) and F'(x) F''(x)", 1982) leaves an error of order h¹⁰ at steps so large that rounding
//  hardly enters: about 1e-13 in float64.

import DualityCore
import TestSupport

/// The derivative of `f` at zero.
///
/// - Parameters:
///   - step: the largest h; f is smooth within it.
///   - difference: f(h) - f(-h). Taken as one, so that what h does not touch can cancel before it
///     is summed.
func derivative(step: Double, of difference: (Double) throws -> Double) rethrows -> Double {
    let levels = 5
    var column: [Double] = []
    for i in 0..<levels {
        let h = step / Double(1 << i)
        column.append(try difference(h) / (2 * h))
    }
    var power = 1.0
    while column.count > 1 {
        power *= 4
        column = zip(column, column.dropFirst()).map { ($1 * power - $0) / (power - 1) }
    }
    return column[0]
}

/// The gradient of a loss with respect to each element of `tensor`, by differences.
///
/// - Parameter outputs: everything that the loss looks at, as a function of the tensor; the loss is
///   its inner product with `upstream`.
func differences(
    of tensor: Tensor<Double>, step: Double, upstream: [Double], outputs: (Tensor<Double>) throws -> [Double]
) rethrows -> [Double] {
    try tensor.elements.indices.map { i in
        try derivative(step: step) { h in
            var (up, down) = (tensor, tensor)
            up.elements[i] += h
            down.elements[i] -= h
            // The step that was really taken, not the one that was asked for.
            let taken = (up.elements[i] - down.elements[i]) / (2 * h)
            var sum = 0.0
            for (weight, (high, low)) in try zip(upstream, zip(outputs(up), outputs(down))) {
                sum += weight * (high - low)
            }
            return sum / taken
        }
    }
}
