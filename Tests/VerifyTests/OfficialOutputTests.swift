import DualityCore
import DualityReference
import Foundation
import TestSupport
import Testing

@testable import DualityVerify

/// What the official kernels made of the conformance cases passes with the preset that describes
/// them.
@Suite struct OfficialOutputTests {
    /// A verdict with its figures, for a failing test to print.
    private func describe(_ item: CaseReport) -> String {
        let outputs = item.outputs.map { output in
            let floor = output.errorOverFloor.map(figure) ?? "-"
            return "\(output.name) \(figure(output.errorOverSigma)) sigma, \(floor) floors"
        }
        return "\(item.name): \(item.verdict.rawValue) \(outputs) \(item.problems)"
    }

    private func check(
        _ file: String, _ map: String, _ options: String, precision: String?, layout: String? = nil
    ) throws {
        let dump = try Dump(path: Fixtures.path(file), map: map, layout: layout, options: options)
        let precision = try precision.map { try DeclaredPrecision(parsing: $0) } ?? .inferred
        let item = try Verifier(precision: precision, diagnoses: false).verify(dump).cases[0]
        #expect(item.verdict == .pass && !item.outputs.isEmpty, "\(describe(item))")
        // The floor is the error of the right answer in the output's format; a bfloat16 y of a
        // float32 state is near it.
        for output in item.outputs where output.dtype == "BF16" {
            #expect(output.errorOverFloor ?? 0 < 2.5, "\(describe(item))")
        }
    }

    private struct Listed {
        let name: String
        let options: String
        let tensors: Set<String>
        let isBFloat16: Bool
        let hasNarrowState: Bool
    }

    /// The cases of ssd/cases.json of a kind.
    private func listed(_ kind: String) throws -> [Listed] {
        let json = try JSON(contentsOf: Fixtures.path("ssd/cases.json"))
        return try (json.object?.members ?? []).filter { $0.value["kind"]?.string == kind }.map { member in
            let item = member.value
            var options = "kind=\(kind)"
            if let softplus = item["dt_softplus"]?.bool { options += ",dt_softplus=\(softplus)" }
            if let size = item["chunk_size"]?.int { options += ",chunk_size=\(size)" }
            if let limits = item["dt_limit"]?.array, let low = limits[0].double, let high = limits[1].double {
                options += ",dt_limit=\(low):\(high)"
            }
            let file = try SafetensorsFile(path: Fixtures.path("ssd/\(member.name).safetensors"))
            return Listed(
                name: member.name, options: options, tensors: Set(file.names),
                isBFloat16: item["dtype"]?.string == "bf16", hasNarrowState: item["state_dtype"]?.string == "bf16")
        }
    }

    @Test func scans() throws {
        let cases = try listed("scan")
        #expect(cases.contains { $0.tensors.contains("y_triton") && $0.isBFloat16 })
        for item in cases where item.tensors.contains("y_triton") {
            try check(
                "ssd/\(item.name).safetensors", "y=y_triton,final_states=final_states_triton", item.options,
                precision: item.isBFloat16 ? "mamba_ssm" : "mamba_ssm_f32")
        }
    }

    @Test func steps() throws {
        for item in try listed("step") where item.tensors.contains("y_triton") {
            try check(
                "ssd/\(item.name).safetensors",
                "initial_states=state0,y=y_triton,final_states=state_final_triton", item.options,
                precision: item.hasNarrowState ? "mamba_ssm_step,state=bf16" : "mamba_ssm_step", layout: "lbhp")
        }
    }

    /// The backward pass of the official source in float64, rounded once to float32.
    @Test func gradients() throws {
        for item in try listed("scan") {
            let map = item.tensors.filter { $0.hasPrefix("grad_") }.sorted().map { "\($0.dropLast(4))=\($0)" }
            try check(
                "ssd/\(item.name).safetensors", map.joined(separator: ","),
                item.options.replacingOccurrences(of: "kind=scan", with: "kind=gradients"), precision: nil)
        }
    }

    @Test func layers() throws {
        let norm = "kind=gated_norm,epsilon=1e-5"
        try check(
            "layers/gated_norm_bf16.safetensors", "out=out_official,out_no_gate=out_no_gate_official",
            "\(norm),group_size=32", precision: nil)
        try check(
            "layers/gated_norm_f32.safetensors", "out=out_f64,out_no_gate=out_no_gate_f64", "\(norm),group_size=32",
            precision: nil)
        try check(
            "layers/gated_norm_before.safetensors", "out=out_f64,out_no_gate=out_no_gate_f64",
            "\(norm),norm_before_gate=true", precision: nil)
        for name in ["conv_silu", "conv_silu_short"] {
            try check(
                "layers/\(name).safetensors", "out=out_f64,pre_activation=pre_activation_f64", "kind=convolution",
                precision: nil)
        }
    }

    @Test(arguments: [
        "mamba2_default", "mamba2_no_qk_norm", "mamba2_prefill1", "mamba2_short_prefill2", "mamba2_rope_batch2",
    ])
    func mixers(name: String) throws {
        let file = try SafetensorsFile(path: Fixtures.path("layers/\(name).safetensors"))
        // The prefill is the first tokens of what the file holds.
        let hidden: Tensor<Double> = try file.tensor("hidden_states")
        let out: Tensor<Double> = try file.tensor("prefill.out_official")
        let (rows, length) = (hidden.shape[0], out.shape[1])
        let width = hidden.shape[2]
        var prefix: [Double] = []
        for row in 0..<rows {
            let first = row * hidden.shape[1] * width
            prefix += hidden.elements[first..<first + length * width]
        }
        var table = TensorTable(place: name)
        for tensor in file.names where tensor.hasPrefix("w.") {
            try table.add(String(tensor.dropFirst(2)), file.tensor(tensor), as: .f32)
        }
        try table.add("hidden_states", Tensor(shape: [rows, length, width], elements: prefix), as: .f32)
        var options = ["epsilon": "1e-5", "bc_epsilon": "1e-6"]
        if name.contains("rope") { options["rope_theta"] = "5e6" }
        var results = TensorTable(place: name)
        try results.add("out", out, as: .f32)
        try results.add("ssm_state", file.tensor("prefill_cached.ssm_state_official"), as: .f32)
        let item = try Verifier(precision: DeclaredPrecision(parsing: "mamba_ssm_f32"), diagnoses: false).verify(
            CallDescription(name: name, kind: .mixer, options: options), inputs: table, outputs: results)
        #expect(item.verdict == .pass && item.outputs.count == 2, "\(describe(item))")
    }
}
