//  What a kernel computes in: the number formats of its operands, intermediate results and sums,
//  and how it forms its decays. Two kernels with the same arithmetic may still add in different
//  orders; nothing here fixes an order.
//
//  The chunked form, every rounding in its place (fl_F rounds to the format F, everything else is
//  in `accumulate`):
//
//      inputs       x, B, C, z, dt <- fl_inputs         parameters   D, dtBias <- fl_parameters
//      steps        Δ   = fl_steps(clamp(softplus(dt + dtBias)))
//                   z_t = fl_steps(Δ_t A)               ℓ_i = z_1 + … + z_i, restarted in every chunk
//      products     K_ij = fl_products(C_i) · fl_products(B_j)
//                   Y_i  = sum over j of fl_products(exp(ℓ_i - ℓ_j) Δ_j K_ij) fl_products(x_j)
//      chunkStates  Y_i += exp(ℓ_i) fl_products(fl_chunkStates(H)) fl_products(C_i)
//                   U    = sum over j of fl_products(exp(ℓ_end - ℓ_j) Δ_j B_j) fl_products(x_j)ᵀ
//      state        H   <- fl_state(exp(ℓ_end) H + U)
//      output       y    = fl_output((Y + D x) silu(z))
//                   y    = fl_output(fl_gated(fl_skipped(Y) + D x) silu(z))   where skip or gate is a kernel of its own
//
//  The recurrent form has no matrix products; its state is rounded to `state` after every token,
//  and y is read from the state before or after that rounding. The quadratic form is the chunked
//  one with a single chunk.
//
//  Source for the official kernels: state-spaces/mamba, ops/triton/ssd_chunk_state.py,
//  ssd_chunk_scan.py, ssd_state_passing.py, selective_state_update.py.

import DualityCore
import DualityReference

/// The number formats and the few choices that decide how far a correct kernel may be from the
/// exact answer.
public struct KernelArithmetic: Sendable, Hashable {
    /// In what order the kernel goes through the sequence.
    public var form: SSDForm
    /// x, B, C, z and the raw dt, as the kernel reads them.
    public var inputs: NumberFormat
    /// D and dtBias, as the kernel reads them.
    public var parameters: NumberFormat
    /// Δ and Δ A.
    public var steps: NumberFormat
    /// Where a kernel stores x̄ = Δ x before its matrix products, the format of x̄; nil where Δ is
    /// a factor of the weights (in the recurrent form, of either outer factor).
    public var scaledInput: NumberFormat?
    /// The operands of the matrix products. The recurrent form has none.
    public var products: NumberFormat
    /// The copy of the running state that each chunk reads.
    public var chunkStates: NumberFormat
    /// The running state, rounded after every token (recurrent) or every chunk, and the final
    /// state.
    public var state: NumberFormat
    /// y.
    public var output: NumberFormat
    /// What S C is stored in before another kernel adds D x to it; nil where the same one does, or
    /// nobody.
    public var skippedOutput: NumberFormat?
    /// What y is stored in before another kernel gates it; nil where the same one does, or nobody.
    public var gatedOutput: NumberFormat?
    /// Everything else, f32 or f64: elementwise operations, elementary functions, and the sums of
    /// all products. Where `products` is narrower than `accumulate` a matrix unit is assumed, which
    /// may truncate each addition.
    public var accumulate: NumberFormat

    /// How ln of the decay between two tokens of a chunk is formed.
    public enum DecaySums: String, Sendable, CaseIterable, Codable {
        /// Summed over the tokens between the two.
        case segments
        /// The difference of two running sums that began at the start of the chunk.
        case differences
    }
    /// Of decays within a chunk; `.segments` at first, `.differences` in mamba's kernels.
    public var decaySums: DecaySums

    /// How softplus is evaluated.
    public enum Softplus: String, Sendable, CaseIterable, Codable {
        /// log1p(exp(u)): accurate for every u.
        case accurate
        /// log(1 + exp(u)): an absolute error of half an ulp of 1, and exactly 0 for very negative
        /// u.
        case naive
    }
    /// What makes steps of dt + dtBias; `.accurate` at first, `.naive` in mamba's kernels.
    public var softplus: Softplus

    /// How exp is evaluated; logarithms come from a library either way.
    public enum Exponential: String, Sendable, CaseIterable, Codable {
        /// Within 2 ulp: any C library, CUDA without fast math.
        case library
        /// 2^(x log2 e) with the product rounded: the fast instruction of GPUs. 2 ulp, and 2 |x|
        /// units more.
        case fast
    }
    /// For softplus, decays and gates; `.library` at first, `.fast` in mamba's kernels.
    public var exponential: Exponential

    /// What becomes of results below the smallest normal number.
    public enum Subnormals: String, Sendable, CaseIterable, Codable {
        /// Rounded to the nearest subnormal number.
        case kept
        /// Possibly replaced by zero.
        case flushed
    }
    /// Of operations and stored results; `.kept` at first, `.flushed` in mamba's kernels.
    public var subnormals: Subnormals

    /// One format throughout, accurate functions, subnormals kept: this package's own forms in
    /// Float and Double.
    ///
    /// - Parameter format: `f32` or `f64`; a narrower one stores everything in it and computes in
    ///   float32.
    public init(_ format: NumberFormat, form: SSDForm) {
        self.form = form
        inputs = format
        parameters = format
        steps = format
        scaledInput = format
        products = format
        chunkStates = format
        state = format
        output = format
        skippedOutput = nil
        gatedOutput = nil
        accumulate = format.holds(.f32) ? format : .f32
        decaySums = .segments
        softplus = .accurate
        exponential = .library
        subnormals = .kept
    }

    /// `mamba_chunk_scan_combined` of state-spaces/mamba on a model of the given format, which
    /// gates
    /// in the kernel what it is given a gate for.
    ///
    /// - Parameter format: of x, B and C. With `f32` the matrix products are those of
    ///   `TRITON_F32_DEFAULT=ieee`; set `products` to `tf32` for Triton's default.
    public static func mambaChunkScan(_ format: NumberFormat, chunkSize: Int = 256) -> KernelArithmetic {
        var arithmetic = KernelArithmetic(.f32, form: .chunked(size: chunkSize))
        arithmetic.inputs = format
        arithmetic.parameters = format
        arithmetic.scaledInput = nil
        arithmetic.products = format
        arithmetic.chunkStates = format
        arithmetic.output = format
        arithmetic.decaySums = .differences
        arithmetic.softplus = .naive
        arithmetic.exponential = .fast
        arithmetic.subnormals = .flushed
        return arithmetic
    }

    /// `selective_state_update` of state-spaces/mamba, token by token.
    ///
    /// - Parameters:
    ///   - format: of x, B and C.
    ///   - state: in which the state is kept between tokens.
    public static func mambaStateUpdate(_ format: NumberFormat, state: NumberFormat = .f32) -> KernelArithmetic {
        var arithmetic = mambaChunkScan(format)
        arithmetic.form = .recurrent
        arithmetic.products = .f32
        arithmetic.chunkStates = .f32
        arithmetic.state = state
        return arithmetic
    }

    /// The same where y is stored in the output's format before another kernel gates it, as layers
    /// do that norm what they gate.
    public var gatedLater: KernelArithmetic {
        var arithmetic = self
        arithmetic.gatedOutput = output.holds(accumulate) ? nil : output
        return arithmetic
    }
}
