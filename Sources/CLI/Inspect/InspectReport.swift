//  What `duality inspect` found, as text and as JSON.

import DualityCore
import DualityMeasure
import DualityQuant
import Foundation

struct InspectReport {
    let directory: String
    let configuration: HybridConfiguration
    /// Nil when the directory holds no weights as checkpoints have them.
    private let checkpoint: Checkpoint?
    /// The weights as the fast engine packs them, where there are no others.
    private let packed: InspectPacked?
    private let inventory: ModelInventory
    private let violations: [WeightContract.Violation]

    /// Lengths at which the caches are shown.
    private static let lengths = [("1K", 1 << 10), ("32K", 1 << 15), ("128K", 1 << 17)]

    init(directory: String, readsWeights: Bool) throws {
        self.directory = directory
        configuration = try HybridConfiguration(directory: directory)
        let checkpoint = try Checkpoint.holdsWeights(directory) ? Checkpoint(directory: directory) : nil
        self.checkpoint = checkpoint
        let contract = try WeightContract(configuration)
        let source = checkpoint.map { contract.adapted($0) }
        let isPacked = checkpoint == nil && PackedCheckpoint.isPacked(directory)
        let packed = isPacked ? try InspectPacked(directory: directory, readsWeights: readsWeights) : nil
        self.packed = packed
        inventory = ModelInventory(contract) { source?.find($0.name)?.byteCount ?? packed?.byteCount($0) }
        if let source {
            let structure = try contract.violations(of: source)
            violations = structure.filter(\.isError) + (readsWeights ? try contract.nonFiniteWeights(of: source) : [])
        } else {
            violations = []
        }
    }

    private var warnings: [String] { configuration.warnings + (checkpoint?.warnings ?? []) }

    /// Why the model cannot be used; nil when it can, or when there are no weights to use.
    var error: InputError? {
        if let count = packed?.violations.count, count > 0 {
            return InputError(
                .notFinite, in: directory, expected: "finite numbers",
                found: "\(count) \(count == 1 ? "tensor" : "tensors") with others, listed above")
        }
        guard let first = violations.first else { return nil }
        return InputError(
            first.kind, in: directory, expected: "the weights of its configuration",
            found:
                "\(violations.count) \(violations.count == 1 ? "violation" : "violations") of the contract, listed above"
        )
    }

    // MARK: - Text

    var text: String {
        var lines = [directory, ""]
        func section(_ title: String, _ body: [String]) {
            lines += [title] + body + [""]
        }
        section("Configuration", configurationTable)
        section("Layers", LayerStrip(configuration.layers).lines())
        section("Weights", weightTable(inventory))
        if let packed { section("Packed", packed.lines) }
        section("Caches of one sequence", cacheTable)
        if !warnings.isEmpty { section("Warnings", warnings.map { "  - \($0)" }) }
        section("Contract", contractLines)
        return lines.dropLast().joined(separator: "\n")
    }

    private var configurationTable: [String] {
        let model = configuration
        var table = TextTable([.left, .left])
        table.add("vocabulary", model.vocabularySize.grouped)
        let isPlain = model.plainMamba2 != nil
        table.add("context", isPlain ? "unlimited; there are no positions" : "\(model.contextLength.grouped) tokens")
        table.add("hidden size", model.hiddenSize.grouped)
        if !isPlain {
            table.add("MLP width", model.intermediateSize.grouped)
            table.add("heads", "\(model.headCount) query, \(model.keyValueHeadCount) key/value, of \(model.headDim)")
        }
        for (name, text) in InspectLayerOptions(model).rows { table.add(name, text) }
        if isPlain {
            table.add("RMSNorm epsilon", "\(model.normEpsilon)")
            return finished(table)
        }
        table.add("RoPE", model.rope.title)
        table.add("RMSNorm epsilon", "\(model.normEpsilon)")
        return finished(table)
    }

    /// The table with what every model has.
    private func finished(_ table: TextTable) -> [String] {
        let model = configuration
        var table = table
        table.add("output head", model.tiedEmbeddings ? "tied to the embedding" : "of its own")
        table.add("number format", model.dtype ?? "not given")
        let tokens = [
            ("begin", model.beginToken.map { [$0] } ?? []), ("end", model.endTokens),
            ("pad", model.padToken.map { [$0] } ?? []),
        ].filter { !$0.1.isEmpty }
        if !tokens.isEmpty {
            let listed = tokens.map { name, ids in "\(name) \(ids.map(String.init).joined(separator: " "))" }
            table.add("special tokens", listed.joined(separator: ", "))
        }
        return table.lines()
    }

    private func weightTable(_ inventory: ModelInventory) -> [String] {
        var table = TextTable([.left, .right, .right, .right, .right])
        table.add("component", "tensors", "parameters", "bytes", "share")
        for part in inventory.parts {
            let share = 100 * Double(part.parameters) / Double(inventory.parameters)
            table.add(
                part.component.title, part.tensors.grouped, part.parameters.grouped, part.bytes.grouped,
                "\(share.decimals(1)) %")
        }
        table.addRule()
        table.add(
            "total", inventory.tensors.grouped, inventory.parameters.grouped, inventory.bytes.grouped,
            inventory.bytes.binaryUnits)
        var lines = table.lines()
        if packed != nil {
            lines.append("  Bytes as packed for the fast engine, scales and padding included.")
        } else if checkpoint == nil {
            lines.append("  The weights are absent; bytes are counted in \(configuration.nominalDType.rawValue).")
        } else if let files = checkpoint?.files, files.count > 1 {
            lines.append("  In \(files.count) files.")
        }
        return lines
    }

