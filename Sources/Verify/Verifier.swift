//  A kernel's outputs in, a verdict out: the one entry of the module.
//
//      let report = Verifier().verify(CallDescription(name: "mine", kind: .scan), inputs: tensors, outputs: results)
//
//  Tensors come from anything that is a `TensorSource`: a file, a directory's file, a table in
//  memory. Nothing of what comes from outside is trusted, and nothing of it throws: what cannot be
//  used is a problem in the report, and the rest is judged.

import DualityCore
import DualityReference

/// Judges outputs against the reference.
public struct Verifier: Sendable {
    /// What the kernel is said to compute in.
    public var precision = DeclaredPrecision.inferred
    /// Whether the cause of an error is looked for.
    public var diagnoses = true

    /// Whether two faults at once are tried where one does not explain an error.
    public var seeksPairs = true

    public init(precision: DeclaredPrecision = .inferred, diagnoses: Bool = true) {
        self.precision = precision
        self.diagnoses = diagnoses
    }

    /// Judges one call.
    ///
    /// - Parameters:
    ///   - call: its kind and options.
    ///   - inputs: the operands, by the names of the kind.
    ///   - outputs: the kernel's results. They may be the same source.
    /// - Complexity: ten to thirty times the recurrent form of the operands, on all cores; some
    ///   sixty times more where a fault is looked for, on part of the heads if there is much to do.
    public func verify(_ call: CallDescription, inputs: any TensorSource, outputs: any TensorSource) -> CaseReport {
        var report = CaseReport(name: call.name, kind: call.kind)
        do {
            let judge = try judge(call, inputs)
            let (found, formats) = read(judge, inputs, outputs, into: &report)
            guard !found.isEmpty else {
                report.verdict = report.problems.isEmpty ? .pass : .fail
                return report
            }
            let expectations = try judge.expect(found, formats: formats)
            report.precision = expectations.precision
            report.remarks += expectations.remarks
            report.decays = expectations.decays
            report.inputFormat =
                ["x", "activations", "hidden_states"].compactMap { inputs.find($0) }.first?.dtype.rawValue ?? ""
            for expected in expectations.outputs {
                guard let tensor = found[expected.name] else { continue }
                report.outputs.append(
                    OutputReport(
                        of: tensor, dtype: outputs.find(expected.name)?.dtype.rawValue ?? "", against: expected,
                        chunkSize: judge.chunkSize))
            }
            report.verdict = report.outputs.map(\.verdict).max() ?? .pass
            if !report.problems.isEmpty { report.verdict = .fail }
            if diagnoses && report.outputs.contains(where: { $0.verdict != .pass }) {
                report.diagnosis = judge.diagnose(found, expectations.outputs, seeksPairs: seeksPairs)
                if report.diagnosis.findings.isEmpty {
                    if let tile = TileCorruption.find(found, expectations.outputs) {
                        report.diagnosis.findings = [tile]
                    }
                    report.diagnosis.structure = ErrorStructure.sentences(
                        found, expectations.outputs, chunkSize: judge.chunkSize, decays: expectations.decays)
                }
            }
        } catch {
            report.problems.append("\(call.name): \(error)")
            report.verdict = .fail
        }
        return report
    }

    func judge(_ call: CallDescription, _ inputs: any TensorSource) throws -> any KindJudge {
        switch call.kind {
        case .scan, .step: try ScanJudge(call, inputs: inputs, precision: precision)
        case .gradients: try GradientJudge(call, inputs: inputs, precision: precision)
        case .convolution: try ConvolutionJudge(call, inputs: inputs)
        case .gatedNorm: try GatedNormJudge(call, inputs: inputs)
        case .matmul: try MatmulJudge(call, inputs: inputs)
        case .mixer: try MixerJudge(call, inputs: inputs, precision: precision)
        }
    }

    /// The outputs that can be judged; what is wrong with the others goes into the report.
    private func read(
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
            report.problems.append("\(report.name): none of \(absent.joined(separator: ", ")) is in \(outputs.place)")
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
