//  Priming: every tensor of the new model against the weight maps, bit for bit, on generated
//  models.

import DualityConversion
import Foundation
import TestSupport
import Testing

@testable import DualityCore

@Suite struct PrimingTests {
    /// `½ (W_Oᵀ + Rep(W_V))` with single rows repeated, every operation rounded to bfloat16,
    /// element by element.
    private func gate(
        _ base: some TensorSource, layer: Int, aligned: Bool = false,
        rounded: (Float) -> Float = { Float(BFloat16($0)) }
    ) throws -> [Float] {
        let o: Tensor<Float> = try base.tensor("model.layers.\(layer).self_attn.o_proj.weight")
        let v: Tensor<Float> = try base.tensor("model.layers.\(layer).self_attn.v_proj.weight")
        var gate: [Float] = []
        for row in 0..<32 {
            for column in 0..<24 {
                // Rows 0 and 1 read row 0 of v; aligned, rows of heads 0 and 1 read those of head
                // 0.
                let sum = o[column, row] + v[aligned ? row / 16 * 8 + row % 8 : row / 2, column]
                gate.append(rounded(sum) / 2)
            }
        }
        return gate
    }

    @Test func mambaLayersAreMappedBitForBit() throws {
        let base = try DenseModel()
        let primed = try base.primed("*-M2-*")
        let (old, new) = ("model.layers.1.self_attn.", "model.layers.1.mamba.")
        let row = 24 * 2
        let input = try primed.bits("\(new)in_proj.weight")
        func rows(_ range: Range<Int>) -> [UInt8] { Array(input[range.lowerBound * row..<range.upperBound * row]) }
        #expect(rows(32..<48) == (try base.checkpoint.bits("\(old)v_proj.weight")))
        #expect(rows(48..<64) == (try base.checkpoint.bits("\(old)k_proj.weight")))
        #expect(rows(64..<96) == (try base.checkpoint.bits("\(old)q_proj.weight")))
        let whole = try primed.floats("\(new)in_proj.weight")
        #expect(Array(whole[..<(32 * 24)]) == (try gate(base.checkpoint, layer: 1)))
        #expect(whole.count == 100 * 24 && Set(whole[(96 * 24)...]).count > 60, "four rows are drawn")
        for (ours, theirs) in [("out_proj", "o_proj"), ("B_norm", "k_norm"), ("C_norm", "q_norm")] {
            #expect(
                try primed.bits("\(new)\(ours).weight") == base.checkpoint.bits("\(old)\(theirs).weight"), "\(ours)")
        }
        #expect(try primed.floats("\(new)D") == [1, 1, 1, 1])
        #expect(try primed.floats("\(new)norm.weight").allSatisfy { $0 == 1 })
        #expect(try primed.floats("\(new)conv1d.bias").allSatisfy { $0 == 0 })
        #expect(try primed.floats("\(new)A_log").allSatisfy { $0 < 2.78 })
        // softplus of dt_bias is the step: between 1e-3 and 0.1, up to the rounding of bfloat16.
        #expect(try primed.floats("\(new)dt_bias").allSatisfy { (0.0009...0.101).contains(Float.softplus($0)) })
        // Everything with a name of its own is the base's, bit for bit; the attention of layer 1 is
        // gone.
        let shared = base.checkpoint.names.filter { !$0.hasPrefix(old) }
        for name in shared { #expect(try primed.bits(name) == base.checkpoint.bits(name), "\(name)") }
        #expect(!primed.contains("\(old)q_proj.weight"))
    }

