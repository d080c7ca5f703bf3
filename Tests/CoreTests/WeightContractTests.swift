import Foundation
import TestSupport
import Testing

@testable import DualityCore

/// Tensors in memory, for contracts to be held against.
private struct MemorySource: TensorSource {
    var place = "memory"
    var names: [String] = []
    var infos: [String: TensorInfo] = [:]
    var bytes: [String: [UInt8]] = [:]

    /// All tensors of a contract, zero everywhere.
    init(_ contract: WeightContract, dtype: DType = .bf16) {
        for requirement in contract.requirements { add(requirement.name, dtype, requirement.shape) }
    }

    mutating func add(_ name: String, _ dtype: DType, _ shape: [Int]) {
        let size = shape.reduce(1, *) * dtype.bits / 8
        names.append(name)
        infos[name] = TensorInfo(name: name, dtype: dtype, shape: shape, byteRange: 0..<size)
        bytes[name] = [UInt8](repeating: 0, count: size)
    }

    mutating func remove(_ name: String) {
        names.removeAll { $0 == name }
        infos[name] = nil
    }

    mutating func rename(_ name: String, to other: String) {
        guard let info = infos[name] else { return }
        remove(name)
        add(other, info.dtype, info.shape)
    }

    func find(_ name: String) -> TensorInfo? { infos[name] }
    func withBytes<Result>(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        try bytes[name, default: []].withUnsafeBytes(body)
    }
}

@Suite struct WeightContractTests {
    static func contract(_ changes: [String: JSON?] = [:]) throws -> WeightContract {
        try WeightContract(ConfigurationTests.configuration(changes))
    }

    @Test(arguments: ["qwen3_dense", "m2", "m2_rope", "m2_tied", "m2_tied_noqknorm_f32", "gdn", "gka", "swa"])
    func officialCheckpointsKeepTheContract(name: String) throws {
        let checkpoint = try Checkpoint(directory: Fixtures.path("models/\(name)"))
        let contract = try WeightContract(checkpoint.configuration)
        #expect(try contract.violations(of: checkpoint) == [])
        try contract.check(checkpoint, finite: true)
        #expect(Set(contract.requirements.map(\.name)) == Set(checkpoint.names))
    }

    @Test func theEmbeddedModelKeepsTheContract() throws {
        let checkpoint = try Checkpoint(directory: Fixtures.embeddedModel)
        try WeightContract(checkpoint.configuration).check(checkpoint, finite: true)
    }

    /// The counts of the released 8B model, derived by hand in the specification.
    @Test func theReleasedModelHasItsParameters() throws {
        let pattern = Array(repeating: "*-M2", count: 18).joined(separator: "-")
        let contract = try Self.contract([
            "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32,
            "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151_936,
            "hybrid_override_pattern": .string(pattern),
        ])
        func count(_ component: WeightContract.Component) -> Int {
            contract.requirements.filter { $0.component == component }.reduce(0) { $0 + $1.count }
        }
        #expect(count(.embedding) == 622_329_856)
        #expect(count(.head) == 622_329_856)
        #expect(count(.feedForward) == 5_435_817_984)
        #expect(count(.norms) == 294_912 + 4096)
        #expect(count(.attention) == 754_979_328)
        #expect(count(.mamba2) == 1_059_956_928)
        #expect(contract.requirements.reduce(0) { $0 + $1.count } == 8_495_712_960)
    }

    @Test func biasesAndTyingChangeWhatIsRequired() throws {
        let plain = Set(try Self.contract().requirements.map(\.name))
        let tied = Set(try Self.contract(["tie_word_embeddings": true]).requirements.map(\.name))
        #expect(plain.subtracting(tied) == ["lm_head.weight"] && tied.isSubset(of: plain))
        let biased = Set(try Self.contract(["attention_bias": true]).requirements.map(\.name))
        #expect(biased.subtracting(plain).count == 2 * 4)
        let mamba = Set(
            try Self.contract(["mamba2_config": ["use_qk_norm": false, "use_bias": true, "use_conv_bias": false]])
                .requirements.map(\.name))
        #expect(mamba.subtracting(plain).count == 3 * 2)
        #expect(plain.subtracting(mamba).count == 3 * 3)
    }

