import DualityCore
import DualityNumerics
import DualityReference

@testable import DualityVerify

/// What comes of kernels with planted faults, for kinds whose kernels are functions of a file.
struct FamilyOutcome: Sendable {
    let plant: String
    let name: String
    let verdict: Verdict
    /// The largest change of an output relative to its largest number.
    let effect: Double
    /// The largest change in units of sigma, the largest of all arithmetics that the judge lets
    /// pass.
    let certainEffect: Double
    /// The best finding and those that cannot be told apart from it.
    let best: [String]

    var words: String { "\(plant) on \(name): \(verdict.rawValue), \(figure(certainEffect)) sigma, \(best)" }
}

/// A kernel under test and its right twin.
protocol FamilyKernel: Sendable {
    var plant: String { get }
    var right: Self { get }
    func outputs(_ source: TensorTable, _ options: [String: String]) throws -> [String: Tensor<Double>]
    /// What an output is stored in, in a call of this format.
    static func stored(_ output: String, _ format: NumberFormat) -> NumberFormat
    /// Whether the plant is about something in a case.
    func applies(to item: VectorCase) -> Bool
    /// The arithmetics that a judge of a case lets pass, as declarations.
    static func arithmetics(_ item: VectorCase, _ inputs: TensorTable, _ format: NumberFormat) throws -> [String]
}

extension FamilyKernel {
    static func stored(_ output: String, _ format: NumberFormat) -> NumberFormat { output == "o" ? format : .f32 }

    static func table(_ outputs: [String: Tensor<Double>], _ format: NumberFormat) throws -> TensorTable {
        var table = TensorTable(place: "kernel")
        for (name, output) in outputs { try table.add(name, output, as: stored(name, format)) }
        return table
    }

    /// All kernels on all cases, on all cores.
    static func outcomes(_ kernels: [Self], on items: [VectorCase], _ format: NumberFormat) throws -> [FamilyOutcome] {
        try items.flatMap { item -> [FamilyOutcome] in
            let inputs = try item.tensors(in: format)
            let planted = kernels.filter { $0.applies(to: item) }
            var sigmas: [String: [Double]] = [:]
            for arithmetic in try arithmetics(item, inputs, format) {
                guard let kernel = planted.first?.right else { break }
                let right = try kernel.outputs(inputs, item.options)
                let judge = try Verifier(precision: try DeclaredPrecision(parsing: arithmetic)).judge(item.call, inputs)
                let formats = right.keys.map { ($0, stored($0, format)) }
                let expected = try judge.expect(right, formats: Dictionary(uniqueKeysWithValues: formats))
                for output in expected.outputs {
                    let old = sigmas[output.name] ?? output.sigma.elements
                    sigmas[output.name] = zip(old, output.sigma.elements).map { max($0, $1) }
                }
            }
            let limits = sigmas
            return try parallelMap(planted.count) { i in
                Result { try planted[i].outcome(item, inputs, format, limits) }
            }.map { try $0.get() }
        }
    }

    private func outcome(
        _ item: VectorCase, _ inputs: TensorTable, _ format: NumberFormat, _ sigmas: [String: [Double]]
    ) throws -> FamilyOutcome {
        let (wrong, exact) = try (outputs(inputs, item.options), right.outputs(inputs, item.options))
        var (effect, certain) = (0.0, 0.0)
        for (name, tensor) in wrong {
            guard let other = exact[name], let sigma = sigmas[name] else { continue }
            let size = other.elements.map(\.magnitude).max() ?? 0
            for i in tensor.elements.indices where tensor.elements[i] != other.elements[i] {
                let change = (tensor.elements[i] - other.elements[i]).magnitude
                effect = max(effect, change.isNaN ? .infinity : change / max(size, 1e-300))
                certain = max(certain, change.isNaN ? .infinity : change / sigma[i])
            }
        }
        let report = Verifier().verify(item.call, inputs: inputs, outputs: try Self.table(wrong, format))
        let findings = report.diagnosis.findings
        let tied = findings.prefix(1) + findings.dropFirst().prefix { $0.isTied }
        return FamilyOutcome(
            plant: plant, name: item.name, verdict: report.verdict, effect: effect, certainEffect: certain,
            best: tied.flatMap(\.names))
    }
}

extension [FamilyOutcome] {
    /// How many of the rejected name their fault first, or with others that are the same there.
    var named: [FamilyOutcome] { filter { $0.best.contains($0.plant) } }
    var shareNamed: Double { Double(named.count) / Double(Swift.max(count, 1)) }
    var unnamed: String { filter { !$0.best.contains($0.plant) }.map(\.words).joined(separator: "; ") }
}

extension DeltaKernel: FamilyKernel {
    var right: DeltaKernel {
        var kernel = self
        kernel.plant = ""
        return kernel
    }

    func outputs(_ source: TensorTable, _ options: [String: String]) throws -> [String: Tensor<Double>] {
        try self(source, options)
    }

    func applies(to item: VectorCase) -> Bool {
        (item.kind == .gatedDelta || chunk == nil)
            // Of states that are not square a transposed one is another tensor.
            && !(plant.contains("transposed") && ["delta-shared-keys", "delta-odd-dims"].contains(item.name))
            && !(plant.contains("transposed") && ["wide-values", "192x128"].contains { item.name.contains($0) })
    }

    static func arithmetics(_ item: VectorCase, _ inputs: TensorTable, _ format: NumberFormat) throws -> [String] {
        try DeltaJudge(item.call, inputs: inputs, precision: .inferred).choices(output: format).all.map { "\($0)" }
    }
}

extension AttentionKernel: FamilyKernel {
    var right: AttentionKernel {
        var kernel = self
        kernel.plant = ""
        return kernel
    }

    func outputs(_ source: TensorTable, _ options: [String: String]) throws -> [String: Tensor<Double>] {
        ["o": try self(source, options)]
    }

    func applies(to item: VectorCase) -> Bool { true }

    static func arithmetics(_ item: VectorCase, _ inputs: TensorTable, _ format: NumberFormat) throws -> [String] {
        try AttentionJudge(item.call, inputs: inputs, precision: .inferred).arithmetics(output: format).map { "\($0)" }
    }
}

extension CaseReport {
    /// Of a case that did not pass.
    var reasons: String {
        outputs.filter { $0.verdict > .pass }.map { "\($0.name) \($0.verdict.rawValue): \($0.reason)" }
            .joined(separator: ", ")
    }

    var largestOverSigma: Double { outputs.map(\.errorOverSigma).max() ?? 0 }
}