    @Test(arguments: [("GDN", "gdn"), ("GKA", "gka")])
    func matrixStateLayersAreMappedBitForBit(symbol: String, attribute: String) throws {
        let base = try DenseModel(dtype: "float32")
        var options = Priming.Options()
        options.overrides = ["\(attribute)_config": ["kv_proj_rank": 3, "kv_learnable_residual": true]]
        let primed = try base.primed("*-*-\(symbol)", options)
        let (old, new) = ("model.layers.2.self_attn.", "model.layers.2.\(attribute).")
        for name in ["q_proj", "k_proj", "v_proj", "o_proj"] {
            #expect(try primed.bits("\(new)\(name).weight") == base.checkpoint.bits("\(old)\(name).weight"))
        }
        #expect(try primed.floats("\(new)g_proj.weight") == gate(base.checkpoint, layer: 2) { $0 })
        #expect(try primed.floats("\(new)k_rep") == [1, 0, 1, 0, 0, 1, 0, 1])
        #expect(try primed.floats("\(new)proj_v.linearB.weight").allSatisfy { $0 == 0 })
        #expect(try primed.floats("\(new)o_norm.weight").allSatisfy { $0 == 1 })
        if symbol == "GKA" { #expect(try primed.floats("\(new)alpha_proj.bias") == [0, 0, 0, 0]) }
        let drawn = try primed.floats("\(new)q_conv1d.weight")
        let deviation = (drawn.reduce(0) { $0 + $1 * $1 } / Float(drawn.count)).squareRoot()
        #expect((0.014...0.027).contains(deviation), "128 draws of deviation 0.02: \(deviation)")
    }

    @Test func fadingLayersTakeAttentionAndItsMixer() throws {
        let base = try DenseModel()
        var options = Priming.Options()
        (options.window, options.bmojoMixer, options.tiesAttention) = (7, "gdn", false)
        let primed = try base.primed("BMF-*-*", options)
        #expect(primed.configuration.bmojo.window == 7 && primed.configuration.bmojo.mixer == .gatedDeltaNet)
        let (old, new) = ("model.layers.0.self_attn.", "model.layers.0.bmojo_f.")
        for name in ["q_proj", "k_proj", "v_proj", "q_norm", "k_norm"] {
            for copy in [name, "\(name)_"] {
                #expect(
                    try primed.bits("\(new)bmojo_attn.\(copy).weight") == base.checkpoint.bits("\(old)\(name).weight"))
            }
        }
        #expect(try primed.bits("\(new)gdn.v_proj.weight") == base.checkpoint.bits("\(old)v_proj.weight"))
        #expect(try primed.floats("\(new)gdn.g_proj.weight") == gate(base.checkpoint, layer: 0))
    }

    @Test func headsCanBeAligned() throws {
        let base = try DenseModel()
        var options = Priming.Options()
        options.alignsHeads = true
        let primed = try base.primed("M2-*-*", options)
        let z = try primed.floats("model.layers.0.mamba.in_proj.weight")[..<(32 * 24)]
        let aligned = try gate(base.checkpoint, layer: 0, aligned: true)
        #expect(Array(z) == aligned)
        #expect(aligned != (try gate(base.checkpoint, layer: 0)))
    }

    @Test func halfPrecisionIsMappedAndRoundedTo() throws {
        // A base in float16 stays in it, bit for bit, its gates rounded as its numbers are.
        let base = try DenseModel(dtype: "float16")
        let primed = try base.primed("*-M2-GDN")
        #expect(primed.configuration.dtype == "float16")
        #expect(primed.names.allSatisfy { primed.find($0)?.dtype == .f16 })
        let old = "model.layers.2.self_attn."
        for name in ["q_proj", "o_proj"] {
            #expect(
                try primed.bits("model.layers.2.gdn.\(name).weight") == base.checkpoint.bits("\(old)\(name).weight"))
        }
        let gates = try primed.floats("model.layers.2.gdn.g_proj.weight")
        #expect(gates == (try gate(base.checkpoint, layer: 2, rounded: half).map(half)))

