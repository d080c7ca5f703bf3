//  The conformance cases of the operator: what the official kernels gave, and how far they were
//  from their float64 twin.

import DualityCore
import DualityReference
import Testing

/// One case of Tests/Fixtures/ssd.
package struct ConformanceCase: Sendable, CustomTestStringConvertible {
    package let name: String
    package let dtSoftplus: Bool
    package let dtLimit: ClosedRange<Double>
    package let isStep: Bool
    package let isTied: Bool
    /// What the official kernels were run with.
    package let chunkSize: Int
    /// `f32` or `bf16`.
    package let dtype: String
    /// `f32` or `bf16`; of steps alone.
    package let stateDtype: String?
    /// Relative L2 error of what the official kernels gave, by tensor.
    package let officialErrors: [String: Double]

    package var testDescription: String { name }

    package static let all: [ConformanceCase] = {
        do {
            let cases = try JSON(contentsOf: Fixtures.path("ssd/cases.json"))
            return cases.object?.members.map { ConformanceCase(name: $0.name, fields: $0.value) } ?? []
        } catch {
            return []
        }
    }()
    package static let scans = all.filter { !$0.isStep }
    package static let steps = all.filter { $0.isStep }

    private init(name: String, fields: JSON) {
        self.name = name
        dtSoftplus = fields["dt_softplus"]?.bool ?? true
        let limits = fields["dt_limit"]?.array ?? []
        dtLimit = (limits.first?.double ?? 0)...(limits.last?.double ?? .infinity)
        isStep = fields["kind"]?.string == "step"
        isTied = fields["tied"]?.bool ?? true
        chunkSize = fields["chunk_size"]?.int ?? 1
        dtype = fields["dtype"]?.string ?? ""
        stateDtype = fields["state_dtype"]?.string
        let errors = fields["triton_vs_f64_rel_l2"]?.object?.members ?? []
        officialErrors = Dictionary(
            errors.compactMap { member in member.value.double.map { (member.name, $0) } }, uniquingKeysWith: { $1 })
    }

    package func file() throws -> SafetensorsFile {
        try SafetensorsFile(path: Fixtures.path("ssd/\(name).safetensors"))
    }

    package func inputs<Scalar: RealNumber>(as type: Scalar.Type = Scalar.self) throws -> SSDInputs<Scalar> {
        try SSDInputs(readingFrom: file(), dtSoftplus: dtSoftplus, dtLimit: dtLimit)
    }
}

extension ConformanceCase {
    /// The loss of the stored gradients: sum(y dout) + sum(final_states dfinal_states).
    package func upstream<Scalar: RealNumber>(as type: Scalar.Type = Scalar.self) throws -> SSDUpstream<Scalar> {
        try SSDUpstream(readingFrom: file())
    }

    /// Relative L2 error of each gradient that the case has an answer for.
    package func errors(of gradients: SSDGradients<some RealNumber>) throws -> [(name: String, error: Double)] {
        let file = try file()
        return try gradients.named.compactMap { name, gradient in
            guard file.contains("grad_\(name)_f64") else { return nil }
            let expected: Tensor<Double> = try file.tensor("grad_\(name)_f64")
            guard gradient.shape == expected.shape else { return (name, .infinity) }
            return (name, relativeL2(gradient.elements, expected.elements))
        }
    }
}
