//  What a kernel of softmax attention computes in. fl_F rounds to the format F, everything else is
//  in `accumulate`:
//
//      products     s_j = scale fl_products(q) · fl_products(k_j)
//      scores       s_j <- fl_scores(scale fl_scores(q · k_j)), where they are stored
//      weights      w_j = e^(s_j - max s),  o = Σ fl_weights(w_j) fl_products(v_j) / Σ w_j
//      out          o <- fl_out(o)
//
//  Kernels that divide first store w_j / Σ w in `weights`; to first order it is the same.
//
//  Sources: Dao, FlashAttention-2 (arXiv 2307.08691); transformers, eager_attention_forward; torch,
//  scaled_dot_product_attention.

import DualityCore
import DualityReference

/// The number formats of a kernel of softmax attention.
package struct AttentionArithmetic: Sendable, Hashable {
    package var products = NumberFormat.f32
    package var scores = NumberFormat.f32
    package var weights = NumberFormat.f32
    package var output = NumberFormat.f32
    package var accumulate = NumberFormat.f32
    package var exponential = KernelArithmetic.Exponential.fast

    /// One format; a narrower one than float32 stores operands and output and computes in float32.
    package init(_ format: NumberFormat) {
        output = format
        guard format == .f64 else { return }
        (products, scores, weights, accumulate, exponential) = (.f64, .f64, .f64, .f64, .library)
    }

    /// Kernels that have a name.
    package static let presets: [(name: String, arithmetic: AttentionArithmetic, summary: String)] = {
        var flash = AttentionArithmetic(.bf16)
        flash.weights = .bf16
        var eager = flash
        (eager.scores, eager.exponential) = (.bf16, .library)
        var tf32 = AttentionArithmetic(.f32)
        (tf32.products, tf32.weights) = (.tf32, .tf32)
        var math = AttentionArithmetic(.bf16)
        math.exponential = .library
        return [
            ("flash_attention_2", flash, "FlashAttention-2 in bfloat16: float32 scores, weights in bfloat16"),
            ("sdpa_flash", flash, "torch, scaled_dot_product_attention by its flash backend: the same"),
            ("sdpa_math", math, "torch, scaled_dot_product_attention by its math backend: float32 inside"),
            ("eager_attention", eager, "transformers, eager: scores and weights stored in bfloat16"),
            ("attention_tf32", tf32, "float32 operands whose products are TF32, q k and weights v alike"),
        ]
    }()

}

extension AttentionArithmetic: FormatTable {
    package static func plain(_ format: NumberFormat) -> AttentionArithmetic { AttentionArithmetic(format) }

    package static var formats: [(key: String, path: WritableKeyPath<Self, NumberFormat> & Sendable)] {
        [
            ("products", \.products), ("scores", \.scores), ("weights", \.weights), ("out", \.output),
            ("accumulate", \.accumulate),
        ]
    }
}