        // A base in another format is rounded to it, and what it cannot hold is refused.
        var options = Priming.Options()
        options.dtype = "float16"
        let wide = try DenseModel(dtype: "float32")
        let narrowed = try wide.primed("*-*-*", options)
        for name in narrowed.names {
            #expect(try narrowed.floats(name) == wide.checkpoint.floats(name).map(half), "\(name)")
        }
        var large = SafetensorsWriter()
        for name in wide.checkpoint.names where name != "model.norm.weight" {
            try large.add(name, from: wide.checkpoint)
        }
        try large.add("model.norm.weight", Tensor<Float>(repeating: 65520, shape: [24]))
        try large.write(to: "\(wide.directory)/model.safetensors")
        let error = #expect(throws: InputError.self) {
            try Priming(directory: wide.directory, pattern: "*-*-*", options: options).write(to: wide.made("large"))
        }
        #expect(error?.kind == .value && !FileManager.default.fileExists(atPath: wide.made("large")))
    }

    /// Replaces the matrices of attention by random 8-bit numbers with scales.
    ///
    /// - Returns: what they stand for, of every matrix: 2^(e - 7) (1 + m / 8) times the scale,
    ///   worked out in Double, in bfloat16.
    private func quantize(
        _ base: DenseModel, block: (rows: Int, columns: Int)?, named scaleName: String = "weight_scale_inv"
    ) throws -> RandomCheckpoint {
        var file = SafetensorsWriter()
        var random = RandomSource(seed: 5)
        var meant = try RandomCheckpoint(base.checkpoint.configuration)
        for name in base.checkpoint.names {
            guard name.hasSuffix("_proj.weight"), name.contains("self_attn") else {
                try file.add(name, from: base.checkpoint)
                continue
            }
            let shape = try base.checkpoint.info(name).shape
            let rows = block?.rows ?? shape[0]
            let columns = block?.columns ?? shape[1]
            let grid = [(shape[0] + rows - 1) / rows, (shape[1] + columns - 1) / columns]
            let bytes = (0..<shape[0] * shape[1]).map { _ in
                UInt8(random.integer(in: 0...126) + 128 * random.integer(in: 0...1))
            }
            let scales = (0..<grid[0] * grid[1]).map { _ in BFloat16(Float(random.uniform(in: 0.001...0.01))) }
            try file.add(name, dtype: .f8e4m3, shape: shape, bytes: bytes)
            try file.add(
                name.replacingOccurrences(of: "weight", with: scaleName),
                Tensor(shape: block == nil ? [] : grid, elements: scales))
            meant.set(
                name, shape,
                bytes.indices.map { i in
                    let (exponent, mantissa) = (Int(bytes[i] & 127) / 8, Double(bytes[i] % 8) / 8)
                    let size =
                        exponent == 0
                        ? 0x1p-6 * mantissa : Double(sign: .plus, exponent: exponent - 7, significand: 1 + mantissa)
                    let scale = scales[i / shape[1] / rows * grid[1] + i % shape[1] / columns]
                    return Float(BFloat16((bytes[i] < 128 ? size : -size) * Double(Float(scale))))
                })
        }
        try file.write(to: "\(base.directory)/model.safetensors")
        return meant
    }

    @Test(arguments: [true, false]) func eightBitBasesAreDequantised(inBlocks: Bool) throws {
        let quantization: JSON =
            inBlocks ? ["quant_method": "fp8", "weight_block_size": [7, 10]] : ["quant_method": "fp8"]
        let base = try DenseModel(changes: ["quantization_config": quantization])
        let meant = try quantize(base, block: inBlocks ? (7, 10) : nil)
        let primed = try base.primed("*-M2-*")
        let old = "model.layers.1.self_attn."
        let input = try primed.floats("model.layers.1.mamba.in_proj.weight")
        #expect(Array(input[(32 * 24)..<(48 * 24)]) == (try meant.floats("\(old)v_proj.weight")))
        #expect(Array(input[(64 * 24)..<(96 * 24)]) == (try meant.floats("\(old)q_proj.weight")))
        #expect(Array(input[..<(32 * 24)]) == (try gate(meant, layer: 1)))
        for name in ["q_proj", "k_proj", "v_proj", "o_proj"].map({ "model.layers.2.self_attn.\($0).weight" }) {
            #expect(try primed.floats(name) == meant.floats(name), "\(name)")
        }
        #expect(primed.names.allSatisfy { primed.find($0)?.dtype == .bf16 && !$0.hasSuffix("scale_inv") })
        #expect(try Priming(directory: base.directory, pattern: "*-*-*").dropped == [])
    }

    @Test func eightBitBasesWithoutTheirScalesAreRefused() throws {
        func error(_ quantization: JSON, block: (Int, Int)?, named name: String = "weight_scale_inv") throws
            -> InputError?
        {
            let base = try DenseModel(changes: ["quantization_config": quantization])
            _ = try quantize(base, block: block, named: name)
            return #expect(throws: InputError.self) { try Priming(directory: base.directory, pattern: "*-*-*") }
        }
        let sizes: JSON = ["weight_block_size": [7, 10]]
        #expect(try error(sizes, block: (7, 10), named: "scales")?.kind == .dtype)
        #expect(try error(sizes, block: (8, 10))?.kind == .shape)
        #expect(try error([:], block: (8, 10))?.kind == .shape)
        #expect(try error(["weight_block_size": [7]], block: (7, 10))?.kind == .json)
        #expect(try error(["weight_block_size": [7, 0]], block: (7, 10))?.kind == .json)
    }

    @Test func theConfigurationIsTheBasesWithItsNewLayers() throws {
        let base = try DenseModel()
        let primed = try base.primed("*-M2-GKA")
        let config = try JSON(contentsOf: base.made() + "/config.json")
        #expect(config["model_type"] == "hybrid_qwen3" && config["hybrid_override_pattern"] == "*-M2-GKA")
        #expect(config["layer_types"] == ["*", "M2", "GKA"] && config["something_else"] == [1, 2])
        #expect(config["quantization_config"] == nil && config["mamba2_config"]?["ssm_cfg"]?["ngroups"] == 4)
        #expect(primed.configuration.warnings == [] && primed.configuration.rope.theta == 5e6)
        #expect(FileManager.default.fileExists(atPath: base.made() + "/tokenizer.json"))
        // The same seed gives the same files; another seed gives others.
        let first = try primed.bits("model.layers.1.mamba.conv1d.weight")
        try Priming(directory: base.directory, pattern: "*-M2-GKA").write(to: base.made("again"))
        #expect(try Checkpoint(directory: base.made("again")).bits("model.layers.1.mamba.conv1d.weight") == first)
        var options = Priming.Options()
        (options.seed, options.shardBytes) = (1, 4000)
        try Priming(directory: base.directory, pattern: "*-M2-GKA", options: options).write(to: base.made("other"))
        let other = try Checkpoint(directory: base.made("other"))
        #expect(try other.bits("model.layers.1.mamba.conv1d.weight") != first)
        #expect(other.files.count > 5 && other.warnings == [])
        try WeightContract(other.configuration).check(other, finite: true)
    }

    @Test func whatCannotBePrimedIsRefusedAndLeavesNothing() throws {
        let base = try DenseModel()
        for pattern in [nil, "*-M2", "*-M2-XX", "*-SWA-*", "*-M2*-*", ""] as [String?] {
            #expect(throws: InputError.self, "\(pattern ?? "none")") {
                try Priming(directory: base.directory, pattern: pattern).write(to: base.made())
            }
        }
        try "here".write(toFile: base.made("taken"), atomically: true, encoding: .utf8)
        #expect(throws: InputError.self) {
            try Priming(directory: base.directory, pattern: "*-*-*").write(to: base.made("taken"))
        }
        let left = try FileManager.default.contentsOfDirectory(atPath: base.made(""))
        #expect(left.sorted() == ["dense", "taken"])
        #expect(throws: InputError.self) { try Priming(directory: base.made(), pattern: "*-*-*") }
    }

    @Test func aModelInDistillationIsFinished() throws {
        // The fused model: a hybrid with the teacher's attention still beside every mixer.
        let base = try DenseModel(dtype: "float32")
        let student = try base.primed("*-M2-GDN")
        let fused = base.made("fused")
        try FileManager.default.copyItem(atPath: base.made(), toPath: fused)
        var file = SafetensorsWriter()
        for name in student.names { try file.add(name, from: student) }
        for name in base.checkpoint.names where !student.contains(name) { try file.add(name, from: base.checkpoint) }
        try file.write(to: "\(fused)/model.safetensors")
        guard case .object(var config) = try JSON(contentsOf: "\(fused)/config.json") else { return }
        config["layer_types"] = ["*DA", "M2*", "GDN*"]
        config["hybrid_override_pattern"] = "*DA-M2*-GDN*"
        try JSON.object(config).serialized().write(
            toFile: "\(fused)/config.json", atomically: true, encoding: .utf8)

        let conversion = try Priming(directory: fused, pattern: nil)
        #expect(conversion.isConversion && conversion.dropped.count == 12)
        try conversion.write(to: base.made("finished"))
        let finished = try Checkpoint(directory: base.made("finished"))
        #expect(finished.configuration.layers == [.attention, .mamba2, .gatedDeltaNet])
        #expect(Set(finished.names) == Set(student.names) && finished.configuration.dtype == "bfloat16")
        for name in student.names {
            #expect(try finished.floats(name) == student.floats(name).map { Float(BFloat16($0)) }, "\(name)")
        }
        #expect(throws: InputError.self) { try Priming(directory: fused, pattern: "*-M2-GDN") }
        try JSON.object(config).serialized().replacingOccurrences(of: "GDN*", with: "GKA*").write(
            toFile: "\(fused)/config.json", atomically: true, encoding: .utf8)
        let error = #expect(throws: InputError.self) { try Priming(directory: fused, pattern: nil) }
        #expect(error?.kind == .missing, "a student layer that is not there")
    }
}
