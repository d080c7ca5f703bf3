//  What the author of a kernel says about its arithmetic, and what is assumed where he says
//  nothing.
//
//  The precision chooses the bound and the sigma. A declaration is a line as in
//  KernelArithmetic+Text.swift, or the name of a known kernel, possibly with changes:
//  `mamba_ssm,chunks=f32`. Without one, the number formats are read off the tensors, and everything
//  that tensors do not show is taken at its loosest among careful kernels: sums in float32 in any
//  order, the fast exponential of GPUs, subnormals flushed. What is never assumed is a narrow
//  state, a careless softplus or TF32.

import DualityCore
import DualityNumerics
import DualityReference

/// A declared precision, or the decision to infer one.
public struct DeclaredPrecision: Sendable {
    /// nil where the precision is to be inferred.
    public let declared: KernelArithmetic?
    /// The declaration as it was written.
    public let text: String?
    /// Whether the declaration says in what order the kernel goes through the sequence.
    private let namesForm: Bool
    /// Where the declaration is one of a kernel of the gated delta rule.
    private let ofDelta: DeltaArithmetic?
    /// Where it is one of a kernel of softmax attention.
    private let ofAttention: AttentionArithmetic?
    /// Where it is one of a kernel of Gated KalmaNet.
    private let ofKalman: KalmanArithmetic?

    /// Whether it says that decays are sums of segments, and gradients of decays sums of what
    /// reaches across them.
    var declaresSegments: Bool { text?.split(separator: ",").contains { $0.hasSuffix("sums=segments") } ?? false }

    /// The formats are read off the tensors.
    public static let inferred = DeclaredPrecision(
        declared: nil, text: nil, namesForm: false, ofDelta: nil, ofAttention: nil, ofKalman: nil)

    private init(
        declared: KernelArithmetic?, text: String?, namesForm: Bool, ofDelta: DeltaArithmetic?,
        ofAttention: AttentionArithmetic?, ofKalman: KalmanArithmetic?
    ) {
        self.declared = declared
        self.text = text
        self.namesForm = namesForm
        self.ofDelta = ofDelta
        self.ofAttention = ofAttention
        self.ofKalman = ofKalman
    }

    /// The arithmetic of a call of the gated delta rule; nil where it is to be inferred.
    ///
    /// - Throws: `InputError` where the declaration is one of another kind of kernel.
    func delta(for kind: CaseKind) throws(InputError) -> DeltaArithmetic? {
        guard let text else { return nil }
        guard let ofDelta else { throw notOf(kind, text, DeltaArithmetic.presets.map(\.name)) }
        return ofDelta
    }

    /// The arithmetic of a call of softmax attention; nil where it is to be inferred.
    ///
    /// - Throws: `InputError` where the declaration is one of another kind of kernel.
    func attention(for kind: CaseKind) throws(InputError) -> AttentionArithmetic? {
        guard let text else { return nil }
        guard let ofAttention else { throw notOf(kind, text, AttentionArithmetic.presets.map(\.name)) }
        return ofAttention
    }

    /// The arithmetic of a call of Gated KalmaNet; nil where it is to be inferred.
    ///
    /// - Throws: `InputError` where the declaration is one of another kind of kernel.
    func kalman(for kind: CaseKind) throws(InputError) -> KalmanArithmetic? {
        guard let text else { return nil }
        guard let ofKalman else { throw notOf(kind, text, KalmanArithmetic.presets.map(\.name)) }
        return ofKalman
    }

    /// Refuses a declaration that only describes kernels of other kinds.
    func requireScan(for kind: CaseKind) throws(InputError) {
        guard let text, declared == nil else { return }
        throw notOf(kind, text, Self.presets.map(\.name))
    }

    private func notOf(_ kind: CaseKind, _ text: String, _ names: [String]) -> InputError {
        InputError(
            .value, in: "precision \"\(text)\"", expected: "the arithmetic of a kernel of kind \(kind.rawValue)",
            found: "that of another", remedy: "Known kernels: \(names.joined(separator: ", ")).")
    }

