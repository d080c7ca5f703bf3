//  A hybrid model from a dense one: its attention becomes the beginning of other layers, everything
//  else stays. And the way back from a model in distillation, which carries both: the finished
//  layers are kept, the teacher's attention goes.
//
//      dense    config + pattern  ->  config of the hybrid     weights: by PrimedTensor
//      fused    *DA -> *,  X* -> X,  A>B -> B                  weights: those the standard model has, by name
//
//  A freshly primed layer does not approximate the attention it came from (its convolutions begin
//  near 0); it is where distillation starts. `*` and SWA layers are the exceptions: they are the
//  attention. 8-bit bases are read with their block scales (BlockScaledWeights.swift) and
//  everything is in the format of the new model before it is mapped.
//
//  Weights are streamed from the mapped base to the new files; the new directory appears under its
//  name when all of it is on the disk.
//
//  Source: awslabs/hybrid-model-factory, priming/hybridize_qwen.py, priming/utils.py,
//  priming/fused_to_standard.py.

import DualityCore
import Foundation

/// A model to be made from another.
public struct Priming: Sendable {
    /// What the pattern alone does not say.
    public struct Options: Sendable {
        /// Of everything that is drawn.
        public var seed: UInt64 = 0
        /// Repeats whole heads of W_V in the gates, instead of single rows as the official code
        /// does.
        public var alignsHeads = false
        /// W of SWA and B'MOJO-F layers, which has no default.
        public var window: Int?
        /// `mamba2`, `gdn` or `gka`, inside B'MOJO-F layers.
        public var bmojoMixer = "mamba2"
        /// Whether B'MOJO-F layers share their projections.
        public var tiesAttention = true
        /// Members to put into the new config.json, such as `{"gka_config": {"num_iter": 20}}`;
        /// objects are merged.
        public var overrides = JSON.Object()
        /// `bfloat16`, `float16` or `float32`; nil for the base model's own.
        public var dtype: String?
        /// The most bytes of tensors in a file.
        public var shardBytes = 5_000_000_000

        public init() {}
    }

    /// The configuration of the new model.
    public let configuration: HybridConfiguration
    let json: JSON
    let base: any TensorSource
    let directory: String
    let contract: WeightContract
    let options: Options
    let dtype: DType
    /// Whether the base is a model in distillation.
    public let isConversion: Bool
    /// Peculiarities worth telling a person, a sentence each.
    public let warnings: [String]

    /// Reads the base's configuration and opens its weights; nothing is written yet.
    ///
    /// - Parameters:
    ///   - directory: a dense model, or a fused one.
    ///   - pattern: `*-M2-*-M2`, one symbol a layer; nil for a fused model, which has its own.
    /// - Throws: `InputError`: what is wrong with the base, the pattern or the options.
    public init(directory: String, pattern: String?, options: Options = Options()) throws {
        try ModelDirectory(directory).requireConfiguration()
        let place = ModelDirectory(directory).path("config.json")
        let original = try JSONFields(JSON(contentsOf: place), place: place)
        let fused = try LayerPattern.standard(original)
        let symbols = try Self.symbols(pattern, fused, place: place)
        isConversion = fused != nil

        json = .object(try PrimedConfiguration(original, symbols: symbols, isConversion: fused != nil, options).object)
        configuration = try HybridConfiguration(json: json, place: "the new config.json")
        contract = try WeightContract(configuration)
        self.directory = directory
        self.options = options
        // A fused model's pattern cannot be a configuration; its weights are opened on their own.
        let files = try WeightFiles(directory: directory)
        base = try BlockScaledWeights(files, quantization: original.fields("quantization_config"))
        let stored = files.names.compactMap { files.find($0)?.dtype }.filter { WeightContract.dtypes.contains($0) }
        dtype = try Self.dtype(options.dtype ?? (fused != nil ? "bfloat16" : configuration.dtype), stored: stored)
        warnings = configuration.warnings + files.warnings
        try checkBase()
    }

    /// The layer symbols of the new model.
    private static func symbols(_ pattern: String?, _ fused: [String]?, place: String) throws(InputError) -> [String] {
        switch (pattern, fused) {
        case (let pattern?, nil):
            return pattern.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
        case (nil, let fused?): return fused
        case (nil, nil):
            throw InputError(
                .missing, in: place, expected: "a pattern for the new layers, such as *-M2-*-M2", found: "none",
                remedy: "Give one with --pattern; only a model in distillation has its own.")
        case (.some, .some):
            throw InputError(
                .value, in: place, expected: "no pattern, as this model in distillation has its own", found: "a pattern"
            )
        }
    }

