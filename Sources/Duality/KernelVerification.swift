//  A kernel's outputs judged in memory: tensors by name in, a report out.

import DualityCore
import DualityNumerics
import DualityVerify

/// Judges the outputs of one call of a kernel against the float64 reference.
///
/// Names are those of `duality verify`: for a scan the operands x `[B, L, Hx, P]`, dt `[B, L, H]`,
/// A `[H]`, B and C `[B, L, G, N]`, and where there are any D, z, dt_bias and initial_states; the
/// outputs y `[B, L, H, P]` and final_states `[B, H, P, N]`. docs/formats.md has the other kinds.
///
/// - Parameters:
///   - outputs: what the kernel returned.
///   - inputs: what it was given.
///   - kind: what it is a call of.
///   - options: of the call, such as `dt_softplus`, by the names of the command line.
///   - precision: what the kernel computes in, as `duality verify --precision` reads it; nil to
///     read it off the tensors.
/// - Throws: `InputError` for a precision that is not one.
/// - Complexity: ten to thirty times the recurrent form, on all cores; more where a fault is
///   sought.
public func verify(
    outputs: [String: Tensor<Float>], inputs: [String: Tensor<Float>], kind: CaseKind = .scan,
    options: [String: String] = [:], precision: String? = nil, name: String = "kernel"
) throws -> CaseReport {
    let declared = try precision.map { text throws(InputError) in try DeclaredPrecision(parsing: text) } ?? .inferred
    let call = CallDescription(name: name, kind: kind, options: options)
    return Verifier(precision: declared).verify(
        call, inputs: TensorDictionary(inputs, place: "inputs"), outputs: TensorDictionary(outputs, place: "outputs"))
}
