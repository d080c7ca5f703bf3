//  A dense model in memory, to be primed.

import DualityConversion
import Foundation
import TestSupport
import Testing

@testable import DualityCore

/// The nearest number with 11 significant bits and no bit below 2^-24, ties to even: a half, from
/// its definition.
func half(_ x: Float) -> Float {
    let unit = Float(sign: .plus, exponent: max(x.exponent, -14) - 10, significand: 1)
    return x == 0 ? x : (x / unit).rounded(.toNearestOrEven) * unit
}

/// A dense model on disk with random weights, two key/value heads for four query heads.
struct DenseModel {
    let directory: String
    let checkpoint: Checkpoint

    static let members: JSON.Object = [
        "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "hidden_size": 24, "intermediate_size": 20,
        "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 30,
        "max_position_embeddings": 64, "rope_parameters": ["rope_type": "default", "rope_theta": 5_000_000],
        "quantization_config": ["bits": 8], "something_else": [1, 2],
    ]

    init(dtype: String = "bfloat16", changes: JSON.Object = [:], name: String = "dense") throws {
        let root = try Fixtures.temporaryDirectory()
        directory = root.appendingPathComponent(name).path
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        var object = Self.members
        object["dtype"] = .string(dtype)
        for (name, value) in changes.members { object[name] = value }
        try JSON.object(object).serialized().write(
            toFile: "\(directory)/config.json", atomically: true, encoding: .utf8)
        try "a tokenizer".write(toFile: "\(directory)/tokenizer.json", atomically: true, encoding: .utf8)
        let source = try RandomCheckpoint(HybridConfiguration(json: .object(object)))
        var file = SafetensorsWriter()
        for name in source.names {
            let tensor: Tensor<Float> = try source.tensor(name)
            switch dtype {
            case "bfloat16": try file.add(name, Tensor(rounding: tensor))
            case "float16":
                let bytes = tensor.elements.flatMap { x -> [UInt8] in
                    let bits = x.halfBitPattern
                    return [UInt8(bits & 255), UInt8(bits >> 8)]
                }
                try file.add(name, dtype: .f16, shape: tensor.shape, bytes: bytes)
            default: try file.add(name, tensor)
            }
        }
        try file.write(to: "\(directory)/model.safetensors")
        checkpoint = try Checkpoint(directory: directory)
    }

    /// The path of a model made from this one.
    func made(_ name: String = "made") -> String { (directory as NSString).deletingLastPathComponent + "/" + name }

    func primed(_ pattern: String, _ options: Priming.Options = Priming.Options()) throws -> Checkpoint {
        try Priming(directory: directory, pattern: pattern, options: options).write(to: made())
        let checkpoint = try Checkpoint(directory: made())
        try WeightContract(checkpoint.configuration).check(checkpoint, finite: true)
        return checkpoint
    }
}

extension TensorSource {
    func bits(_ name: String) throws -> [UInt8] { try withBytes(of: name) { Array($0) } }
    func floats(_ name: String) throws -> [Float] { try tensor(name, as: Float.self).elements }
}
