//  What a config.json says of a model that this package does not read, in one sentence with the way
//  out.

extension HybridConfiguration {
    /// The model types that are read.
    private static let known = ["hybrid_qwen3", "qwen3", "mamba2"]

    /// Weights that are stored in a format of their own: the method and the bits, by
    /// `quantization_config` (Hugging Face) or `quantization` (MLX); nil for plain numbers.
    static func quantization(_ fields: JSONFields) -> String? {
        for key in ["quantization_config", "quantization", "compression_config"] {
            guard let object = fields[key]?.object else { continue }
            let method =
                object["quant_method"]?.string ?? object["quant_algo"]?.string
                ?? (key == "quantization" ? "mlx" : "an unnamed method")
            var bits = ["bits", "w_bit", "num_bits", "nbits"].lazy.compactMap { object[$0]?.int }.first
            if object["load_in_4bit"]?.bool == true { bits = 4 }
            if object["load_in_8bit"]?.bool == true || method == "fp8" || method == "fbgemm_fp8" { bits = 8 }
            return bits.map { "\(method), \($0) bits" } ?? method
        }
        return nil
    }

    /// That weights are quantized in a way that is not read.
    static func quantizationError(_ quantization: String, place: String) -> InputError {
        let isFP8 = quantization.hasPrefix("fp8") || quantization.contains("float8")
        return InputError(
            .unsupported, in: place, expected: "weights in BF16, F16, F32 or F64",
            found: "quantized weights (\(quantization)), as config.json says",
            remedy: isFP8
                ? "duality prime reads FP8 blocks and makes a model of BF16 from them; or take the original checkpoint."
                : "Take the original checkpoint; duality quantize makes int8 of it.")
    }

    /// - Throws: `InputError` for a model of another architecture, which it names.
    static func checkFamily(_ fields: JSONFields) throws(InputError) {
        let family = try fields.string("model_type")
        let isKnown = family == "hybrid_qwen3" || family == "qwen3"
        guard isKnown || (family == nil && fields["hybrid_override_pattern"] != nil) else {
            throw unknownFamily(family, fields)
        }
        if let activation = try fields.string("hidden_act"), activation != "silu" && activation != "swish" {
            throw InputError(
                .unsupported, in: fields.place(of: "hidden_act"), expected: "\"silu\"", found: "\"\(activation)\"")
        }
    }

    private static func unknownFamily(_ family: String?, _ fields: JSONFields) -> InputError {
        let architecture = fields["architectures"]?.array?.first?.string
        var found = family.map { "\"\($0)\"" } ?? "nothing"
        if let architecture { found += " (\(architecture))" }
        var remedy =
            "Read are hybrids of the Qwen3 family (hybrid_qwen3), dense Qwen3 (qwen3) and plain Mamba-2 (mamba2, and mamba_ssm's own files)."
        if let inner = fields["text_config"]?.object {
            let type = inner["model_type"]?.string.map { ", a \($0)," } ?? ""
            remedy =
                "Only its text part\(type) could be a model that is read, and then saved as one of its own. " + remedy
        } else if let family, let nearest = nearestName(to: family, in: known) {
            remedy = "Is it \"\(nearest)\"? " + remedy
        } else if let code = fields["auto_map"]?.object?.members.first?.value.string {
            remedy = "It needs code of its own (auto_map: \(code)), which is not run. " + remedy
        }
        return InputError(
            family == nil ? .missing : .unsupported, in: fields.place(of: "model_type"),
            expected: known.map { "\"\($0)\"" }.joined(separator: ", "), found: found, remedy: remedy)
    }
}
