//  `duality ssd`: the operator alone, on operands from a file.

import ArgumentParser
import DualityCore
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
            operands whose dt, B and C are the same at every token of a sequence.

            The file of operands holds, in any number format:
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
            entry a sequence; with one a row it is that of the row's first. The heads of x, B and C each divide those of dt and are read in equal groups.

            The result holds y [batch, length, heads, head dim] and
            final_states [batch, heads, head dim, state dim]; when packed also
            varlen_states [sequences, heads, head dim, state dim].
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

    @Option(help: "How to compute it.")
    var form: Form = .recurrent

    @Option(help: "What to compute in. Operands are widened or rounded to it.")
    var precision: Precision = .f64

    @Option(
        help: ArgumentHelp(
            "Tokens in a chunk of the chunked form (default: 256) or a leaf of the associative one (default: 1).",
            valueName: "Q"))
    var chunk: Int?

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

    @Option(
        name: .customLong("out"), help: ArgumentHelp("Where to write y and final_states.", valueName: "f.safetensors"))
    var output: String

    func run() throws {
        switch precision {
        case .f64: try run(in: Double.self)
        case .f32: try run(in: Float.self)
        }
    }

    private func run<Scalar: RealNumber>(in type: Scalar.Type) throws {
        let inputs = try SSDInputs<Scalar>(
            readingFrom: SafetensorsFile(path: input), dtSoftplus: !noSoftplus, dtLimit: limits())
        let form: SSDForm =
            switch self.form {
            case .recurrent: .recurrent
            case .chunked: .chunked(size: chunk ?? 256)
            case .quadratic: .quadratic
            case .associative: .associative(tree: .balanced, leaf: chunk ?? 1)
            case .convolution: .convolution
            }
        let outputs = try form.evaluate(inputs, statesEvery: statesEvery)
        var file = SafetensorsWriter()
        try file.add("y", outputs.y)
        try file.add("final_states", outputs.finalState)
        if inputs.packing != nil { try file.add("varlen_states", outputs.sequenceStates) }
        if let states = outputs.boundaryStates { try file.add("chunk_states", states) }
        try file.write(to: output)
        print("\(output): y \(outputs.y.shape), final_states \(outputs.finalState.shape), \(Scalar.name)")
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
