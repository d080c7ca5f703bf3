import DualityCore
import DualityNumerics
import TestSupport
import Testing

@testable import DualityReference
@testable import DualityVerify

/// Gradients of convolution and gated norm: the reference's own pass, and every fault is rejected
/// and named.
@Suite struct LayerGradientTests {
    static let cases = VectorSuite.layerGradients

    static func table(_ outputs: [String: Tensor<Double>]) throws -> TensorTable {
        var table = TensorTable(place: "kernel")
        for (name, output) in outputs { try table.add(name, output, as: .f32) }
        return table
    }

    /// What the reference's layers make of the operands in Float.
    static func reference(_ item: VectorCase, _ source: TensorTable) throws -> [String: Tensor<Double>]? {
        func read(_ name: String) throws -> Tensor<Float> { try source.tensor(name) }
        if item.kind == .gatedNormGradients {
            let norm = try GatedGroupNorm<Float>(
                weight: read("weight"), groupSize: Int(item.options["group_size"] ?? "") ?? read("weight").count,
                epsilon: 1e-5, normBeforeGate: item.options["norm_before_gate"] == "true")
            let found = try norm.gradients(of: read("x"), gate: read("z"), output: read("dout"))
            return [
                "grad_x": found.y.converted(), "grad_z": try #require(found.gate).converted(),
                "grad_weight": found.weight.converted(),
            ]
        }
        guard !source.contains("seq_idx") else { return nil }
        return try convolution(source)
    }

    private static func preActivation(
        _ u: Tensor<Float>, _ window: Tensor<Float>, _ weight: Tensor<Float>, _ bias: Tensor<Float>?
    ) -> Tensor<Float> {
        let (channels, width) = (u.shape[1], weight.shape[2])
        let history = window.elements + u.elements
        var pre = u
        for i in pre.elements.indices {
            let (t, c) = (i / channels, i % channels)
            pre.elements[i] = (0..<width).reduce(bias?.elements[c] ?? 0) { sum, j in
                sum + weight.elements[c * width + j] * history[(t + j) * channels + c]
            }
        }
        return pre
    }

    private static func convolution(_ source: TensorTable) throws -> [String: Tensor<Double>] {
        func read(_ name: String) throws -> Tensor<Float> { try source.tensor(name) }
        let (x, weight, dout) = try (read("x"), read("weight"), read("dout"))
        let (batch, length, channels, width) = (x.shape[0], x.shape[1], x.shape[2], weight.shape[2])
        let bias = source.contains("bias") ? try read("bias") : nil
        let layer = try CausalConvolution<Float>(weight: weight, bias: bias)
        var ofX = Tensor(repeating: 0.0, shape: x.shape)
        var ofWindow = Tensor(repeating: 0.0, shape: [batch, channels, width - 1])
        var (ofWeight, ofBias) = (weight.map { _ in 0.0 }, Tensor(repeating: 0.0, shape: [channels]))
        for row in 0..<batch {
            func rows(_ tensor: Tensor<Float>) -> Tensor<Float> {
                let size = length * channels
                return Tensor(
                    shape: [length, channels], unchecked: Array(tensor.elements[row * size..<(row + 1) * size]))
            }
            /// [B, C, K] of this row as [K, C], its last `kept` columns.
            func columns(_ tensor: Tensor<Float>, kept: Int) -> Tensor<Float> {
                let count = tensor.shape[2]
                var result = Tensor<Float>(repeating: 0, shape: [kept, channels])
                for k in 0..<kept {
                    for c in 0..<channels {
                        result.elements[k * channels + c] =
                            tensor.elements[(row * channels + c) * count + count - kept + k]
                    }
                }
                return result
            }
            let hasWindow = source.contains("initial_window")
            let window =
                hasWindow
                ? columns(try read("initial_window"), kept: width - 1)
                : Tensor<Float>(repeating: 0, shape: [width - 1, channels])
            let u = rows(x)
            let pre = preActivation(u, window, weight, bias)
            let pull = rows(dout).multiplied(pre) { $0 * .siluDerivative($1) }
            // The oldest column of the window handed on is a token's where the call is that long.
            let found = layer.gradients(
                of: u, window: window, output: pull,
                nextWindow: hasWindow ? columns(try read("dconv_state"), kept: width - 1) : nil)
            for i in found.input.elements.indices {
                ofX.elements[row * length * channels + i] = Double(found.input.elements[i])
            }
            if hasWindow, length >= width {
                let state = columns(try read("dconv_state"), kept: width)
                for c in 0..<channels {
                    ofX.elements[(row * length + length - width) * channels + c] += Double(state.elements[c])
                }
            }
            for c in 0..<channels {
                for k in 0..<width - 1 {
                    ofWindow.elements[(row * channels + c) * (width - 1) + k] = Double(
                        found.window.elements[k * channels + c])
                }
            }
            if hasWindow, length < width {
                let state = columns(try read("dconv_state"), kept: width)
                for c in 0..<channels {
                    ofWindow.elements[(row * channels + c) * (width - 1) + length - 1] += Double(state.elements[c])
                }
            }
            for i in ofWeight.elements.indices { ofWeight.elements[i] += Double(found.weight.elements[i]) }
            for i in ofBias.elements.indices { ofBias.elements[i] += Double(found.bias.elements[i]) }
        }
        return ["grad_x": ofX, "grad_weight": ofWeight, "grad_bias": ofBias, "grad_initial_window": ofWindow]
            .filter { name, _ in
                name == "grad_bias"
                    ? bias != nil : name == "grad_initial_window" ? source.contains("initial_window") : true
            }
    }

