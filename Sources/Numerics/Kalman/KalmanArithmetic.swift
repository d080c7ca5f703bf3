//  What a kernel of Gated KalmaNet computes in. fl_F rounds to the format F, everything else is in
//  `accumulate`:
//
//      normalized   q, k = fl_normalized(q' / (|q'| + ε)), where the kernel normalises; `norms` is what |q'| is in
//      gated        k = fl_gated((β + 1e-6) k),  v = fl_gated((β + 1e-6) v)
//      chunks       G and M before a chunk, as its products read them, are fl_chunks
//      products     operands of matrix products: G, M, k, v, y, what weighs keys, and x in every step of the solver
//      solution     x <- fl_solution(x) behind the last step,  y = fl_solution(q + α (x - q))
//      state        G, M <- fl_state after every token, or after every chunk
//      out          o = fl_out(scale Mᵀ y)
//
//  λ, the steps' sizes, x between steps and its residual are in `accumulate`: it is what the models
//  are served with. The recurrent form has no chunks. Sources: awslabs/hybrid-model-factory,
//  layers/gated_kalmanet/gka.py (norms, gates and their products in the format of the model) and
//  its ops/chebyshev (chunks: operands of products in that format, x stored in it; steps: float32).

import DualityCore
import DualityReference

/// The number formats of a kernel of Gated KalmaNet.
package struct KalmanArithmetic: Sendable, Hashable {
    package var form: RecurrenceForm = .recurrent
    package var normalized = NumberFormat.f32
    package var norms = NumberFormat.f32
    package var gated = NumberFormat.f32
    package var products = NumberFormat.f32
    package var solution = NumberFormat.f32
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
        (normalized, norms, gated, products) = (.f64, .f64, .f64, .f64)
        (solution, chunkStates, state, accumulate) = (.f64, .f64, .f64, .f64)
    }

    /// Kernels of a model in a narrow format: norms, gates and what comes of them are stored in it,
    /// and everything behind them is wide.
    package static func operands(_ format: NumberFormat, form: RecurrenceForm) -> KalmanArithmetic {
        var arithmetic = KalmanArithmetic(format, form: form)
        (arithmetic.normalized, arithmetic.norms, arithmetic.gated) = (format, format, format)
        arithmetic.exponential = .fast
        return arithmetic
    }

    /// The same where the solution is stored in that format too, and in chunks the operands of all
    /// products.
    package static func model(_ format: NumberFormat, form: RecurrenceForm) -> KalmanArithmetic {
        var arithmetic = operands(format, form: form)
        arithmetic.solution = format
        if form != .recurrent { (arithmetic.products, arithmetic.chunkStates) = (format, format) }
        return arithmetic
    }

    /// Kernels that have a name.
    package static let presets: [(name: String, arithmetic: KalmanArithmetic, summary: String)] = {
        var wide = KalmanArithmetic(.bf16, form: .recurrent)
        wide.exponential = .fast
        return [
            (
                "hmf_gated_kalmanet", model(.bf16, form: .chunked(size: 64)),
                "hybrid-model-factory, chunks in bfloat16: operands of products and the solution are bfloat16"
            ),
            (
                "hmf_gated_kalmanet_step", model(.bf16, form: .recurrent),
                "hybrid-model-factory, single steps: q, k, v and the solution in bfloat16, float32 states"
            ),
            (
                "gated_kalmanet_bf16_operands", operands(.bf16, form: .recurrent),
                "q, k and v normalised and gated in bfloat16, float32 behind them"
            ),
            ("gated_kalmanet_f32_inside", wide, "bfloat16 operands and output, float32 inside"),
        ]
    }()
}

extension KalmanArithmetic: FormatTable {
    package static func plain(_ format: NumberFormat) -> KalmanArithmetic {
        KalmanArithmetic(format, form: .recurrent)
    }

    package static var formats: [(key: String, path: WritableKeyPath<Self, NumberFormat> & Sendable)] {
        [
            ("normalized", \.normalized), ("norms", \.norms), ("gated", \.gated), ("products", \.products),
            ("solution", \.solution), ("chunks", \.chunkStates), ("state", \.state), ("out", \.output),
            ("accumulate", \.accumulate),
        ]
    }

    package var order: RecurrenceForm? {
        get { form }
        set { form = newValue ?? .recurrent }
    }
}
