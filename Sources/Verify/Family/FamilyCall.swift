//  What calls of all recurrences of the family have alike, read and checked.

import DualityCore
import DualityReference

enum FamilyCall {
    /// The tokens of each sequence: rows of a batch, or what `cu_seqlens` cuts one row into.
    ///
    /// - Throws: `InputError` for numbers that do not cut it.
    static func sequences(_ source: any TensorSource, batch: Int, length: Int) throws -> [Range<Int>] {
        guard source.contains("cu_seqlens") else {
            return (0..<batch).map { $0 * length..<($0 + 1) * length }
        }
        let place = "\(source.place): cu_seqlens"
        guard batch == 1 else {
            throw InputError(
                .shape, in: place, expected: "none beside a batch of \(batch): rows are packed into one",
                found: "a tensor")
        }
        let starts = try source.integers("cu_seqlens")
        guard starts.shape.count == 1 else {
            throw InputError(.shape, in: place, expected: "[S + 1]", found: "\(starts.shape)")
        }
        let packing: Packing
        do { packing = try Packing(cumulativeLengths: starts.elements) } catch { throw error.within(source.place) }
        guard starts.elements.last == length else {
            throw InputError(
                .value, in: place, expected: "\(length), the tokens there are, as its last number",
                found: "\(starts.elements.last ?? 0)")
        }
        return packing.rows[0]
    }

    /// Refuses decays that grow.
    static func requireDecays(_ g: Tensor<Double>, _ place: String) throws(InputError) {
        guard let i = g.elements.firstIndex(where: { $0 > 0 }) else { return }
        throw InputError(
            .value, in: "\(place): g[\(i)]", expected: "the logarithm of a decay, at most 0",
            found: "\(g.elements[i])", remedy: "If g is the decay itself, take its logarithm.")
    }

    /// What the output or q is multiplied with: 1 / sqrt(width) where the call does not say.
    static func scale(_ call: CallDescription, width: Int) throws(InputError) -> Double {
        let scale = try call.number("scale", default: 1 / Double(width).squareRoot())
        guard scale.isFinite else {
            throw InputError(.value, in: "\(call.name): scale", expected: "a finite number", found: "\(scale)")
        }
        return scale
    }

    /// ε of the norms of q and k; nil where the kernel does not take them.
    static func epsilon(_ call: CallDescription, normalizes isUsual: Bool) throws(InputError) -> Double? {
        let epsilon = try call.number("l2norm_epsilon", default: 1e-6)
        guard epsilon >= 0, epsilon.isFinite else {
            throw InputError(
                .value, in: "\(call.name): l2norm_epsilon", expected: "a number of at least 0", found: "\(epsilon)")
        }
        return try call.flag("use_qk_l2norm_in_kernel", default: isUsual) ? epsilon : nil
    }
}