    @Test func theReferencePasses() throws {
        var judged = 0
        for item in Self.cases {
            let table = try item.tensors(in: .f32)
            guard let found = try Self.reference(item, table) else { continue }
            let report = Verifier().verify(item.call, inputs: table, outputs: try Self.table(found))
            #expect(report.verdict == .pass, "\(item.name): \(report)")
            judged += 1
        }
        #expect(judged >= 13, "\(judged)")
    }

    @Test func everyFaultIsRejectedAndNamed() throws {
        var named: Set<String> = []
        for item in Self.cases {
            let table = try item.tensors(in: .f32)
            let isNorm = item.kind == .gatedNormGradients
            let faults = isNorm ? GatedNormGradientJudge.faults : ConvolutionGradientJudge.faults
            func results(_ fault: String?) throws -> [String: Tensor<Double>] {
                let sums =
                    isNorm
                    ? try GatedNormGradientJudge(item.call, inputs: table).run(fault)
                    : try ConvolutionGradientJudge(item.call, inputs: table).run(fault)
                return sums.mapValues(\.values).filter { table.contains(String($0.key.dropFirst(5))) }
            }
            let right = try results(nil)
            for fault in faults {
                let wrong = try results(fault.name)
                let effect =
                    wrong.map { name, tensor in
                        let scale = right[name]?.elements.map(\.magnitude).max() ?? 0
                        return (0..<tensor.count).map {
                            (tensor.elements[$0] - (right[name]?.elements[$0] ?? 0)).magnitude
                        }
                        .max().map { $0 / scale } ?? 0
                    }.max() ?? 0
                guard effect > 1e-3 else { continue }
                let report = Verifier().verify(item.call, inputs: table, outputs: try Self.table(wrong))
                #expect(report.verdict == .fail, "\(fault.name) on \(item.name): \(report)")
                if report.diagnosis.names.first == fault.name { named.insert(fault.name) }
            }
        }
        let all = Set((GatedNormGradientJudge.faults + ConvolutionGradientJudge.faults).map(\.name))
        #expect(named == all, "never named first: \(all.subtracting(named).sorted())")
    }
}
