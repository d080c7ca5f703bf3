//  Which kind judges a call, and which of the outputs that were handed in can be judged: of the
//  right name, shape and number format. What is wrong with the others goes into the report.

import DualityCore
import DualityNumerics
import DualityReference

extension Verifier {
    func judge(_ call: CallDescription, _ inputs: any TensorSource) throws -> any KindJudge {
        if [.scan, .step, .gradients, .mixer].contains(call.kind) { try precision.requireScan(for: call.kind) }
        return switch call.kind {
        case .scan, .step: try ScanJudge(call, inputs: inputs, precision: precision)
        case .gradients: try GradientJudge(call, inputs: inputs, precision: precision)
        case .convolution: try ConvolutionJudge(call, inputs: inputs)
        case .convolutionGradients: try ConvolutionGradientJudge(call, inputs: inputs)
        case .gatedNormGradients: try GatedNormGradientJudge(call, inputs: inputs)
        case .gatedNorm: try GatedNormJudge(call, inputs: inputs)
        case .matmul: try MatmulJudge(call, inputs: inputs)
        case .mixer: try MixerJudge(call, inputs: inputs, precision: precision)
        case .attention: try AttentionJudge(call, inputs: inputs, precision: precision)
        case .gatedDelta, .gatedDeltaStep: try DeltaJudge(call, inputs: inputs, precision: precision)
        case .kalman: try KalmanJudge(call, inputs: inputs, precision: precision)
        case .gatedDeltaGradients: try DeltaGradientJudge(call, inputs: inputs, precision: precision)
        case .attentionGradients: try AttentionGradientJudge(call, inputs: inputs, precision: precision)
        }
    }

    /// The outputs that can be judged; what is wrong with the others goes into the report.
    func read(
        _ judge: any KindJudge, _ inputs: any TensorSource, _ outputs: any TensorSource, into report: inout CaseReport
    ) -> (found: [String: Tensor<Double>], formats: [String: NumberFormat]) {
        var found: [String: Tensor<Double>] = [:]
        var formats: [String: NumberFormat] = [:]
        var absent: [String] = []
        for output in judge.outputs {
            guard let info = outputs.find(output.name) else {
                absent.append(output.name)
                continue
            }
            do {
                guard info.dtype.isReal, !info.dtype.isInteger else {
                    throw InputError(
                        .dtype, in: output.name, expected: "floating-point numbers", found: info.dtype.rawValue)
                }
                guard info.shape == output.shape else { throw wrongShape(info, output) }
                found[output.name] = try outputs.tensor(output.name, as: Double.self)
                formats[output.name] = info.dtype.numberFormat
            } catch {
                report.problems.append("\(report.name): \(error)")
            }
        }
        let known = Set(judge.outputs.map(\.name)).union(inputs.names)
        let strangers = outputs.names.filter { !known.contains($0) }
        if !absent.isEmpty && !strangers.isEmpty && outputs.place != inputs.place {
            let names = strangers.sorted().joined(separator: ", ")
            let message =
                "\(report.name): no tensor \(absent.joined(separator: ", ")), but \(names), which nothing here is called"
            if found.isEmpty { report.problems.append(message) } else { report.remarks.append(message) }
        } else if found.isEmpty && report.problems.isEmpty && outputs.place != inputs.place {
            report.remarks.append("none of \(absent.joined(separator: ", ")) is in \(outputs.place)")
        }
        report.notChecked = absent
        return (found, formats)
    }

    private func wrongShape(_ info: TensorInfo, _ output: OutputShape) -> InputError {
        var remedy = ""
        if info.shape.sorted() == output.shape.sorted() && info.shape != output.shape {
            remedy = "The axes are in another order than \(output.axes.map(\.rawValue).joined(separator: ", "))."
        }
        return InputError(
            .shape, in: output.name, expected: "\(output.shape)", found: "\(info.shape)", remedy: remedy)
    }
}
