//  A call of the family, judged head by head on all cores: a recurrence, or a backward pass.

import DualityCore
import DualityNumerics
import DualityReference

/// A known fault of a kind of the family.
protocol FamilyFault: RawRepresentable<String>, CaseIterable, Sendable {
    var summary: String { get }
    var isOfPrecision: Bool { get }
    /// Whether it is one of the chunked form.
    var isOfChunks: Bool { get }
}

extension FamilyFault {
    var asLayerFault: LayerFault { LayerFault(name: rawValue, summary: summary, isOfPrecision: isOfPrecision) }
}

/// The kinds whose sizes of error are those of imitated kernels, head by head.
protocol FamilyJudge: KindJudge {
    associatedtype Head: FamilyHead
    associatedtype Fault: FamilyFault

    var operands: Head.Operands { get }
    var inputFormat: NumberFormat { get }
    /// What was declared, in words; nil where the arithmetic is inferred.
    var declaration: String? { get }
    /// Whether a call has no chunks.
    var isStep: Bool { get }

    /// The arithmetics a kernel may have.
    func choices(output: NumberFormat) -> FamilyChoices<Head.Arithmetic>
    /// What a report says beside the numbers.
    func remarks(_ results: [Head]) -> [String]
    /// The narrower arithmetics that a diagnosis tries, mild ones first.
    func narrower(_ choices: FamilyChoices<Head.Arithmetic>) -> [(Fault, Head.Arithmetic)]
}

extension FamilyJudge {
    static var faults: [LayerFault] { Fault.allCases.map(\.asLayerFault) }

    /// Tokens in a chunk: as proposed, and as public kernels have them. None where there are none;
    /// no two that are the whole sequence.
    var chunkSizes: [Int] {
        guard !isStep else { return [] }
        let longest = operands.sequences.map(\.count).max() ?? 0
        var sizes = [chunkSize ?? FamilyLimits.usualChunk]
        for size in FamilyLimits.chunkSizes where !sizes.contains(where: { min($0, longest) == min(size, longest) }) {
            sizes.append(size)
        }
        return sizes
    }

    /// What is expected of the outputs, by the arithmetics of which each head has its best.
    func expect(_ found: [String: Tensor<Double>], formats: [String: NumberFormat]) throws -> Expectations {
        let choices = choices(output: formats[outputs[0].name] ?? inputFormat)
        let results = parallelMap(operands.heads) { h in Head.best(operands, h, choices, (found, formats)) }
        var expectations: [Expectation] = []
        for output in outputs {
            guard found[output.name] != nil, let format = formats[output.name] else { continue }
            var exact = Tensor(repeating: 0.0, shape: output.shape)
            var errors = [LayerError](repeating: LayerError(bound: 0, variance: 0), count: exact.count)
            for (h, result) in results.enumerated() {
                for numbers in result.outputs where numbers.name == output.name {
                    for i in numbers.exact.indices {
                        let place = numbers.place(i, in: output.shape, heads: operands.heads, h)
                        exact.elements[place] = numbers.exact[i]
                        errors[place] = result.error(numbers, i, as: format)
                    }
                }
            }
            expectations.append(
                Expectation(
                    output.name, axes: output.axes, exact: exact, errors: errors, magnitudes: nil, format: format))
        }
        return Expectations(
            outputs: expectations, precision: words(results.map(\.arithmetic)), remarks: remarks(results),
            decays: decays)
    }

    /// The mean of -g per token, of each head.
    private var decays: [Double] {
        guard let gates = operands.gates else { return [] }
        let heads = gates.shape[1]
        return (0..<heads).map { h in
            stride(from: h, to: gates.count, by: heads).reduce(0) { $0 - gates.elements[$1] }
                / Double(max(operands.tokens, 1))
        }
    }

    private func words(_ chosen: [Head.Arithmetic]) -> String {
        if let declaration { return "\(declaration): \(chosen.first?.description ?? "")" }
        let forms = Set(chosen.map(\.description)).sorted().joined(separator: " or ")
        return "\(forms) (inferred from the tensors)"
    }
}
