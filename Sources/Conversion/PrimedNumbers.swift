//  The numbers of one primed tensor, made a block of rows at a time while the file is written.

import DualityCore
import RealModule

/// Makes primed tensors from a base checkpoint.
struct PrimedNumbers: Sendable {
    let base: any TensorSource
    let configuration: HybridConfiguration
    /// The number format of the new model.
    let dtype: DType
    /// σ.
    let deviation: Double
    /// Whether W_V is repeated by whole heads in the gate, instead of row by row.
    let alignsHeads: Bool
    let seed: UInt64

    /// Writes the tensor that `requirement` asks for.
    func write(_ requirement: WeightContract.Requirement, _ origin: PrimedTensor, to sink: FileSink) throws {
        var random = RandomSource(seed: seed).stream(requirement.name)
        try write(origin, requirement, &random, sink)
    }

    private func write(
        _ origin: PrimedTensor, _ requirement: WeightContract.Requirement, _ random: inout RandomSource,
        _ sink: FileSink
    ) throws {
        switch origin {
        case .copy(let name):
            if try base.info(name).dtype == dtype {
                try base.withBytes(of: name) { try sink.write($0) }
            } else {
                try write(base.tensor(name, as: Float.self).elements, requirement, sink)
            }
        case .stack(let parts):
            for part in parts { try write(part, requirement, &random, sink) }
        case .gate(let output, let value):
            try writeGate(output, value, requirement, sink)
        case .normal(let rows):
            let row = requirement.count / max(requirement.shape[0], 1)
            for _ in 0..<(rows ?? requirement.shape[0]) {
                try write((0..<row).map { _ in Float(deviation * random.normal()) }, requirement, sink)
            }
        case .constant(let value):
            try write(Array(repeating: value, count: requirement.count), requirement, sink)
        case .decayRate:
            try write(
                (0..<requirement.count).map { _ in
                    var rate = 0.0
                    while rate == 0 { rate = random.uniform(in: 0...16) }
                    return Float(Double.log(rate))
                }, requirement, sink)
        case .stepBias:
            let range = Double.log(1e-3)...Double.log(0.1)
            try write(
                (0..<requirement.count).map { _ in
                    let step = max(Double.exp(random.uniform(in: range)), 1e-4)
                    return Float(step + Double.log(-Double.expMinusOne(-step)))
                }, requirement, sink)
        case .repetition:
            let (heads, shared) = (requirement.shape[0], requirement.shape[1])
            try write(
                (0..<heads * shared).map { $0 / shared / (heads / shared) == $0 % shared ? 1 : 0 }, requirement, sink)
        }
    }

    /// Row i is ½ (column i of W_O + a row of W_V). The sum is rounded to the format of the
    /// weights, as the official code's is; halving is then exact (but for the smallest halves).
    private func writeGate(
        _ output: String, _ value: String, _ requirement: WeightContract.Requirement, _ sink: FileSink
    ) throws {
        let (o, v) = (try base.tensor(output, as: Float.self), try base.tensor(value, as: Float.self))
        let (width, inner) = (o.shape[0], o.shape[1])
        let (group, headDim) = (configuration.headsPerKeyValueHead, configuration.headDim)
        for row in 0..<inner {
            let source = alignsHeads ? row / headDim / group * headDim + row % headDim : row / group
            // What the base holds is first brought to the format of the new model.
            let numbers = (0..<width).map { column in
                0.5 * rounded(rounded(o.elements[column * inner + row]) + rounded(v.elements[source * width + column]))
            }
            try write(numbers, requirement, sink)
        }
    }

    /// The nearest number of the new model's format.
    private func rounded(_ x: Float) -> Float {
        switch dtype {
        case .bf16: Float(BFloat16(x))
        case .f16: Float(halfBitPattern: x.halfBitPattern)
        default: x
        }
    }

    private func write(_ numbers: [Float], _ requirement: WeightContract.Requirement, _ sink: FileSink) throws {
        switch dtype {
        case .bf16:
            try numbers.map { BFloat16($0).bitPattern.littleEndian }.withUnsafeBytes { try sink.write($0) }
        case .f16:
            if let large = numbers.first(where: { $0.isFinite && !rounded($0).isFinite }) {
                throw InputError(
                    .value, in: requirement.name, expected: "numbers up to 65504, the largest of float16",
                    found: "\(large)",
                    remedy: "Choose bfloat16 or float32 for the new model.")
            }
            try numbers.map { $0.halfBitPattern.littleEndian }.withUnsafeBytes { try sink.write($0) }
        default:
            try numbers.map { $0.bitPattern.littleEndian }.withUnsafeBytes { try sink.write($0) }
        }
    }
}
