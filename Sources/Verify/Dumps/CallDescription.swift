//  What a case is a call of, and the options of that call, which tensors do not show. Files carry
//  them in their string table:
//
//      kind          scan | step | gradients | convolution | convolution_gradients | gated_norm |
//                    gated_norm_gradients | mixer | matmul | gated_delta | gated_delta_step |
//                    attention | kalman | gated_delta_gradients | attention_gradients
//      dt_softplus   true | false          dt_limit   LO,HI          chunk_size   Q
//
//  and whatever else a kind needs (`epsilon`, `group_size`, …).

import DualityCore

/// The operation a case is a call of.
public enum CaseKind: String, Sendable, CaseIterable {
    /// The operator over whole sequences: y and the final states.
    case scan
    /// The operator token by token from a given state, as decoding does it.
    case step
    /// The operator backwards.
    case gradients
    /// The depthwise causal convolution with its activation.
    case convolution
    /// The convolution backwards.
    case convolutionGradients = "convolution_gradients"
    /// The norm with a gate at the end of a mixer.
    case gatedNorm = "gated_norm"
    /// That norm backwards.
    case gatedNormGradients = "gated_norm_gradients"
    /// A whole Mamba-2 mixer.
    case mixer
    /// A matrix product with quantized operands.
    case matmul
    /// The gated delta rule over whole sequences: o and the final state.
    case gatedDelta = "gated_delta"
    /// The gated delta rule token by token from a given state.
    case gatedDeltaStep = "gated_delta_step"
    /// Softmax attention of queries behind a cache of keys.
    case attention
    /// The recurrence of Gated KalmaNet: o and both final states.
    case kalman
    /// The gated delta rule backwards.
    case gatedDeltaGradients = "gated_delta_gradients"
    /// Softmax attention backwards.
    case attentionGradients = "attention_gradients"

    /// The options that calls of this kind read; any other is a mistake.
    public var options: [String] {
        switch self {
        case .scan, .step, .gradients: ["dt_softplus", "dt_limit", "chunk_size"]
        case .convolution, .convolutionGradients: ["activation"]
        case .gatedNorm, .gatedNormGradients: ["group_size", "epsilon", "norm_before_gate"]
        case .mixer: ["epsilon", "bc_epsilon", "rope_theta", "chunk_size"]
        case .matmul: []
        case .attention, .attentionGradients: ["causal", "window", "sink_tokens", "scale"]
        case .gatedDelta, .gatedDeltaStep, .gatedDeltaGradients:
            ["scale", "use_qk_l2norm_in_kernel", "l2norm_epsilon", "chunk_size"]
        case .kalman:
            [
                "num_iter", "ridge_strength", "scale", "use_qk_l2norm_in_kernel", "l2norm_epsilon",
                "use_forgetting_gate_kk", "chunk_size",
            ]
        }
    }
}

extension CaseKind {
    /// The names that tensors of calls of this kind have, operands first. A mixer's weights may
    /// also have the prefix `w.`.
    public var tensors: [String] {
        let scan = ["x", "dt", "A", "B", "C", "D", "z", "dt_bias", "initial_states", "seq_idx", "cu_seqlens"]
        let upstream = ["dout", "dfinal_states", "dvarlen_states"]
        switch self {
        case .scan, .step: return scan + ["y", "final_states", "varlen_states"]
        case .gradients:
            let gradients = ["x", "dt", "A", "B", "C", "D", "z", "dt_bias", "initial_states"].map { "grad_\($0)" }
            return scan + upstream + gradients
        case .convolution:
            return ["x", "weight", "bias", "initial_window", "seq_idx", "out", "pre_activation", "conv_state"]
        case .convolutionGradients:
            let gradients = ["x", "weight", "bias", "initial_window"].map { "grad_\($0)" }
            return ["x", "weight", "bias", "initial_window", "seq_idx", "dout", "dconv_state"] + gradients
        case .gatedNorm: return ["x", "z", "weight", "out", "out_no_gate"]
        case .gatedNormGradients: return ["x", "z", "weight", "dout", "grad_x", "grad_z", "grad_weight"]
        case .mixer:
            return [
                "hidden_states", "in_proj.weight", "conv1d.weight", "conv1d.bias", "A_log", "dt_bias", "D",
                "B_norm.weight", "C_norm.weight", "norm.weight", "out_proj.weight", "out", "ssm_state", "conv_state",
            ]
        case .matmul: return ["activations", "weights", "activation_scales", "weight_scales", "out"]
        case .attention: return ["q", "k", "v", "sinks", "o"]
        case .gatedDelta, .gatedDeltaStep:
            return ["q", "k", "v", "g", "beta", "initial_state", "cu_seqlens", "o", "final_state"]
        case .kalman:
            return [
                "q", "k", "v", "g", "alpha", "beta", "initial_gram", "initial_memory", "cu_seqlens", "o", "final_gram",
                "final_memory",
            ]
        case .gatedDeltaGradients:
            let operands = ["q", "k", "v", "g", "beta", "initial_state"]
            return operands + ["cu_seqlens", "dout", "dfinal_state"] + operands.map { "grad_\($0)" }
        case .attentionGradients:
            let operands = ["q", "k", "v", "sinks"]
            return operands + ["dout"] + operands.map { "grad_\($0)" }
        }
    }
}

