//  Files: tensors, configurations, tokenizers, packed models, caches, suites and dumps.

import DualityCore
import DualityInference
import DualityQuant
import DualityReference
import DualityVerify

extension FuzzTarget {
    /// A file may promise more numbers than it is worth reading in a run.
    private static let readLimit = 1 << 16

    func readJSON(_ bytes: [UInt8]) throws {
        let json = try bytes.withUnsafeBytes { try JSON(parsing: $0, place: "input") }
        let again = try JSON(parsing: json.serialized())
        precondition(again == json, "what was written reads otherwise")
    }

    func readTensors(_ path: String) throws {
        let file = try TensorFile(path: path)
        for name in file.names.prefix(64) {
            let info = try file.info(name)
            guard info.byteRange.count <= Self.readLimit else { continue }
            do {
                let tensor: Tensor<Double> = try file.tensor(name)
                precondition(tensor.count == info.shape.reduce(1, *), "another number of elements")
            } catch is InputError {}
            do { _ = try file.integers(name) } catch is InputError {}
        }
    }

    func readIndex(_ bytes: [UInt8], _ folder: FuzzFolder) throws {
        _ = try folder.write(bytes, "model/model.safetensors.index.json")
        let files = try WeightFiles(directory: "\(folder.path)/model")
        for name in files.names.prefix(64) {
            let tensor: Tensor<Float> = try files.tensor(name)
            precondition(tensor.count >= 0)
        }
    }

    func readConfiguration(_ bytes: [UInt8]) throws {
        let json = try bytes.withUnsafeBytes { try JSON(parsing: $0, place: "config.json") }
        let configuration = try HybridConfiguration(json: json)
        let contract = try WeightContract(configuration)
        let inventory = ModelInventory(contract)
        precondition(inventory.parts.allSatisfy { $0.parameters >= 0 }, "a part with a negative size")
        for tokens in [0, 1, 4096, 1 << 20] { _ = configuration.cacheSize(tokens: tokens).bytes(keyValueBits: 16) }
        for precision in EnginePrecision.allCases {
            let plan = QuantOptions(precision).plan(for: configuration)
            do { _ = try PackedInventory(configuration, plan).byteCount } catch {}
        }
        try QuantModel.checkLayers(configuration, place: "config.json")
    }

    func readGenerationDefaults(_ bytes: [UInt8], _ folder: FuzzFolder) throws {
        _ = try folder.write(bytes, "model/generation_config.json")
        _ = try GenerationDefaults(directory: "\(folder.path)/model")
    }

    func readTokenizer(_ path: String) throws {
        try use(Tokenizer(file: path))
    }

    /// `vocab.json` and `merges.txt`, a zero byte between them.
    func readVocabulary(_ bytes: [UInt8], _ folder: FuzzFolder) throws {
        let parts = bytes.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
        _ = try folder.write(Array(parts[0]), "suite/vocab.json")
        _ = try folder.write(parts.count > 1 ? Array(parts[1]) : [], "suite/merges.txt")
        try use(Tokenizer(directory: "\(folder.path)/suite"))
    }

    private func use(_ tokenizer: Tokenizer) throws {
        let text = "Hello <|im_start|>he\u{301} 1234\n\n\u{1F98A}  end"
        let ids = tokenizer.encode(text)
        _ = try tokenizer.decode(ids)
        _ = tokenizer.encode("he", allowSpecial: false)
    }

    func readPacked(_ bytes: [UInt8], _ folder: FuzzFolder) throws {
        _ = try folder.write(bytes, "packed/model.packed.safetensors")
        let packed = try PackedCheckpoint(directory: "\(folder.path)/packed")
        try packed.checkTables()
        let options = QuantOptions(plan: packed.plan, pool: FuzzTarget.pool)
        let model = try QuantModel(packed, options: options)
        var cache = model.makeCache()
        _ = try model.extend(&cache, by: [1, 2])
    }

    /// One thread computes whatever is computed.
    private static let pool = ThreadPool(threads: 1)

    func readCache(_ bytes: [UInt8], _ folder: FuzzFolder) throws {
        let path = try folder.write(bytes, "cache.safetensors")
        let cache = try HybridCache<Float>(path: path, configuration: folder.configuration)
        let file = try SafetensorsFile(path: path)
        _ = try QuantCache(
            file, configuration: folder.configuration, keyValues: .bf16, tokenCount: cache.tokenCount)
    }

    func readManifest(_ bytes: [UInt8], _ folder: FuzzFolder) throws {
        _ = try folder.write(bytes, "suite/manifest.json")
        let suite = try SuiteDirectory(path: "\(folder.path)/suite")
        _ = try Verifier(diagnoses: false).verify(suite, against: "\(folder.path)/suite")
    }

    func readDump(_ bytes: [UInt8], _ folder: FuzzFolder) throws {
        let dump = try Dump(path: folder.write(bytes, "dump.safetensors"))
        _ = try Verifier(diagnoses: false).verify(dump)
    }
}