    private var cacheTable: [String] {
        let sizes = Self.lengths.map { configuration.cacheSize(tokens: $0.1) }
        var table = TextTable([.left] + Self.lengths.map { _ in .right })
        func row(_ name: String, _ bytes: (HybridConfiguration.CacheSize) -> Int) {
            table.add([name] + sizes.map { bytes($0).binaryUnits })
        }
        table.add(["tokens"] + Self.lengths.map(\.0))
        row("keys and values, bf16") { 2 * $0.keysAndValues }
        row("keys and values, f32") { 4 * $0.keysAndValues }
        row("state, f32") { 4 * $0.state }
        row("convolution window, f32") { 4 * $0.convolutionWindow }
        table.addRule()
        row("total, bf16 keys and values") { $0.bytes(keyValueBits: 16) }
        row("total, f32 keys and values") { $0.bytes(keyValueBits: 32) }
        return table.lines()
    }

    private var contractLines: [String] {
        if let packed {
            let violations = packed.violations
            return violations.isEmpty
                ? ["  All tensors are as the configuration and the formats require."]
                : violations.map { "  - \($0.message)" }
        }
        if checkpoint == nil { return ["  The weights are absent; there is nothing to check."] }
        if violations.isEmpty { return ["  All \(inventory.tensors.grouped) tensors are as required."] }
        let more = violations.count > 10 ? ["  - and \(violations.count - 10) more (--json lists all)"] : []
        return violations.prefix(10).map { "  - \($0)" } + more
    }

    // MARK: - JSON

    var json: JSON {
        [
            "model": .string(directory),
            "weights": packed != nil ? "packed" : checkpoint == nil ? "absent" : "present",
            "configuration": configurationJSON,
            "layers": .array(configuration.layers.map { .string($0.rawValue) }),
            "parameters": JSON(inventory.parameters),
            "bytes": JSON(inventory.bytes),
            "components": componentsJSON,
            "packed": packed?.json ?? .null,
            "caches": .array(Self.lengths.map { cacheJSON(tokens: $0.1) }),
            "warnings": .array(warnings.map { .string($0) }),
            "unsupported": .null,
            "violations": .array(
                violations.map {
                    ["kind": .string($0.kind.rawValue), "tensor": .string($0.tensor), "message": .string("\($0)")]
                }
                    + (packed?.violations ?? []).map {
                        [
                            "kind": .string(InputError.Kind.notFinite.rawValue), "tensor": .string($0.tensor),
                            "message": .string($0.message),
                        ]
                    }),
        ]
    }

    private var configurationJSON: JSON {
        let model = configuration
        return [
            "vocabulary_size": JSON(model.vocabularySize), "hidden_size": JSON(model.hiddenSize),
            "intermediate_size": JSON(model.intermediateSize), "heads": JSON(model.headCount),
            "key_value_heads": JSON(model.keyValueHeadCount), "head_dim": JSON(model.headDim),
            "max_positions": JSON(model.maxPositions), "rms_norm_eps": JSON(model.normEpsilon),
            "tied_embeddings": .bool(model.tiedEmbeddings), "attention_bias": .bool(model.attentionBias),
            "rope_theta": JSON(model.rope.theta), "rope": .string(model.rope.title),
            "dtype": model.dtype.map { .string($0) } ?? .null,
            "mamba2": [
                "bc_norm": .bool(model.mamba2.normalizesBC), "bc_rope": .bool(model.mamba2.rotatesBC),
                "convolution_taps": JSON(model.mamba2.convolutionTaps), "chunk_size": JSON(model.mamba2.chunkSize),
            ],
            "layer_options": InspectLayerOptions(model).json,
            "begin_token": model.beginToken.map { JSON($0) } ?? .null,
            "end_tokens": .array(model.endTokens.map { JSON($0) }),
            "pad_token": model.padToken.map { JSON($0) } ?? .null,
        ]
    }

    private var componentsJSON: JSON {
        var components = JSON.Object()
        for part in inventory.parts {
            components[part.component.rawValue] = [
                "tensors": JSON(part.tensors), "parameters": JSON(part.parameters), "bytes": JSON(part.bytes),
            ]
        }
        return .object(components)
    }

    private func cacheJSON(tokens: Int) -> JSON {
        let size = configuration.cacheSize(tokens: tokens)
        return [
            "tokens": JSON(tokens),
            "key_value_bf16_bytes": JSON(2 * size.keysAndValues), "key_value_f32_bytes": JSON(4 * size.keysAndValues),
            "ssm_state_bytes": JSON(4 * size.state), "convolution_bytes": JSON(4 * size.convolutionWindow),
        ]
    }
}

extension WeightContract.Component {
    fileprivate var title: String {
        switch self {
        case .embedding: "embedding"
        case .attention: "attention"
        case .slidingWindowAttention: "sliding-window attention"
        case .mamba2: "Mamba-2"
        case .gatedDeltaNet: "Gated DeltaNet"
        case .gatedKalmaNet: "Gated KalmaNet"
        case .bmojo: "B'MOJO-F"
        case .feedForward: "MLP"
        case .norms: "norms"
        case .head: "output head"
        }
    }
}

extension RopeParameters {
    /// The base and the scaling in words.
    fileprivate var title: String {
        let base = theta == theta.rounded() && theta < 1e15 ? Int(theta).grouped : "\(theta)"
        let scaling =
            switch self.scaling {
            case .none: "not scaled"
            case .linear(let factor): "linear, factor \(factor)"
            case .dynamic(let factor): "dynamic, factor \(factor)"
            case .yarn(let yarn): "yarn, factor \(yarn.factor) beyond \(yarn.originalMaxPositions.grouped)"
            case .llama3(let factor, _, _, let original): "llama3, factor \(factor) beyond \(original.grouped)"
            }
        return "theta \(base), \(scaling)"
    }
}
