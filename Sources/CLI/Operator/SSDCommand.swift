//  `duality ssd`: the operator alone, on operands from a file.

import ArgumentParser
import DualityCore
import DualityNumerics
import DualityReference
import Foundation

struct SSDCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ssd",
        abstract: "Run the SSD operator on operands from a file.",
        discussion: """
            Computes, in the form and the precision asked for,
              S_t = exp(Δ_t A) S_{t-1} + Δ_t x_t B_tᵀ
              y_t = (S_t C_t + D x_t) silu(z_t)
            All forms give the same result up to rounding. The convolution form takes only
            operands whose dt, B and C are the same at every token of a sequence; it sums
            directly, or with --convolution fft through FFTW, where the build has that.

            The file of operands (safetensors, .npz, or a directory of .npy files) holds,
            in any number format:
              x               [batch, length, heads of x, head dim]
              dt              [batch, length, heads]     the raw step
              A               [heads]                    decay rate, <= 0
              B, C            [batch, length, groups, state dim]
            and if wanted
              D               [heads] or [heads, head dim]
              z               [batch, length, heads, head dim]
              dt_bias         [heads]
              initial_states  [batch, heads, head dim, state dim]
              seq_idx         [batch, length]            packed: each token's sequence
              cu_seqlens      [sequences + 1]            packed: cumulative lengths
            Packed sequences do not see each other. Their initial_states may have one
            entry per sequence; with one per row it is that of the row's first. The heads of x, B and C each divide those of dt and are read in equal groups.

            The result holds y [batch, length, heads, head dim] and
            final_states [batch, heads, head dim, state dim]; when packed also
            varlen_states [sequences, heads, head dim, state dim].

            With --gradients the file also holds what a loss says about the result: dout
            (of y), dfinal_states, dvarlen_states, any of them. The result then has
            grad_x, grad_dt, grad_A, grad_B, grad_C, and grad_D, grad_z, grad_dt_bias
            where there is such an operand, and grad_initial_states.

            With --bound the result has, for T = y, final_states and, when packed,
            varlen_states, in float64:
              T_bound         the most that a correct kernel may be from the exact T
              T_sigma         the standard deviation of its rounding errors
              T_floor         the error of the exact T rounded to the kernel's format
            and with --gradients also grad_x, grad_B and grad_C with _bound and _sigma.
            Which kernel: --arithmetic, else that of --emulate, else the form and the
            precision asked for.

            An arithmetic is a preset (float64, float32, mamba_ssm, mamba_ssm_f32,
            mamba_ssm_step), items KEY=VALUE, or a preset and items, with commas between:
              form=recurrent|quadratic|chunked:SIZE
              inputs, parameters, steps, scaled, products, chunks, state, skip, gate,
              out, accumulate
                              f64, f32, tf32, bf16, f16, e4m3, e5m2
              sums=segments|differences  softplus=accurate|naive
              exp=library|fast           subnormals=kept|flushed
            such as mamba_ssm,state=bf16. docs/formats.md says what each key is.
            """)

    enum Form: String, CaseIterable, ExpressibleByArgument {
        case recurrent
        case chunked
        case quadratic
        case associative
        case convolution
    }

    @Option(name: .customLong("in"), help: ArgumentHelp("The operands.", valueName: "case.safetensors"))
    var input: String

    @Option(help: "How to compute it. (default: recurrent)")
    var form: Form?

    @Option(help: "What to compute in: f64 or f32. Operands are widened or rounded to it. (default: f64)")
    var precision: Precision?

    @Option(
        help: ArgumentHelp(
            "Tokens in a chunk of the chunked form (default: 256) or a leaf of the associative one (default: 1).",
            valueName: "Q"))
    var chunk: Int?

    @Option(
        help: ArgumentHelp(
            "How the convolution form convolves; fft needs a build with the trait Analysis. (default: direct)",
            valueName: "direct|fft"))
    var convolution: ConvolutionMethod?

    @Flag(name: .customLong("no-dt-softplus"), help: "Take dt + dt_bias for the step as it is.")
    var noSoftplus = false

    @Option(
        help: ArgumentHelp(
            "Clamp the step, after the softplus; HI may be inf. (default: 0,inf)", valueName: "LO,HI"))
    var dtLimit: String?

    @Option(
        help: ArgumentHelp(
            "Also write chunk_states, the states after every E tokens and at the end of a row.", valueName: "E"))
    var statesEvery: Int?

    @Flag(help: "Also compute the gradients of a loss, from dout and dfinal_states.")
    var gradients = false

    @Option(
        help: ArgumentHelp(
            "Instead of the exact result, that of a kernel with these number formats.", valueName: "arithmetic"))
    var emulate: String?

    @Flag(help: "Also write how far a correct kernel may be from the exact result.")
    var bound = false

    @Option(help: ArgumentHelp("The kernel that --bound is about.", valueName: "arithmetic"))
    var arithmetic: String?

    @Option(
        name: .customLong("out"), help: ArgumentHelp("Where to write y and final_states.", valueName: "f.safetensors"))
    var output: String

    func run() throws {
        switch precision ?? .f64 {
        case .f64: try run(in: Double.self)
        case .f32: try run(in: Float.self)
        }
    }

    private func run<Scalar: OperatorNumber>(in type: Scalar.Type) throws {
        try requireCompatibleOptions()
        let source = try TensorFile(path: input)
        func read<Number: RealNumber>() throws -> SSDInputs<Number> {
            try SSDInputs<Number>(readingFrom: source, dtSoftplus: !noSoftplus, dtLimit: limits())
        }
        var file = SafetensorsWriter()
        let shapes: String
        if let emulate {
            let kernel = try self.kernel(emulate, "--emulate")
            let inputs: SSDInputs<Double> = try read()
            shapes = try add(kernel.emulate(inputs), packed: inputs.packing != nil, to: &file) + ", emulated"
            if gradients {
                let found = try kernel.emulateGradients(inputs, upstream: SSDUpstream(readingFrom: source))
                for (name, gradient) in found.named { try file.add("grad_\(name)", gradient) }
            }
        } else {
            let inputs: SSDInputs<Scalar> = try read()
            let outputs =
                try convolution?.evaluate(inputs, statesEvery: statesEvery)
                ?? chosenForm.evaluate(inputs, statesEvery: statesEvery)
            shapes = try add(outputs, packed: inputs.packing != nil, to: &file) + ", \(Scalar.name)"
            if gradients {
                let found = try chosenForm.gradients(of: inputs, upstream: SSDUpstream(readingFrom: source))
                for (name, gradient) in found.named { try file.add("grad_\(name)", gradient) }
            }
        }
        if bound { try addSizes(of: read(), source, to: &file) }
        try file.write(to: output)
        print("\(output): \(shapes)")
    }

    private func requireCompatibleOptions() throws(InputError) {
        if emulate != nil, statesEvery != nil {
            throw InputError(
                .unsupported, in: "--states-every", expected: "no --emulate beside it", found: "both",
                remedy: "The chunk states of kernels that are imitated are not kept.")
        }
        if chunk != nil, form != .chunked, form != .associative {
            throw InputError(
                .value, in: "--chunk", expected: "--form chunked or --form associative beside it",
                found: form.map { "--form \($0.rawValue)" } ?? "no --form",
                remedy: emulate == nil ? "" : "An arithmetic has its chunks in it: form=chunked:SIZE.")
        }
        if emulate != nil, precision != nil {
            throw InputError(
                .unsupported, in: "--precision", expected: "no --emulate beside it", found: "both",
                remedy: "What is computed in stands in the arithmetic.")
        }
        if convolution != nil, form != .convolution || emulate != nil {
            throw InputError(
                .value, in: "--convolution", expected: "--form convolution, and no --emulate",
                found: emulate != nil ? "--emulate" : form.map { "--form \($0.rawValue)" } ?? "no --form")
        }
        if convolution == .fft, bound, arithmetic == nil {
            throw InputError(
                .unsupported, in: "--bound", expected: "--convolution direct", found: "--convolution fft",
                remedy: "An FFT errs by the size of the largest y; the bound is of a sum of each y's own terms.")
        }
        if arithmetic != nil, !bound {
            throw InputError(
                .value, in: "--arithmetic", expected: "--bound beside it", found: "no --bound",
                remedy: "To run a kernel of that arithmetic, use --emulate.")
        }
    }

    private var chosenForm: SSDForm {
        switch form ?? .recurrent {
        case .recurrent: .recurrent
        case .chunked: .chunked(size: chunk ?? 256)
        case .quadratic: .quadratic
        case .associative: .associative(tree: .balanced, leaf: chunk ?? 1)
        case .convolution: .convolution
        }
    }

    /// A kernel's arithmetic; --form, where it is given, decides its form.
    private func kernel(_ text: String, _ option: String) throws(InputError) -> KernelArithmetic {
        do {
            var kernel = try KernelArithmetic(parsing: text)
            if form != nil { kernel.form = chosenForm }
            return kernel
        } catch { throw error.within(option) }
    }

    private func add<Scalar: RealNumber>(
        _ outputs: SSDOutputs<Scalar>, packed: Bool, to file: inout SafetensorsWriter
    ) throws -> String {
        try file.add("y", outputs.y)
        try file.add("final_states", outputs.finalState)
        if packed { try file.add("varlen_states", outputs.sequenceStates) }
        if let states = outputs.boundaryStates { try file.add("chunk_states", states) }
        return "y \(outputs.y.shape), final_states \(outputs.finalState.shape)"
    }

    /// Bounds, sigmas and floors.
    private func addSizes(
        of inputs: SSDInputs<Double>, _ source: TensorFile, to file: inout SafetensorsWriter
    ) throws {
        let kernel =
            try arithmetic.map { text throws(InputError) in try self.kernel(text, "--arithmetic") }
            ?? emulate.map { text throws(InputError) in try self.kernel(text, "--emulate") }
            ?? KernelArithmetic(precision == .f32 ? .f32 : .f64, form: chosenForm)
        let floor = try kernel.roundingFloor(of: SSDForm.recurrent.evaluate(inputs)).sizes
        for (suffix, sizes) in try [
            ("bound", kernel.errorBound(for: inputs)), ("sigma", kernel.roundingSigma(for: inputs)), ("floor", floor),
        ] {
            try file.add("y_\(suffix)", sizes.y)
            try file.add("final_states_\(suffix)", sizes.finalState)
            if inputs.packing != nil { try file.add("varlen_states_\(suffix)", sizes.sequenceStates) }
        }
        guard gradients else { return }
        let upstream = try SSDUpstream<Double>(readingFrom: source)
        for (name, sizes) in try kernel.gradientErrorBound(for: inputs, upstream: upstream).named {
            try file.add("grad_\(name)_bound", sizes)
        }
        for (name, sizes) in try kernel.gradientRoundingSigma(for: inputs, upstream: upstream).named {
            try file.add("grad_\(name)_sigma", sizes)
        }
    }

    /// `LO,HI` as a range.
    private func limits() throws -> ClosedRange<Double> {
        guard let dtLimit else { return 0...(.infinity) }
        let parts = dtLimit.split(separator: ",", omittingEmptySubsequences: false).map {
            Double($0.trimmingCharacters(in: .whitespaces))
        }
        guard parts.count == 2, let lower = parts[0], let upper = parts[1], lower <= upper else {
            throw InputError(
                .value, in: "--dt-limit", expected: "two numbers LO,HI with LO <= HI", found: "\"\(dtLimit)\"")
        }
        return lower...upper
    }
}