    /// Reads a declaration: a preset, `KEY=VALUE` items, or both.
    ///
    /// - Throws: `InputError` naming the item.
    public init(parsing text: String) throws(InputError) {
        let items = text.split(separator: ",", omittingEmptySubsequences: false)
        let first = items.first.map(String.init) ?? ""
        let scan = Self.readingScan(text)
        let (delta, attention) = (DeltaArithmetic.reading(text), AttentionArithmetic.reading(text))
        let kalman = KalmanArithmetic.reading(text)
        declared = scan.error == nil ? scan.arithmetic : nil
        ofDelta = delta.error == nil ? delta.arithmetic : nil
        ofAttention = attention.error == nil ? attention.arithmetic : nil
        ofKalman = kalman.error == nil ? kalman.arithmetic : nil
        let failures = [
            (scan.items, scan.error), (delta.items, delta.error), (attention.items, attention.error),
            (kalman.items, kalman.error),
        ]
        if failures.allSatisfy({ $0.1 != nil }) {
            // Of the kinds, that which reads most of it is meant.
            let items = failures.map(\.0).max() ?? 0
            if items == 0 && !first.contains("=") {
                throw InputError(
                    .unknown, in: "precision \"\(first)\"", expected: "KEY=VALUE or a known kernel",
                    found: "\"\(first)\"",
                    remedy: "Known kernels: \(Self.known.map(\.name).joined(separator: ", ")).")
            }
            if let error = failures.first(where: { $0.0 == items })?.1 { throw error }
        }
        self.text = text
        namesForm =
            items.contains { $0.drop { $0 == " " }.hasPrefix("form=") }
            || ["ggml", "fla-recurrent"].contains(first) || first.hasSuffix("_step")
    }

    /// The arithmetic of a scan, whose known kernels are more than those of `KernelArithmetic`.
    private static func readingScan(_ text: String) -> (arithmetic: KernelArithmetic, items: Int, error: InputError?) {
        let items = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        guard let preset = presets.first(where: { $0.name == items.first }) else {
            return KernelArithmetic.reading(text)
        }
        let all = preset.arithmetic.description
        var read = KernelArithmetic.reading(([all] + items.dropFirst()).joined(separator: ","))
        read.items -= all.count { $0 == "," }
        return read
    }

    /// Kernels that have a name here.
    public static let presets: [(name: String, arithmetic: KernelArithmetic, summary: String)] = {
        var vllm = KernelArithmetic.mambaChunkScan(.bf16).gatedLater
        vllm.chunkStates = .f32
        var fla = KernelArithmetic.mambaChunkScan(.bf16, chunkSize: 64)
        fla.softplus = .accurate
        fla.scaledInput = .bf16
        (fla.skippedOutput, fla.gatedOutput) = (.bf16, .bf16)
        // One program holds the state in float32 from the first token to the last.
        var flaRecurrent = fla
        (flaRecurrent.form, flaRecurrent.products, flaRecurrent.chunkStates) = (.recurrent, .f32, .f32)
        var ggml = KernelArithmetic(.f32, form: .recurrent)
        ggml.scaledInput = nil
        ggml.softplus = .naive
        var mlx = fla
        mlx.form = .chunked(size: 256)
        mlx.exponential = .library
        (mlx.chunkStates, mlx.gatedOutput) = (.bf16, nil)
        return [
            ("float32", careful(.f32), "float32 throughout"),
            ("float64", KernelArithmetic(.f64, form: .recurrent), "float64 throughout"),
            (
                "mamba_ssm", KernelArithmetic.mambaChunkScan(.bf16).gatedLater,
                "state-spaces/mamba, chunked scan of a bfloat16 model, y stored before the gate"
            ),
            ("mamba_ssm_f32", .mambaChunkScan(.f32), "the same on float32, TF32 off"),
            ("mamba_ssm_step", .mambaStateUpdate(.bf16), "state-spaces/mamba, single steps, float32 state"),
            ("vllm", vllm, "vLLM, chunked scan with float32 states, y stored before the gate"),
            ("fla", fla, "flash-linear-attention, chunks of 64, dt x and S C stored in bfloat16"),
            ("fla-chunked", fla, "the same: chunk_simple_gla"),
            (
                "fla-recurrent", flaRecurrent,
                "flash-linear-attention, fused_recurrent_simple_gla: token by token, float32 state"
            ),
            ("ggml", ggml, "ggml and llama.cpp, float32 recurrence, log(1 + exp) softplus"),
            ("mlx", mlx, "mlx, attention form in bfloat16"),
        ]
    }()

