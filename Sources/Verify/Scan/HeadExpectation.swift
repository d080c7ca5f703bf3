//  What to expect of one head of a scan: the exact answer, and the sizes of error of every order in
//  which a right kernel may add.
//
//  Where the order is not known a head is held against the likeliest one, and only where it exceeds
//  that against the others too; it must be within the largest of them.

import DualityCore
import DualityNumerics
import DualityReference

/// The likeliest arithmetic, the recurrent one, and the likeliest that stores dt x, of those that
/// there are.
func oneOfEachSort(_ arithmetics: [KernelArithmetic]) -> [KernelArithmetic] {
    let recurrent = arithmetics.dropFirst().first { $0.form == .recurrent }
    let scaled = arithmetics.first { $0.scaledInput != arithmetics[0].scaledInput }
    return arithmetics.prefix(1) + [recurrent, scaled].compactMap { $0 }
}

/// One head's part of the expectations.
struct HeadExpectation: Sendable {
    var exact: [String: Tensor<Double>] = [:]
    var sigma: [String: Tensor<Double>] = [:]
    var bound: [String: Tensor<Double>] = [:]
    var magnitudes: [String: Tensor<Double>] = [:]
    var boundIsMissing = false

    /// - Parameter lazyBound: whether the bound is left out (NaN) where error / sigma is below its
    ///   limit, and other arithmetics where the first one passes.
    init(
        _ inputs: SSDInputs<Double>, _ arithmetics: [KernelArithmetic], found: [String: Tensor<Double>], head: Int,
        names: [String], lazyBound: Bool
    ) throws {
        let outputs = ScanResult(try SSDForm.recurrent.evaluate(inputs))
        let sums = try inputs.magnitudes()
        for name in names {
            exact[name] = outputs[name]
            magnitudes[name] = sums[name]
        }
        func parts(_ sizes: SSDErrorSizes) -> [String: Tensor<Double>] {
            Dictionary(uniqueKeysWithValues: names.compactMap { name in sizes[name].map { (name, $0) } })
        }
        let own = Dictionary(
            uniqueKeysWithValues: names.compactMap { name in
                found[name].map { (name, $0.head(head, axis: name == "y" ? 2 : 1)) }
            })
        sigma = parts(try arithmetics[0].roundingSigma(for: inputs))
        // An error beyond so many limits cannot be a matter of summation order, so that most orders
        // are skipped. One sigma per kind of order is still taken, because the report says where
        // the error begins and the diagnosis judges what is left of it.
        let largest = [inputs.initialState?.elements, inputs.x.elements].compactMap { $0?.map(\.magnitude).max() }.max()
        let isHopeless = exceeds(
            own, share: WorkLimits.hopelessLimits, and: WorkLimits.underflowShare * (largest ?? 0))
        let arithmetics = isHopeless ? oneOfEachSort(arithmetics) : arithmetics
        let share = lazyBound ? WorkLimits.otherOrdersShareOfLargeCall : WorkLimits.otherOrdersShare
        var isOutside = exceeds(own, share: share)
        for other in arithmetics.dropFirst() where isOutside {
            sigma.merge(parts(try other.roundingSigma(for: inputs))) { larger($0, $1) }
            isOutside = isHopeless || exceeds(own, share: share)
        }
        if isOutside && !isHopeless && arithmetics.count > 2, let y = sigma["y"], let sums = magnitudes["y"] {
            // If widening sigma to the worst token within one chunk makes every element pass, the
            // wider sigma is accepted. If some element still fails, the strict one is kept, so that
            // the report does not hide part of the error.
            let strict = sigma
            sigma["y"] = y.spread(over: WorkLimits.windowOfChunks, magnitudes: sums)
            if exceeds(own, share: 1) { sigma = strict }
        }
        if lazyBound && (isHopeless || !exceeds(own, share: WorkLimits.boundShareOfLargeCall)) {
            boundIsMissing = true
            bound = sigma.mapValues { $0.map { _ in Double.nan } }
            return
        }
        bound = parts(try arithmetics[0].errorBound(for: inputs))
        for other in arithmetics.dropFirst() where isOutside || leavesBound(own) {
            bound.merge(parts(try other.errorBound(for: inputs))) { larger($0, $1) }
        }
    }

    /// Whether some error is above its bound.
    private func leavesBound(_ found: [String: Tensor<Double>]) -> Bool {
        found.contains { name, tensor in
            guard let exact = exact[name], let bound = bound[name], tensor.count == exact.count else { return false }
            return tensor.elements.indices.contains { i in
                !((tensor.elements[i] - exact.elements[i]).magnitude <= bound.elements[i])
            }
        }
    }

    /// Whether some error is above a share of the sigma limit, and above `least`.
    private func exceeds(_ found: [String: Tensor<Double>], share: Double, and least: Double = 0) -> Bool {
        for (name, tensor) in found {
            guard let exact = exact[name], let sigma = sigma[name], tensor.count == exact.count else { continue }
            for i in tensor.elements.indices {
                let error = (tensor.elements[i] - exact.elements[i]).magnitude
                if !(error <= max(share * Limits.sigma * sigma.elements[i], least)) { return true }
            }
        }
        return false
    }
}

private func larger(_ a: Tensor<Double>, _ b: Tensor<Double>) -> Tensor<Double> {
    var result = a
    for i in result.elements.indices { result.elements[i] = max(a.elements[i], b.elements[i]) }
    return result
}

extension Tensor<Double> {
    /// Sizes of error of y, `[B, L, 1, P]`, that hold wherever chunks begin: relative to the
    /// magnitudes, the largest of the tokens around. The sizes themselves grow from the start of a
    /// chunk to its end.
    fileprivate func spread(over window: Int, magnitudes: Tensor) -> Tensor {
        let (length, width) = (shape[1], shape[3])
        var result = self
        for row in 0..<shape[0] {
            let ratios = (0..<length).map { t in
                let first = (row * length + t) * width
                let squares = (first..<first + width).reduce(0.0) { sum, i in
                    let ratio = magnitudes.elements[i] > 0 ? elements[i] / magnitudes.elements[i] : 0
                    return sum + (ratio.isFinite ? ratio * ratio : 0)
                }
                return (squares / Double(Swift.max(width, 1))).squareRoot()
            }
            for t in 0..<length {
                let around = ratios[Swift.max(t - window, 0)...Swift.min(t + window, length - 1)].max() ?? 0
                for i in (row * length + t) * width..<(row * length + t + 1) * width {
                    result.elements[i] = Swift.max(elements[i], around * magnitudes.elements[i])
                }
            }
        }
        return result
    }
}
