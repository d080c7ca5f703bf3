//  What a kernel of the gated delta rule computes in. fl_F rounds to the format F, everything else
//  is in `accumulate`:
//
//      normalized   q, k = fl_normalized(q' / |q'|), where the kernel normalises; `norms` is what |q'| is computed in
//      products     A_ij = β_i e^(ℓ_i - ℓ_j) fl_products(k_i) · fl_products(k_j)
//      merge        T = (I + A)^-1 in blocks of 16 by substitution, put together by products in `merge`
//      inverse      T <- fl_inverse(T)
//      values       U = fl_values(T fl_products(β V)),  W = fl_values(T fl_products(β e^ℓ K)),  δ = fl_values(U - W S)
//      chunks       S of these products and of the output is fl_chunks(S)
//      state        S <- fl_state(e^ℓ_Q S + fl_products(K)ᵀ fl_products(e^(ℓ_Q - ℓ) δ))
//      out          o = fl_out(e^ℓ Q S + fl_products(Q Kᵀ ∘ e^(ℓ_i - ℓ_j)) fl_products(δ))
//
//  The recurrent form has normalized, norms, state and out. Sources: flash-linear-attention,
//  ops/gated_delta_rule/{chunk,chunk_fwd,wy_fast,fused_recurrent}.py, ops/common/{chunk_delta_h,
//  chunk_o}.py; transformers, models/qwen3_next; vLLM and SGLang carry the first's kernels.

import DualityCore
import DualityReference

/// The number formats of a kernel of the gated delta rule.
package struct DeltaArithmetic: Sendable, Hashable {
    package var form: RecurrenceForm = .recurrent
    package var normalized = NumberFormat.f32
    package var norms = NumberFormat.f32
    package var products = NumberFormat.f32
    package var merge = NumberFormat.f32
    package var inverse = NumberFormat.f32
    package var values = NumberFormat.f32
    package var chunkStates = NumberFormat.f32
    package var state = NumberFormat.f32
    package var output = NumberFormat.f32
    package var accumulate = NumberFormat.f32
    package var exponential = KernelArithmetic.Exponential.library

    /// One format throughout; a narrower one than float32 stores operands and output and computes
    /// in float32.
    package init(_ format: NumberFormat, form: RecurrenceForm) {
        self.form = form
        output = format
        guard format == .f64 else { return }
        (normalized, norms, products, merge, inverse) = (.f64, .f64, .f64, .f64, .f64)
        (values, chunkStates, state, accumulate) = (.f64, .f64, .f64, .f64)
    }

    /// Kernels that have a name.
    package static let presets: [(name: String, arithmetic: DeltaArithmetic, summary: String)] = {
        var fla = DeltaArithmetic(.bf16, form: .chunked(size: 64))
        (fla.normalized, fla.products, fla.merge, fla.inverse) = (.bf16, .bf16, .tf32, .bf16)
        (fla.values, fla.chunkStates, fla.exponential) = (.bf16, .bf16, .fast)
        var tf32 = DeltaArithmetic(.f32, form: .chunked(size: 64))
        (tf32.products, tf32.merge, tf32.exponential) = (.tf32, .tf32, .fast)
        var fused = DeltaArithmetic(.bf16, form: .recurrent)
        fused.exponential = .fast
        var torch = DeltaArithmetic(.bf16, form: .chunked(size: 64))
        (torch.normalized, torch.norms) = (.bf16, .bf16)
        var stepwise = torch
        stepwise.form = .recurrent
        return [
            (
                "fla_gated_delta", fla,
                "flash-linear-attention, chunk_gated_delta_rule in bfloat16, inverse merged in TF32"
            ),
            ("fla_gated_delta_f32", tf32, "the same on float32, whose products are TF32"),
            (
                "fla_gated_delta_recurrent", fused,
                "flash-linear-attention, fused_recurrent_gated_delta_rule: float32 inside"
            ),
            (
                "transformers_gated_delta", torch,
                "transformers, torch_chunk_gated_delta_rule: float32 inside, norms of q and k in bfloat16"
            ),
            (
                "transformers_gated_delta_recurrent", stepwise,
                "transformers, torch_recurrent_gated_delta_rule: the same token by token"
            ),
            ("vllm_gated_delta", fla, "vLLM, chunked: the kernels of flash-linear-attention"),
            ("vllm_gated_delta_recurrent", fused, "vLLM, single steps, float32 state"),
            ("sglang_gated_delta", fla, "SGLang, chunked: the kernels of flash-linear-attention"),
            ("sglang_gated_delta_recurrent", fused, "SGLang, single steps, float32 state"),
        ]
    }()
}

extension DeltaArithmetic: FormatTable {
    package static func plain(_ format: NumberFormat) -> DeltaArithmetic {
        DeltaArithmetic(format, form: .recurrent)
    }

    package static var formats: [(key: String, path: WritableKeyPath<Self, NumberFormat> & Sendable)] {
        [
            ("normalized", \.normalized), ("norms", \.norms), ("products", \.products), ("merge", \.merge),
            ("inverse", \.inverse), ("values", \.values), ("chunks", \.chunkStates), ("state", \.state),
            ("out", \.output), ("accumulate", \.accumulate),
        ]
    }

    package var order: RecurrenceForm? {
        get { form }
        set { form = newValue ?? .recurrent }
    }
}