    /// The format that is named, or else that of the base's first tensor.
    private static func dtype(_ name: String?, stored: [DType]) throws(InputError) -> DType {
        let names: [DType: String] = [.bf16: "bfloat16", .f16: "float16", .f32: "float32"]
        let first = stored.first ?? .bf16
        let found = name ?? names[first] ?? first.rawValue
        guard let dtype = names.first(where: { $0.value == found })?.key else {
            throw InputError(
                .unsupported, in: "dtype of the new model", expected: "bfloat16, float16 or float32", found: found,
                remedy: "Choose one of them with --dtype.")
        }
        return dtype
    }

    private func origin(of requirement: WeightContract.Requirement) -> PrimedTensor {
        configuration.origin(of: requirement) { base.contains($0) }
    }

    /// Everything that will be copied must be there, in the shape it is copied to.
    private func checkBase() throws(InputError) {
        for requirement in contract.requirements {
            let origin = origin(of: requirement)
            if isConversion, origin != .copy(requirement.name) { throw base.missing(requirement.name) }
            for (name, shape) in sources(of: origin, requirement) {
                let info = try base.info(name)
                guard WeightContract.dtypes.contains(info.dtype) else {
                    let scale = BlockScaledWeights.scaleName(of: name)
                    throw InputError(
                        .dtype, in: "\(base.place): \(name)", expected: "a floating-point format of 16 bits or more",
                        found: info.dtype.rawValue,
                        remedy: BlockScaledWeights.needsScales(info.dtype)
                            ? "8-bit weights are read with their scales, \(scale), and there are none."
                            : "Dequantise the base model first.")
                }
                guard info.shape == shape else {
                    throw InputError(
                        .shape, in: "\(base.place): \(name)", expected: "\(shape)", found: "\(info.shape)")
                }
            }
        }
    }

    private func sources(
        of origin: PrimedTensor, _ requirement: WeightContract.Requirement
    ) -> [(name: String, shape: [Int])] {
        let (width, inner, shared) = (
            configuration.hiddenSize, configuration.innerSize, configuration.keyValueSize
        )
        switch origin {
        case .copy(let name): return [(name, requirement.shape)]
        case .gate(let output, let value): return [(output, [width, inner]), (value, [shared, width])]
        case .stack(let parts):
            return parts.flatMap { part -> [(name: String, shape: [Int])] in
                guard case .copy(let name) = part else { return sources(of: part, requirement) }
                return [(name, [name.hasSuffix("q_proj.weight") ? inner : shared, width])]
            }
        case .normal, .constant, .decayRate, .stepBias, .repetition: return []
        }
    }

    /// Tensors of the base that the new model has no use for.
    public var dropped: [String] {
        var used = Set<String>()
        for requirement in contract.requirements {
            for source in sources(of: origin(of: requirement), requirement) { used.insert(source.name) }
        }
        return base.names.filter { !used.contains($0) }
    }

    /// Writes the new model's directory: configuration, weights, and the base's tokenizer and other
    /// small files.
    ///
    /// - Parameters:
    ///   - output: a path where nothing is yet.
    ///   - progress: is told the tensors written and their number.
    /// - Throws: `InputError` when there is something already, or it cannot be written; nothing is
    ///   left behind then.
    /// - Complexity: reads and writes every weight once; the memory of the largest two matrices of
    ///   a layer.
    public func write(to output: String, progress: ((Int, Int) -> Void)? = nil) throws {
        let numbers = PrimedNumbers(
            base: base, configuration: configuration, dtype: dtype,
            deviation: json["initializer_range"]?.double ?? 0.02, alignsHeads: options.alignsHeads, seed: options.seed)
        try createDirectoryAtomically(at: output) { path in
            try writeAtomically(to: "\(path)/config.json") { try $0.write(json.serialized(indented: true) + "\n") }
            var shards = ShardedWriter(directory: path, shardBytes: options.shardBytes)
            var done = 0
            for requirement in contract.requirements {
                let origin = origin(of: requirement)
                try shards.add(requirement.name, dtype: dtype, shape: requirement.shape) { sink in
                    try numbers.write(requirement, origin, to: sink)
                    done += 1
                    progress?(done, contract.requirements.count)
                }
            }
            try shards.finish()
            for name in ModelDirectory(directory).names.sorted() where Self.isAuxiliary(name) {
                let (source, copy) = (ModelDirectory(directory).path(name), "\(path)/\(name)")
                var isDirectory: ObjCBool = false
                guard FileManager.default.fileExists(atPath: source, isDirectory: &isDirectory), !isDirectory.boolValue
                else { continue }
                guard let data = FileManager.default.contents(atPath: source) else {
                    throw InputError.system(in: source, expected: "a file that can be read")
                }
                try writeAtomically(to: copy) { sink in try data.withUnsafeBytes { try sink.write($0) } }
            }
        }
    }

    /// Tokenizer, templates, licence and the like: everything that holds neither weights nor their
    /// description.
    private static func isAuxiliary(_ name: String) -> Bool {
        let weights = [".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".index.json"]
        return name != "config.json" && !name.hasPrefix(".") && !weights.contains { name.hasSuffix($0) }
    }
}
