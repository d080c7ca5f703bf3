import DualityCore
import DualityNumerics
import DualityReference

@testable import DualityVerify

/// Kernels with planted faults that show, and what was said of them.
///
/// A fault shows where it moves a number by more than what is certain to be wrong, in units of what
/// the right kernel is judged by. It is rejected where the verdict is not PASS, and named where it
/// is among the best findings, which are those that cannot be told apart on the input.
struct KalmanTally {
    var (planted, rejected, failed, named) = (0, 0, 0, 0)
    var missed: [String] = []
    var faults: Set<String> = []

    var rejectedShare: Double { Double(rejected) / Double(max(planted, 1)) }
    var namedShare: Double { Double(named) / Double(max(planted, 1)) }
    var words: String {
        "of \(planted) \(rejected) rejected (\(failed) FAIL), \(named) named first; \(missed.joined(separator: "; "))"
    }

    /// All plants on a case, or one of so many, beginning with the first of the two.
    mutating func add(_ item: VectorCase, _ format: NumberFormat, share: (Int, Int)?) throws {
        let inputs = try item.tensors(in: format)
        let size = item.options["chunk_size"].flatMap { Int($0) } ?? 64
        let judge = try KalmanJudge(item.call, inputs: inputs, precision: .inferred)
        let right = try [nil, size].map { try KalmanKernel(chunk: $0)(inputs, item.options) }
        let sigmas = try right.map { try Self.sigmas(judge, $0, format) }
        let plants = KalmanKernel.plants.map { ($0, 0) } + KalmanKernel.chunkPlants.map { ($0, 1) }
        for (i, (plant, form)) in plants.enumerated() {
            if let (first, of) = share, (i + first) % of != 0 { continue }
            guard let fault = KalmanFault(rawValue: plant),
                FaultyKalman(operands: judge.operands, fault: fault, chunkSize: size).applies
            else { continue }
            let wrong = try KalmanKernel(chunk: form == 0 ? nil : size, plant: plant)(inputs, item.options)
            let effect = Self.effect(wrong, right[form], sigmas[form])
            guard !(effect < Limits.certainSigma) else { continue }
            let outputs = try Self.table(wrong, format)
            take(plant, item, effect, Verifier().verify(item.call, inputs: inputs, outputs: outputs))
        }
    }

    private mutating func take(_ plant: String, _ item: VectorCase, _ effect: Double, _ report: CaseReport) {
        planted += 1
        faults.insert(plant)
        if report.verdict != .pass { rejected += 1 }
        if report.verdict == .fail { failed += 1 }
        let findings = report.diagnosis.findings
        let best = findings.prefix(1) + findings.dropFirst().prefix { $0.isTied }
        if best.contains(where: { $0.names == [plant] }) {
            named += 1
        } else {
            let found = report.diagnosis.names.prefix(3)
            missed.append("\(plant) on \(item.name) (\(report.verdict.rawValue), \(figure(effect)) sigma): \(found)")
        }
    }

    static func table(_ outputs: [String: Tensor<Double>], _ format: NumberFormat) throws -> TensorTable {
        var table = TensorTable(place: "kernel")
        for (name, output) in outputs { try table.add(name, output, as: name == "o" ? format : .f32) }
        return table
    }

    private static func sigmas(
        _ judge: KalmanJudge, _ right: [String: Tensor<Double>], _ format: NumberFormat
    ) throws -> [String: Tensor<Double>] {
        let formats = Dictionary(uniqueKeysWithValues: right.keys.map { ($0, $0 == "o" ? format : NumberFormat.f32) })
        let expected = try judge.expect(right, formats: formats).outputs
        return Dictionary(uniqueKeysWithValues: expected.map { ($0.name, $0.sigma) })
    }

    /// The largest difference in sigma; infinite where a number is none.
    private static func effect(
        _ wrong: [String: Tensor<Double>], _ right: [String: Tensor<Double>], _ sigmas: [String: Tensor<Double>]
    ) -> Double {
        var largest = 0.0
        for (name, tensor) in wrong {
            guard let own = right[name], let sigma = sigmas[name] else { continue }
            for i in tensor.elements.indices where tensor.elements[i] != own.elements[i] {
                let ratio = (tensor.elements[i] - own.elements[i]).magnitude / sigma.elements[i]
                largest = max(largest, ratio.isNaN ? .infinity : ratio)
            }
        }
        return largest
    }
}
