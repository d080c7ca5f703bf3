import DualityCore
import DualityNumerics
import Foundation
import TestSupport
import Testing

@testable import DualityReference
@testable import DualityVerify

/// The recurrences inside the conformance model, whose logits are the official ones
/// (HybridModelTests), as calls of a kernel: q, k and v normalised and gated by who calls it.
@Suite struct KalmanConformanceTests {
    @Test func whatTheModelMakesIsInsideTheBound() throws {
        let checkpoint = try Checkpoint(directory: Fixtures.path("models/gka"))
        let model = try HybridModel<Double>(checkpoint, configuration: checkpoint.configuration)
        let ids = try SafetensorsFile(path: Fixtures.path("models/gka/expected.safetensors"))
            .integers("input_ids").elements
        let layers = try model.recurrenceInputs(reading: Array(ids.prefix(KalmanTests.isThorough ? 200 : 4)))
        #expect(layers.count == 2)
        for (layer, inputs) in layers {
            guard case .kalma(let rule) = inputs.rule, case .chebyshev(let iterations) = rule.solver else {
                Issue.record("layer \(layer) has another recurrence")
                continue
            }
            let call = CallDescription(
                name: "layer \(layer)", kind: .kalman,
                options: [
                    "use_qk_l2norm_in_kernel": "false", "num_iter": "\(iterations)",
                    "ridge_strength": "\(rule.ridge)",
                    "scale": rule.rescales ? "\(1 / Double(rule.headDim).squareRoot())" : "1",
                    "use_forgetting_gate_kk": "\(rule.decaysGram)",
                ])
            let table = try table(rule)
            for form in [RecurrenceForm.recurrent, .chunked(size: 64)] {
                let outputs = try outputs(rule.converted(to: Float.self), form)
                let report = Verifier(diagnoses: false).verify(call, inputs: table, outputs: outputs)
                #expect(report.verdict == .pass && report.outputs.count == 3, "\(call.name), \(form): \(report.lines)")
                for output in report.outputs { #expect(output.errorOverBound ?? 2 < 1, "\(output.name)") }
            }
        }
    }

    private func table(_ rule: GatedKalmaRule<Double>) throws -> TensorTable {
        var table = TensorTable(place: "model")
        let (length, heads) = (rule.q.shape[0], rule.q.shape[1] / rule.headDim)
        for (name, tensor) in [("q", rule.q), ("k", rule.k), ("v", rule.v)] {
            let rounded = tensor.map { Double(Float($0)) }
            try table.add(name, rounded.reshaped([1, length, heads, rule.headDim]), as: .f32)
        }
        for (name, tensor) in [("alpha", rule.alpha), ("g", rule.logDecay)] {
            guard let tensor else { continue }
            try table.add(name, tensor.map { Double(Float($0)) }.reshaped([1, length, heads]), as: .f32)
        }
        return table
    }

    private func outputs(_ rule: GatedKalmaRule<Float>, _ form: RecurrenceForm) throws -> TensorTable {
        let (length, width) = (rule.q.shape[0], rule.headDim)
        let heads = rule.q.shape[1] / width
        var gram = Tensor<Float>(repeating: 0, shape: [heads, width, width])
        var memory = gram
        let o = rule.evaluate(form, gram: &gram, memory: &memory)
        var table = TensorTable(place: "float32")
        try table.add("o", o.converted(to: Double.self).reshaped([1, length, heads, width]), as: .f32)
        try table.add("final_gram", gram.converted(to: Double.self).reshaped([1, heads, width, width]), as: .f32)
        try table.add("final_memory", memory.converted(to: Double.self).reshaped([1, heads, width, width]), as: .f32)
        return table
    }
}
