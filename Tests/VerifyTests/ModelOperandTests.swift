import DualityCore
import DualityNumerics
import Foundation
import TestSupport
import Testing

@testable import DualityReference
@testable import DualityVerify

/// What the layers of conformance models, whose logits are the official ones (HybridModelTests),
/// give to their kernels: kernels that share nothing with the judge are inside the bound on it.
@Suite struct ModelOperandTests {
    private func model(_ name: String) throws -> (HybridModel<Double>, ids: [Int]) {
        let checkpoint = try Checkpoint(directory: Fixtures.path("models/\(name)"))
        let expected = try SafetensorsFile(path: Fixtures.path("models/\(name)/expected.safetensors"))
        let model = try HybridModel<Double>(checkpoint, configuration: checkpoint.configuration)
        return (model, try expected.integers("input_ids").elements)
    }

    /// Operands `[L, H W]` as a kernel gets them, in float32, `[1, L, H, W]`.
    private func table(_ operands: [(String, Tensor<Double>, width: Int?)]) throws -> TensorTable {
        var table = TensorTable(place: "model")
        for (name, tensor, width) in operands {
            let rows = [1, tensor.shape[0], tensor.shape[1] / (width ?? 1)] + (width.map { [$0] } ?? [])
            try table.add(name, tensor.map { Double(Float($0)) }.reshaped(rows), as: .f32)
        }
        return table
    }

    private func expectInside<Kernel: FamilyKernel>(
        _ kernels: [Kernel], _ call: CallDescription, _ inputs: TensorTable, outputs count: Int
    ) throws {
        for kernel in kernels {
            let outputs = try Kernel.table(kernel.outputs(inputs, call.options), .f32)
            let report = Verifier(diagnoses: false).verify(call, inputs: inputs, outputs: outputs)
            #expect(report.verdict == .pass && report.outputs.count == count, "\(kernel): \(report.lines)")
            for output in report.outputs { #expect(output.errorOverBound ?? 2 < 1, "\(output.name)") }
        }
    }

    @Test func gatedDeltaRulesAreInsideTheBound() throws {
        let (model, ids) = try model("gdn")
        let layers = try model.recurrenceInputs(reading: ids)
        #expect(layers.count == 2)
        for (layer, inputs) in layers {
            guard case .delta(let rule) = inputs.rule else {
                Issue.record("layer \(layer) has another recurrence")
                continue
            }
            // Normalised and scaled before the kernel.
            let call = CallDescription(
                name: "layer \(layer)", kind: .gatedDelta,
                options: ["use_qk_l2norm_in_kernel": "false", "scale": "1", "chunk_size": "64"])
            let width = rule.headDim
            let inputs = try table([
                ("q", rule.q, width), ("k", rule.k, width), ("v", rule.v, width), ("g", rule.logDecay, nil),
                ("beta", rule.beta, nil),
            ])
            let kernels = [DeltaKernel(), DeltaKernel(chunk: 64), DeltaKernel(chunk: 16)]
            try expectInside(kernels, call, inputs, outputs: 2)
        }
    }

    @Test(arguments: [("swa", 16), ("gdn", nil)]) func attentionIsInsideTheBound(name: String, window: Int?) throws {
        let (model, ids) = try model(name)
        let rotation = model.rope.table(positions: 0..<ids.count)
        var seen: [Int?] = []
        var cache = model.makeCache()
        var operands: [(Int, Attention<Double>, Tensor<Double>)] = []
        _ = try model.extend(&cache, by: ids, logits: .none) { observation in
            guard case .layer(let i, .mixerInput(let u)) = observation,
                case .attention(let mixer) = model.layers[i].mixer
            else { return }
            operands.append((i, mixer, u))
        }
        for (layer, mixer, u) in operands {
            seen.append(mixer.window)
            let call = CallDescription(
                name: "layer \(layer)", kind: .attention,
                options: mixer.window.map { ["window": "\($0)"] } ?? [:])
            let (q, k, v) = mixer.projected(u, rotation: rotation)
            let width = mixer.headDim
            let inputs = try table([("q", q, width), ("k", k, width), ("v", v, width)])
            let kernels = [AttentionKernel(), AttentionKernel(block: 64), AttentionKernel(block: 16)]
            try expectInside(kernels, call, inputs, outputs: 1)
        }
        #expect(seen.contains(window) && seen.count >= 2, "\(seen)")
    }
}