    /// All kernels that have a name, of every kind.
    package static var known: [(name: String, arithmetic: String, summary: String)] {
        presets.map { ($0.name, $0.arithmetic.description, $0.summary) }
            + DeltaArithmetic.presets.map { ($0.name, $0.arithmetic.description, $0.summary) }
            + AttentionArithmetic.presets.map { ($0.name, $0.arithmetic.description, $0.summary) }
            + KalmanArithmetic.presets.map { ($0.name, $0.arithmetic.description, $0.summary) }
    }

    private static func careful(_ format: NumberFormat) -> KernelArithmetic {
        var arithmetic = KernelArithmetic(format, form: .recurrent)
        arithmetic.scaledInput = nil
        arithmetic.exponential = .fast
        arithmetic.subnormals = .flushed
        return arithmetic
    }

    /// The arithmetics a kernel may have: it must be within what one of them allows, head by head.
    /// The first is the likelier.
    ///
    /// - Parameters:
    ///   - inputs: the format of x.
    ///   - output: the format of y; nil where it is not given.
    ///   - chunkSize: what the case says chunks have; nil where it does not say.
    func arithmetics(inputs: NumberFormat, output: NumberFormat?, chunkSize: Int?) -> [KernelArithmetic] {
        var arithmetic: KernelArithmetic
        if let declared {
            if namesForm { return [declared] }
            arithmetic = declared
        } else {
            arithmetic = Self.careful(.f32)
            let output = output ?? inputs
            if inputs == .f64 || output == .f64 {
                arithmetic = KernelArithmetic(.f64, form: .recurrent)
                arithmetic.scaledInput = nil
            } else if inputs != .f32 {
                (arithmetic.inputs, arithmetic.products, arithmetic.chunkStates) = (inputs, inputs, inputs)
                arithmetic.parameters = .f32
            }
            arithmetic.output = output
            if inputs != .f32 { arithmetic = arithmetic.gatedLater }
        }
        // Order of the sums and size of the chunks unknown: a kernel chooses its own, whatever the
        // case proposes.
        var sizes = [chunkSize ?? arithmetic.form.chunkSize ?? 256]
        for size in [64, 256, 16] where !sizes.contains(size) { sizes.append(size) }
        var candidates = sizes.map { size in
            var chunked = arithmetic
            chunked.form = .chunked(size: size)
            if arithmetic.accumulate != .f64 { chunked.decaySums = .differences }
            return chunked
        }
        if declared?.form.chunkSize == nil {
            var recurrent = arithmetic
            recurrent.form = .recurrent
            candidates.insert(recurrent, at: 1)
        }
        if declared == nil && arithmetic.products != .f32 && arithmetic.products != .f64 {
            // Kernels that multiply dt into x first, and store that in the model's format.
            candidates += candidates.map { candidate in
                var scaled = candidate
                scaled.scaledInput = arithmetic.products
                return scaled
            }
        }
        return candidates
    }

    /// What was judged by, for the report.
    func description(of arithmetics: [KernelArithmetic]) -> String {
        let formats = arithmetics[0]
        let said =
            "inputs=\(formats.inputs),products=\(formats.products),chunks=\(formats.chunkStates),"
            + "state=\(formats.state),"
            + [("skip", formats.skippedOutput), ("gate", formats.gatedOutput)].compactMap { key, format in
                format.map { "\(key)=\($0)," }
            }.joined()
            + "out=\(formats.output),softplus=\(formats.softplus.rawValue)"
        guard let text else { return "\(said) (inferred from the tensors)" }
        return text == said ? said : "\(text): \(said)"
    }
}
