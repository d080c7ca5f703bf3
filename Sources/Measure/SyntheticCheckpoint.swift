//  A checkpoint of a given shape with seeded random weights: for measuring a model's speed without
//  its weights.
//
//  Matrices are bfloat16, normal with standard deviation 0.02 (down to that of o_proj, out_proj and
//  down_proj over sqrt(2 layers), so that the residual stream keeps its size). Each row is a
//  window, at a random place, into one pool of normal numbers, so that they come at the speed of
//  copying. Norm weights, decays, steps and taps are drawn in the range that trained models have;
//  nothing is denormal.

import DualityCore
import DualityQuant
import Foundation

/// Random weights that look like a checkpoint.
public struct SyntheticCheckpoint: TensorSource {
    public let place = "synthetic weights"
    public let names: [String]
    public let configuration: HybridConfiguration
    private let infos: [String: TensorInfo]
    private let seed: UInt64
    /// Normal numbers of unit deviation, as long as the widest row and more.
    private let pool: [BFloat16]
    /// The same, scaled down for the projections that end a sublayer.
    private let outputPool: [BFloat16]

    /// - Throws: `InputError` for layers that the weight contract does not have.
    public init(_ configuration: HybridConfiguration, seed: UInt64) throws(InputError) {
        self.configuration = configuration
        self.seed = seed
        let requirements = try WeightContract(configuration).requirements
        names = requirements.map(\.name)
        var infos: [String: TensorInfo] = [:]
        for requirement in requirements {
            infos[requirement.name] = TensorInfo(
                name: requirement.name, dtype: .bf16, shape: requirement.shape, byteRange: 0..<2 * requirement.count)
        }
        self.infos = infos
        let widest = requirements.filter { $0.shape.count == 2 }.map { $0.shape[1] }.max() ?? 1
        var random = RandomSource(seed: seed).stream("pool")
        let normals = (0..<(1 << 18) + widest).map { _ in Float(random.normal()) * 0.02 }
        let scale = 1 / Float(2 * configuration.layers.count).squareRoot()
        pool = normals.map { BFloat16($0) }
        outputPool = normals.map { BFloat16($0 * scale) }
    }

    public func find(_ name: String) -> TensorInfo? { infos[name] }

    public func withBytes<Result>(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        let info = try info(name)
        var random = RandomSource(seed: seed).stream(name)
        let numbers = info.shape.count == 2 ? matrix(info, &random) : vector(info, &random)
        return try numbers.withUnsafeBytes { try body($0) }
    }

    private func matrix(_ info: TensorInfo, _ random: inout RandomSource) -> [BFloat16] {
        let (rows, columns) = (info.shape[0], info.shape[1])
        let endsSublayer = ["o_proj.weight", "out_proj.weight", "down_proj.weight"].contains { info.name.hasSuffix($0) }
        return [BFloat16](unsafeUninitializedCapacity: rows * columns) { buffer, count in
            (endsSublayer ? outputPool : pool).withUnsafeBufferPointer { pool in
                guard let source = pool.baseAddress, let target = buffer.baseAddress else { return }
                for row in 0..<rows {
                    let offset = random.integer(in: 0...pool.count - columns)
                    (target + row * columns).initialize(from: source + offset, count: columns)
                }
            }
            count = rows * columns
        }
    }

    private func vector(_ info: TensorInfo, _ random: inout RandomSource) -> [BFloat16] {
        (0..<info.count).map { _ in
            let value: Double
            if info.name.hasSuffix("A_log") {
                value = log(random.uniform(in: 1...16))
            } else if info.name.hasSuffix("dt_bias") {
                // The inverse of softplus for steps between 0.001 and 0.1.
                let step = exp(random.uniform(in: log(0.001)...log(0.1)))
                value = step + log(-expm1(-step))
            } else if info.name.hasSuffix("conv1d.weight") {
                value = 0.3 * random.normal()
            } else if info.name.hasSuffix("bias") {
                value = 0.02 * random.normal()
            } else {
                value = 1 + 0.05 * random.normal()  // norms, D
            }
            return BFloat16(value)
        }
    }
}