    @Test func everyViolationIsReportedAtOnceWithTheLikelyTypo() throws {
        let contract = try Self.contract()
        var source = MemorySource(contract)
        source.rename("model.layers.3.self_attn.q_norm.weight", to: "model.layers.3.self_attn.qnorm.weight")
        source.remove("model.layers.1.mamba.A_log")
        source.remove("model.norm.weight")
        source.add("model.norm.weight", .f8e4m3, [127])
        source.add("something.else", .f32, [1])
        #expect(
            try contract.violations(of: source) == [
                .missing("model.layers.1.mamba.A_log", shape: [4], similar: nil),
                .missing(
                    "model.layers.3.self_attn.q_norm.weight", shape: [32],
                    similar: "model.layers.3.self_attn.qnorm.weight"),
                .shape("model.norm.weight", expected: [128], found: [127]), .dtype("model.norm.weight", found: .f8e4m3),
                .extra("model.layers.3.self_attn.qnorm.weight", shape: [32]), .extra("something.else", shape: [1]),
            ])
        let error = #expect(throws: InputError.self) { try contract.check(source) }
        for word in ["A_log", "is it model.layers.3.self_attn.qnorm.weight", "[127]", "F8_E4M3"] {
            #expect(
                error?.description.contains(word) == true, "\(word) in \(error.map(String.init(describing:)) ?? "")")
        }
    }

    @Test func namesWithoutTheirPrefixAreNotTheContracts() throws {
        let contract = try Self.contract()
        var source = MemorySource(contract)
        for name in source.names where name.hasPrefix("model.") { source.rename(name, to: String(name.dropFirst(6))) }
        let error = #expect(throws: InputError.self) { try contract.check(source) }
        #expect(error?.kind == .missing, "\(String(describing: error))")
    }

    @Test func aTiedModelMayCarryTheSameHeadTwice() throws {
        let contract = try Self.contract(["tie_word_embeddings": true])
        var source = MemorySource(contract)
        source.add("lm_head.weight", .bf16, [512, 128])
        source.add("model.layers.0.self_attn.rotary_emb.inv_freq", .f32, [16])
        #expect(try contract.violations(of: source) == [])
        source.bytes["lm_head.weight"]?[77] = 1
        #expect(try contract.violations(of: source) == [.untiedHead])
    }

    /// The released siblings of the 8B model, 18 layers of attention and 18 of another kind.
    @Test(arguments: [("GDN", 8_497_885_056), ("GKA", 8_500_245_504), ("BMF", 9_255_224_832), ("SWA", 8_190_735_360)])
    func theSiblingsHaveTheirParameters(symbol: String, count: Int) throws {
        let pattern = Array(repeating: "*-\(symbol)", count: 18).joined(separator: "-")
        let contract = try Self.contract([
            "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32,
            "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151_936,
            "hybrid_override_pattern": .string(pattern), "bmojo_config": ["ssm_mixer": "gka"],
            "swa_config": ["window_size": 2048],
        ])
        #expect(contract.requirements.reduce(0) { $0 + $1.count } == count)
    }

    @Test func aSlidingWindowLayerMayBeCalledAttention() throws {
        let contract = try Self.contract([
            "hybrid_override_pattern": "*-SWA-SWA-*-M2", "swa_config": ["window_size": 8],
        ])
        var source = MemorySource(contract)
        for name in source.names where name.contains(".swa.") {
            source.rename(name, to: name.replacingOccurrences(of: ".swa.", with: ".self_attn."))
        }
        #expect(try !contract.violations(of: source).isEmpty)
        let adapted = contract.adapted(source)
        #expect(adapted.find("model.layers.1.swa.q_proj.weight")?.shape == [128, 128])
        #expect(try contract.violations(of: adapted) == [])
    }

    @Test(arguments: [
        (DType.bf16, [0x80, 0x7f]), (.f16, [0x00, 0xfc]), (.f32, [0, 0, 0xc0, 0x7f]),
        (.f64, [0, 0, 0, 0, 0, 0, 0xf0, 0x7f]),
    ])
    func aNumberThatIsNotFiniteIsNamedWithItsPlace(dtype: DType, pattern: [UInt8]) throws {
        let contract = try Self.contract()
        var source = MemorySource(contract, dtype: dtype)
        #expect(try contract.nonFiniteWeights(of: source) == [])
        let name = "model.layers.1.mamba.in_proj.weight"  // [260 + 128, 128] with 4 heads of 32 and 2 key/value heads
        let size = dtype.bits / 8
        for position in [300 * 128 + 5, 301 * 128] {
            source.bytes[name]?.replaceSubrange(position * size..<(position + 1) * size, with: pattern)
        }
        guard case .notFinite(name, let index, let value)? = try contract.nonFiniteWeights(of: source).first else {
            Issue.record("not found")
            return
        }
        #expect(index == [300, 5])
        #expect(!value.isFinite)
        let error = #expect(throws: InputError.self) { try contract.check(source, finite: true) }
        #expect(error?.kind == .notFinite)
        #expect(throws: Never.self) { try contract.check(source) }
    }
}