/// A call: its kind and options.
public struct CallDescription: Sendable {
    /// What reports call the case.
    public var name: String
    /// The operation that is called.
    public var kind: CaseKind
    /// Every option by name, as text.
    public var options: [String: String]

    /// A call from its parts; options are read and checked when it is judged.
    public init(name: String, kind: CaseKind, options: [String: String] = [:]) {
        self.name = name
        self.kind = kind
        self.options = options
    }

    /// Reads kind and options from the string table of a file; a file without one is a scan.
    ///
    /// - Throws: `InputError` for a kind that is none.
    public init(name: String, metadata: [String: String]) throws(InputError) {
        var options = metadata
        let text = options.removeValue(forKey: "kind") ?? CaseKind.scan.rawValue
        guard let kind = CaseKind(rawValue: text) else {
            throw InputError(
                .value, in: "\(name): kind", expected: CaseKind.allCases.map(\.rawValue).joined(separator: ", "),
                found: "\"\(text)\"")
        }
        self.init(name: name, kind: kind, options: options)
    }

    /// Refuses options that no call of this kind reads: a misspelt one would make the verdict one
    /// about another call.
    ///
    /// - Parameters:
    ///   - names: the options that somebody gave. What else stands in the string table of a foreign
    ///     file is not asked for.
    ///   - place: what to call their place in the message.
    /// - Throws: `InputError` (`.unknown`), with the option that was most likely meant.
    public func requireKnown(_ names: some Collection<String>, in place: String) throws(InputError) {
        let known = kind.options + ["kind"]
        for name in names.sorted() where !known.contains(name) {
            let other = CaseKind.allCases.filter { $0.options.contains(name) }.map(\.rawValue)
            let near = known.min { distance(name, $0) < distance(name, $1) }
            let guess = near.flatMap { distance(name, $0) <= max(2, name.count / 3) ? $0 : nil }
            throw InputError(
                .unknown, in: "\(place): \(name)",
                expected: kind.options.isEmpty
                    ? "no options, since a call of kind \(kind.rawValue) has none"
                    : "an option of kind \(kind.rawValue): \(kind.options.joined(separator: ", "))",
                found: "\"\(name)\"",
                remedy: guess.map { "Is it \($0)?" }
                    ?? (other.isEmpty ? "" : "It is an option of kind \(other.joined(separator: ", "))."))
        }
    }

    /// Refuses an operand that nothing reads and that has nearly the name of one that is absent:
    /// without it the verdict would be one about another call.
    ///
    /// - Throws: `InputError` (`.unknown`) with the operand that was most likely meant.
    public func requireNoMisspeltOperand(_ names: [String], in place: String) throws(InputError) {
        let known = Set(CaseKind.allCases.flatMap(\.tensors))
        for name in names where !known.contains(name) && name.count > 2 {
            let absent = kind.tensors.filter { !names.contains($0) && $0.count > 2 }
            guard let near = absent.first(where: { distance(name, $0) <= max(1, $0.count / 4) }) else { continue }
            throw InputError(
                .unknown, in: "\(place): \(name)", expected: "operands of kind \(kind.rawValue)", found: "\"\(name)\"",
                remedy: "Is it \(near)?")
        }
    }

    func flag(_ name: String, default value: Bool) throws(InputError) -> Bool {
        guard let text = options[name] else { return value }
        switch text.lowercased() {
        case "true", "1": return true
        case "false", "0": return false
        default:
            throw InputError(.value, in: "\(self.name): \(name)", expected: "true or false", found: "\"\(text)\"")
        }
    }

    func number(_ name: String, default value: Double) throws(InputError) -> Double {
        guard let text = options[name] else { return value }
        guard let number = Double(text) else {
            throw InputError(.value, in: "\(self.name): \(name)", expected: "a number", found: "\"\(text)\"")
        }
        return number
    }

    func count(_ name: String) throws(InputError) -> Int? {
        guard let text = options[name] else { return nil }
        guard let number = Int(text), number > 0 else {
            throw InputError(.value, in: "\(self.name): \(name)", expected: "a positive integer", found: "\"\(text)\"")
        }
        return number
    }

    /// `dt_limit` as a range.
    func limits() throws(InputError) -> ClosedRange<Double> {
        guard let text = options["dt_limit"] else { return 0...(.infinity) }
        let parts = text.split(separator: ",").map { Double($0.drop { $0 == " " }) }
        guard parts.count == 2, let low = parts[0], let high = parts[1], low <= high else {
            throw InputError(.value, in: "\(name): dt_limit", expected: "LO,HI with LO <= HI", found: "\"\(text)\"")
        }
        return low...high
    }
}
