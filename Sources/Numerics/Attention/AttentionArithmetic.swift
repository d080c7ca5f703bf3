//  What a kernel of softmax attention computes in. fl_F rounds to the format F, everything else is
//  in `accumulate`:
//
//      products     s_j = scale fl_products(q) · fl_products(k_j)
//      scores       s_j <- fl_scores(s_j)
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
    package var inputs = NumberFormat.f32
    package var products = NumberFormat.f32
    package var scores = NumberFormat.f32
    package var weights = NumberFormat.f32
    package var output = NumberFormat.f32
    package var accumulate = NumberFormat.f32
    package var exponential = KernelArithmetic.Exponential.fast

    /// One format; a narrower one than float32 stores operands and output and computes in float32.
    package init(_ format: NumberFormat) {
        (inputs, output) = (format, format)
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
        tf32.products = .tf32
        var math = AttentionArithmetic(.bf16)
        math.exponential = .library
        return [
            ("flash_attention_2", flash, "FlashAttention-2 in bfloat16: float32 scores, weights in bfloat16"),
            ("sdpa_flash", flash, "torch, scaled_dot_product_attention by its flash backend: the same"),
            ("sdpa_math", math, "torch, scaled_dot_product_attention by its math backend: float32 inside"),
            ("eager_attention", eager, "transformers, eager: scores and weights stored in bfloat16"),
            ("attention_tf32", tf32, "float32 operands whose products are TF32"),
        ]
    }()

    private static let formats: [(key: String, path: WritableKeyPath<Self, NumberFormat> & Sendable)] = [
        ("inputs", \.inputs), ("products", \.products), ("scores", \.scores), ("weights", \.weights),
        ("out", \.output), ("accumulate", \.accumulate),
    ]

    /// Reads a preset, `KEY=VALUE` items, or both.
    ///
    /// - Throws: `InputError` naming the item.
    package init(parsing text: String) throws(InputError) {
        self.init(.f32)
        for (i, item) in text.split(separator: ",", omittingEmptySubsequences: false).enumerated() {
            let parts = item.split(separator: "=", maxSplits: 1).map { String($0.filter { $0 != " " }) }
            if parts.count == 2, let path = Self.formats.first(where: { $0.key == parts[0] })?.path {
                self[keyPath: path] = try NumberFormat(named: parts[1])
                guard parts[0] != "accumulate" || ["f32", "f64"].contains(parts[1]) else {
                    throw InputError(.value, in: "precision \"accumulate\"", expected: "f32 or f64", found: parts[1])
                }
            } else if parts.count == 2, parts[0] == "exp",
                let choice = KernelArithmetic.Exponential(rawValue: parts[1])
            {
                exponential = choice
            } else if i == 0, ["float32", "float64"].contains(parts.first) {
                self.init(parts[0] == "float32" ? .f32 : .f64)
            } else if i == 0, let preset = Self.presets.first(where: { $0.name == parts.first }) {
                self = preset.arithmetic
            } else {
                throw InputError(
                    .unknown, in: "precision \"\(item)\"",
                    expected: "one of \(Self.formats.map(\.key).joined(separator: ", ")), exp, or a preset",
                    found: "\"\(item)\"", remedy: "Presets: \(Self.presets.map(\.name).joined(separator: ", ")).")
            }
        }
    }
}

extension AttentionArithmetic: CustomStringConvertible {
    package var description: String {
        Self.formats.map { "\($0)=\(self[keyPath: $1])" }.joined(separator: ",") + ",exp=\(exponential.rawValue)"
    }
}
