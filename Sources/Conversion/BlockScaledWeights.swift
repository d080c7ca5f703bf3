//  8-bit weights with block scales, read as the numbers they stand for.
//
//      W[i, j] = q[i, j] s[i div b₀, j div b₁]
//
//  | symbol | where                                                 | shape                                                    |
//  |--------|-------------------------------------------------------|----------------------------------------------------------|
//  | q      | X.weight, in F8_E4M3 or F8_E5M2                       | [out, in]                                                |
//  | s      | X.weight_scale_inv, in any real format                | [ceil(out/b₀), ceil(in/b₁)], or one number without b     |
//  | b      | config.json: quantization_config.weight_block_size    | two numbers                                              |
//
//  Despite its name s multiplies: it is the inverse of what the weights were multiplied by to
//  become q. The product is formed in float32. q has four significant bits, so with scales in
//  bfloat16 it is exact, and rounding it to the new model's format is the only rounding.
//
//  Source: awslabs/hybrid-model-factory, priming/utils.py; DeepSeek-V3 (arXiv 2412.19437), section
//  3.3.

import DualityCore
import Foundation

/// A checkpoint whose 8-bit matrices appear in float32, without their scales.
struct BlockScaledWeights: TensorSource {
    private let source: any TensorSource
    /// The rows and columns of a block; nil where a scale belongs to a whole matrix.
    private let block: (rows: Int, columns: Int)?
    private let scaled: Set<String>
    let names: [String]

    var place: String { source.place }

    /// Whether a format means nothing without scales.
    static func needsScales(_ dtype: DType) -> Bool { dtype == .f8e4m3 || dtype == .f8e5m2 }

    static func scaleName(of name: String) -> String { "\(name)_scale_inv" }

    /// - Parameter quantization: `quantization_config` of the checkpoint.
    /// - Throws: `InputError`: `.shape` for scales that do not fit their matrix, `.dtype` for
    ///   scales that are no numbers, `.json` for block sizes that are none.
    init(_ source: any TensorSource, quantization: JSONFields?) throws(InputError) {
        self.source = source
        block = try Self.block(quantization)
        let scaled = Set(
            source.names.filter { name in
                source.find(name).map { Self.needsScales($0.dtype) } == true
                    && source.contains(Self.scaleName(of: name))
            })
        self.scaled = scaled
        let scales = Set(scaled.map(Self.scaleName))
        names = source.names.filter { !scales.contains($0) }
        for name in scaled.sorted() { try check(name) }
    }

    private static func block(_ quantization: JSONFields?) throws(InputError) -> (rows: Int, columns: Int)? {
        guard let quantization, let value = quantization["weight_block_size"], value != .null else { return nil }
        guard case .array(let sizes) = value, sizes.count == 2, let rows = sizes[0].int, let columns = sizes[1].int,
            rows > 0, columns > 0
        else {
            throw InputError(
                .json, in: quantization.place(of: "weight_block_size"), expected: "rows and columns of a block",
                found: value.serialized())
        }
        return (rows, columns)
    }

    private func check(_ name: String) throws(InputError) {
        let (weight, scale) = (try source.info(name), try source.info(Self.scaleName(of: name)))
        guard scale.dtype.isReal, !scale.dtype.isInteger else {
            throw InputError(
                .dtype, in: "\(place): \(scale.name)", expected: "real numbers", found: scale.dtype.rawValue)
        }
        guard weight.shape.count == 2 else {
            throw InputError(
                .shape, in: "\(place): \(name)", expected: "a matrix, as it has block scales", found: "\(weight.shape)")
        }
        guard let block else {
            guard scale.count == 1 else {
                throw InputError(
                    .shape, in: "\(place): \(scale.name)", expected: "one scale for the matrix",
                    found: "\(scale.shape)",
                    remedy: "Scales of blocks need quantization_config.weight_block_size in config.json.")
            }
            return
        }
        let expected = [
            (weight.shape[0] + block.rows - 1) / block.rows, (weight.shape[1] + block.columns - 1) / block.columns,
        ]
        guard scale.shape == expected else {
            throw InputError(
                .shape, in: "\(place): \(scale.name)",
                expected: "\(expected), a scale for every \(block.rows) x \(block.columns) of \(weight.shape)",
                found: "\(scale.shape)")
        }
    }

    func find(_ name: String) -> TensorInfo? {
        guard let info = source.find(name), scaled.contains(name) else { return source.find(name) }
        return TensorInfo(name: name, dtype: .f32, shape: info.shape, byteRange: 0..<4 * info.count)
    }

    /// - Complexity: O(elements) time and memory for a scaled matrix, which is made anew at every
    ///   call.
    func withBytes<Result>(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        guard scaled.contains(name) else { return try source.withBytes(of: name, body) }
        var weight: Tensor<Float> = try source.tensor(name)
        let scale: Tensor<Float> = try source.tensor(Self.scaleName(of: name))
        let (rows, columns) = (weight.shape[0], weight.shape[1])
        let block = block ?? (max(rows, 1), max(columns, 1))
        let blocks = (columns + block.columns - 1) / block.columns
        for i in 0..<rows {
            let first = i / block.rows * blocks
            for j in 0..<columns { weight.elements[i * columns + j] *= scale.elements[first + j / block.columns] }
        }
        return try weight.elements.map { $0.bitPattern.littleEndian }.withUnsafeBytes(body)
    }
}
