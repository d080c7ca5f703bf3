//  duality_ssd() and duality_bound(): the operator in every form with its gradients, and the sizes
//  of error beside it.

import DualityCore
import DualityNumerics
import DualityReference
import DualityVerify

private let operandNames = ["x", "dt", "A", "B", "C", "D", "z", "dt_bias", "initial_states", "seq_idx", "cu_seqlens"]
private let upstreamNames = ["dout", "dfinal_states", "dvarlen_states"]

/// The operator and, with upstream gradients among the operands, its gradients.
///
/// - Complexity: that of the form.
func evaluate(_ operands: ArgumentTensors, options text: UnsafePointer<CChar>?) throws -> CallResult {
    let options = try Options(text, known: Options.formKeys + Options.stepKeys + ["precision", "states_every"])
    try operands.requireNames(among: operandNames + upstreamNames)
    return switch try options.word("precision", of: ["f64", "f32"]) {
    case "f32": try evaluate(operands, options, as: Float.self)
    default: try evaluate(operands, options, as: Double.self)
    }
}

private func evaluate<Scalar: RealNumber>(
    _ operands: ArgumentTensors, _ options: Options, as type: Scalar.Type
) throws -> CallResult {
    let form = try options.form
    let interval = try options.fields.int("states_every", in: 1...Int(Int32.max))
    let inputs: SSDInputs<Scalar> = try readInputs(operands, options, statesEvery: interval)
    let outputs = try form.evaluate(inputs, statesEvery: interval)
    let result = CallResult()
    result.add("y", outputs.y)
    result.add("final_states", outputs.finalState)
    result.add("log_decay", outputs.logDecay)
    if inputs.packing != nil {
        result.add("varlen_states", outputs.sequenceStates)
        result.add("varlen_log_decay", outputs.sequenceLogDecay)
    }
    result.add("chunk_states", outputs.boundaryStates)
    if upstreamNames.contains(where: operands.contains) {
        let gradients = try form.gradients(of: inputs, upstream: SSDUpstream(readingFrom: operands))
        for (name, gradient) in gradients.named { result.add("grad_\(name)", gradient) }
    }
    return result
}

/// The oracle's answer and the sizes of error a kernel of a given arithmetic may show.
///
/// - Complexity: a small multiple of the arithmetic's own form for bound and for sigma, of the
///   recurrent form for the rest.
func errorSizes(_ operands: ArgumentTensors, options text: UnsafePointer<CChar>?) throws -> CallResult {
    let options = try Options(text, known: Options.stepKeys + ["precision", "quantities"])
    try operands.requireNames(among: operandNames)
    let text = try options.fields.string("precision") ?? "float32"
    guard let arithmetic = try DeclaredPrecision(parsing: text).declared else {
        throw InputError(.value, in: "options: precision", expected: "an arithmetic", found: "\"\(text)\"")
    }
    let all = ["bound", "sigma", "floor", "magnitude"]
    let wanted = try options.fields.strings("quantities") ?? all
    if let other = wanted.first(where: { !all.contains($0) }) {
        throw InputError(
            .unknown, in: "options: quantities", expected: all.joined(separator: ", "), found: "\"\(other)\"")
    }
    let inputs: SSDInputs<Double> = try readInputs(operands, options, statesEvery: nil)
    let packed = inputs.packing != nil
    let outputs = try SSDForm.recurrent.evaluate(inputs)
    let floor = arithmetic.roundingFloor(of: outputs)

    let result = CallResult()
    result.add("y", outputs.y)
    result.add("final_states", outputs.finalState)
    if packed { result.add("varlen_states", outputs.sequenceStates) }
    for quantity in all where wanted.contains(quantity) {
        let sizes =
            switch quantity {
            case "bound": try arithmetic.errorBound(for: inputs)
            case "sigma": try arithmetic.roundingSigma(for: inputs)
            case "floor": floor.sizes
            default: try inputs.magnitudes()
            }
        result.add("\(quantity).y", sizes.y)
        result.add("\(quantity).final_states", sizes.finalState)
        if packed { result.add("\(quantity).varlen_states", sizes.sequenceStates) }
    }
    let json: JSON = [
        "precision": .string(arithmetic.description),
        "floor": ["y": JSON(floor.relativeY), "final_states": JSON(floor.relativeFinalState)],
    ]
    result.setText("json", json.serialized())
    return result
}

/// The operands, when what is computed from them fits into memory.
func readInputs<Scalar: RealNumber>(
    _ operands: ArgumentTensors, _ options: Options, statesEvery interval: Int?
) throws -> SSDInputs<Scalar> {
    let inputs = try SSDInputs<Scalar>(
        readingFrom: operands, dtSoftplus: options.softplus, dtLimit: options.limit)
    let state = [inputs.heads, inputs.headDim, inputs.stateDim]
    for (name, shape) in [
        ("y", [inputs.batch, inputs.length, inputs.heads, inputs.headDim]),
        ("states", [inputs.packing?.count ?? inputs.batch] + state),
        ("chunk_states", [inputs.batch, interval.map { (inputs.length - 1) / $0 + 1 } ?? 1] + state),
    ] where !isAffordable(shape) {
        throw InputError(
            .shape, in: "\(operands.place): \(name)", expected: "results that fit into memory", found: "\(shape)")
    }
    return inputs
}
