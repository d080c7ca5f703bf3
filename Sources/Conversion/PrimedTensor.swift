//  Where every tensor of a primed model comes from: the attention of the same layer, or a
//  distribution.
//
//  With W_Q, W_K, W_V, W_O of the base attention, r = H / Hkv, and Rep_r repeating every single row
//  r times:
//
//  | layer | tensor                                | from                                                          |
//  |-------|---------------------------------------|---------------------------------------------------------------|
//  | M2    | in_proj rows z, x, B, C, dt           | ½ (W_Oᵀ + Rep_r(W_V)), W_V, W_K, W_Q, N(0, σ²)                |
//  | M2    | out_proj, B_norm, C_norm              | W_O, k_norm, q_norm                                           |
//  | GDN, GKA | q_proj, k_proj, v_proj, o_proj, g_proj | W_Q, W_K, W_V, W_O, ½ (W_Oᵀ + Rep_r(W_V))                 |
//  | BMF   | bmojo_attn.*, also the untied ones    | attention; its mixer as above                                 |
//  | SWA   | all                                   | attention                                                     |
//  | all   | A_log                                 | ln U(0, 16)                                                   |
//  | all   | dt_bias                               | softplus⁻¹ of max(e^U(ln 1e-3, ln 0.1), 1e-4)                 |
//  | all   | D, gated and output norms             | 1                                                             |
//  | all   | biases, the up half of the expansion  | 0                                                             |
//  | all   | k_rep, v_rep                          | the repetition                                                |
//  | all   | other matrices, convolutions too      | N(0, σ²), σ the initializer_range, 0.02                       |
//
//  That Rep_r repeats rows and not heads is what the official code does, whatever its comment says;
//  a repetition of whole heads, which is how attention reads them, is offered beside it.
//
//  Source: awslabs/hybrid-model-factory, priming/hybrid_layer_init.py; transformers,
//  `_init_weights`.

import DualityCore

/// The origin of one tensor.
enum PrimedTensor: Equatable {
    /// A tensor of the base model, as it is.
    case copy(String)
    /// Blocks of rows, one above the other.
    case stack([PrimedTensor])
    /// ½ (W_Oᵀ + the repeated W_V), `[H P, Dm]`.
    case gate(output: String, value: String)
    /// N(0, σ²) of so many rows (or of the whole tensor where that is nil).
    case normal(rows: Int?)
    case constant(Float)
    case decayRate
    case stepBias
    /// `[H, Hkv]`.
    case repetition
}

extension HybridConfiguration {
    /// Where a required tensor comes from, in a model whose base has attention under
    /// `model.layers.i.self_attn`.
    ///
    /// - Parameter base: whether the base model has a tensor of this name.
    func origin(of requirement: WeightContract.Requirement, base: (String) -> Bool) -> PrimedTensor {
        let name = requirement.name
        if base(name) { return .copy(name) }
        guard let layer = requirement.layer else { return .normal(rows: nil) }
        let attention = "model.layers.\(layer).self_attn."
        var part = String(name.dropFirst("model.layers.\(layer).".count))
        part = String(part.drop { $0 != "." }.dropFirst())
        if layers[layer] == .bmojo, !part.hasPrefix("bmojo_attn.") {
            part = String(part.drop { $0 != "." }.dropFirst())
        }
        part = part.hasPrefix("bmojo_attn.") ? String(part.dropFirst("bmojo_attn.".count)) : part

        let projections = ["q_proj", "k_proj", "v_proj", "o_proj", "q_norm", "k_norm"]
        let pieces = part.split(separator: ".", maxSplits: 1).map(String.init)
        let module = pieces[0].hasSuffix("_") ? String(pieces[0].dropLast()) : pieces[0]
        if pieces.count == 2, projections.contains(module) { return .copy("\(attention)\(module).\(pieces[1])") }
        let gate = PrimedTensor.gate(output: "\(attention)o_proj.weight", value: "\(attention)v_proj.weight")
        switch part {
        case "in_proj.weight":
            let rows = ["v_proj", "k_proj", "q_proj"].map { PrimedTensor.copy("\(attention)\($0).weight") }
            return .stack([gate] + rows + [.normal(rows: headCount)])
        case "out_proj.weight": return .copy("\(attention)o_proj.weight")
        case "B_norm.weight": return .copy("\(attention)k_norm.weight")
        case "C_norm.weight": return .copy("\(attention)q_norm.weight")
        case "g_proj.weight": return gate
        case "A_log": return .decayRate
        case "dt_bias": return .stepBias
        case "D", "norm.weight", "o_norm.weight": return .constant(1)
        case "k_rep", "v_rep": return .repetition
        case "proj_k.linearB.weight", "proj_v.linearB.weight": return .constant(0)
        default: return part.hasSuffix(".bias") ? .constant(0) : .normal(rows: nil)
        }
    }
}
