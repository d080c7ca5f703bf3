//  Models that exist nowhere: every tensor of a configuration's contract, filled with seeded random
//  numbers.

import DualityCore

/// A checkpoint in memory.
public struct RandomCheckpoint: TensorSource {
    public let place = "random checkpoint"
    public private(set) var names: [String] = []
    private var infos: [String: TensorInfo] = [:]
    private var values: [String: [Float]] = [:]

    /// Matrices have entries of standard deviation 1.2 / sqrt(columns), so that activations keep
    /// their size; everything else is what trained models have: norms near 1, A_log near 0, small
    /// biases.
    public init(_ configuration: HybridConfiguration, seed: UInt64 = 1) throws {
        let source = RandomSource(seed: seed)
        for requirement in try WeightContract(configuration).requirements {
            var stream = source.stream(requirement.name)
            let deviation =
                requirement.shape.count >= 2 ? 1.2 / Double(requirement.count / requirement.shape[0]).squareRoot() : 0.2
            let isNorm = requirement.name.contains("norm") || requirement.name.hasSuffix(".D")
            let mean = isNorm ? 1.0 : requirement.name.hasSuffix("dt_bias") ? -2 : 0
            set(
                requirement.name, requirement.shape,
                (0..<requirement.count).map { _ in Float(mean + deviation * stream.normal()) })
        }
    }

    /// Adds or replaces a tensor.
    public mutating func set(_ name: String, _ shape: [Int], _ elements: [Float]) {
        if infos[name] == nil { names.append(name) }
        infos[name] = TensorInfo(name: name, dtype: .f32, shape: shape, byteRange: 0..<4 * elements.count)
        values[name] = elements
    }

    /// Gives a tensor another name.
    public mutating func rename(_ name: String, to other: String) {
        guard let info = infos[name], let elements = values[name] else { return }
        names.removeAll { $0 == name }
        infos[name] = nil
        values[name] = nil
        set(other, info.shape, elements)
    }

    public func find(_ name: String) -> TensorInfo? { infos[name] }

    public func withBytes<Result>(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        _ = try info(name)
        return try values[name, default: []].withUnsafeBytes(body)
    }

    /// Writes the weights and nothing else.
    public func write(to path: String) throws {
        var file = SafetensorsWriter()
        for name in names { try file.add(name, from: self) }
        try file.write(to: path)
    }
}
