//  Where the base and the scaling of the rotary embedding come from, in this order:
//
//  1. `rope_parameters` {rope_type, rope_theta, …}; a top-level rope_theta beside it counts only
//     when it has none;
//  2. the older `rope_theta` and `rope_scaling` {rope_type or type, …};
//  3. theta 10000 without scaling.
//
//  The official code overlooks the old spelling "type" and then runs without any scaling. It is
//  honoured here, with a warning. Source: transformers, modeling_rope_utils.py; measured with the
//  official configuration class.

extension RopeParameters {
    init(_ fields: JSONFields, maxPositions: Int, warnings: inout [String]) throws(InputError) {
        let current = try fields.fields("rope_parameters")
        let legacy = try fields.fields("rope_scaling")
        let topTheta = try Self.theta(fields)
        let theta = try current.flatMap { current throws(InputError) in try Self.theta(current) }
        if let theta, let topTheta, theta != topTheta {
            warnings.append("rope_theta is \(topTheta) and rope_parameters.rope_theta \(theta); the latter counts.")
        }
        if current != nil, legacy != nil {
            warnings.append("Both rope_parameters and rope_scaling are given; rope_parameters counts.")
        }
        self.init(theta: theta ?? topTheta ?? 10000)
        for object in [current, fields] {
            guard let part = try object?.double("partial_rotary_factor"), part != 1 else { continue }
            throw InputError(
                .unsupported, in: (object ?? fields).place(of: "partial_rotary_factor"), expected: "1, or nothing",
                found: "\(part)")
        }
        guard let scaling = current ?? legacy else { return }
        self.scaling = try Self.scaling(
            scaling, top: fields, maxPositions: maxPositions, warnings: &warnings)
    }

    private static func theta(_ fields: JSONFields) throws(InputError) -> Double? {
        try fields.double("rope_theta", expected: "a number greater than 1") { $0 > 1 && $0.isFinite }
    }

    private static func scaling(
        _ fields: JSONFields, top: JSONFields, maxPositions: Int, warnings: inout [String]
    ) throws(InputError) -> Scaling {
        let type = try scalingType(fields, top: top, warnings: &warnings)
        let reader = ScalingFields(fields: fields, top: top, type: type ?? "", maxPositions: maxPositions)
        switch type {
        case nil, "default": return .none
        case "linear": return .linear(factor: try reader.required("factor"))
        case "dynamic": return .dynamic(factor: try reader.required("factor"))
        case "yarn": return .yarn(try reader.yarn())
        case "llama3": return try reader.llama3()
        case "longrope", "su":
            throw InputError(
                .unsupported, in: fields.place(of: "rope_type"), expected: "default, linear, dynamic, yarn or llama3",
                found: "\"longrope\", which changes the frequencies with the length of the text")
        case let other?:
            let known = ["default", "linear", "dynamic", "yarn", "llama3"]
            throw InputError(
                .unknown, in: fields.place(of: "rope_type"), expected: "one of \(known.joined(separator: ", "))",
                found: "\"\(other)\"", remedy: nearestName(to: other, in: known).map { "Is it \"\($0)\"?" } ?? "")
        }
    }

    /// The name of the scaling under its new or its old key.
    private static func scalingType(
        _ fields: JSONFields, top: JSONFields, warnings: inout [String]
    ) throws(InputError) -> String? {
        if let type = try fields.string("rope_type") { return type }
        guard let old = try fields.string("type") else { return nil }
        // transformers' own class of dense Qwen3 takes the old spelling for the new one.
        if old != "default", try top.string("model_type") != "qwen3" {
            warnings.append(
                "\(fields.path).type is the old spelling of rope_type; the official code overlooks it and does not "
                    + "scale. We do.")
        }
        return old
    }
}

/// The members of a scaling.
private struct ScalingFields {
    let fields: JSONFields
    let top: JSONFields
    let type: String
    let maxPositions: Int

    /// The length the model was trained with before its context was stretched.
    private func originalMaxPositions() throws(InputError) -> Int {
        let range = 1...Int(Int32.max)
        let inner = try fields.int("original_max_position_embeddings", in: range)
        let outer = try top.int("original_max_position_embeddings", in: range)
        return inner ?? outer ?? maxPositions
    }

    func required(_ key: String) throws(InputError) -> Double {
        if let value = try fields.positive(key) { return value }
        throw InputError(
            .missing, in: fields.place(of: key), expected: "a number, for rope_type \"\(type)\"", found: "nothing")
    }

    func yarn() throws(InputError) -> RopeParameters.Yarn {
        let original = try originalMaxPositions()
        var yarn = RopeParameters.Yarn(factor: 1, originalMaxPositions: original)
        if fields["factor"] == nil && original != maxPositions {
            yarn.factor = Double(maxPositions) / Double(original)
        } else {
            yarn.factor = try required("factor")
        }
        yarn.betaFast = try fields.positive("beta_fast") ?? yarn.betaFast
        yarn.betaSlow = try fields.positive("beta_slow") ?? yarn.betaSlow
        yarn.truncate = try fields.bool("truncate") ?? yarn.truncate
        yarn.attentionFactor = try fields.positive("attention_factor")
        yarn.mscale = try fields.positive("mscale")
        yarn.mscaleAllDim = try fields.positive("mscale_all_dim")
        return yarn
    }

    func llama3() throws(InputError) -> RopeParameters.Scaling {
        let (low, high) = (try required("low_freq_factor"), try required("high_freq_factor"))
        guard low < high else {
            throw InputError(
                .value, in: fields.place(of: "high_freq_factor"), expected: "more than low_freq_factor, \(low)",
                found: "\(high)")
        }
        return .llama3(
            factor: try required("factor"), lowFrequencyFactor: low, highFrequencyFactor: high,
            originalMaxPositions: try originalMaxPositions())
    }
}
