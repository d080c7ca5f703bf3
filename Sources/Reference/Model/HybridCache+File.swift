//  A cache on disk: one safetensors file, exact in the cache's own number format.
//
//  | tensor                                  | shape       |        | metadata          |                                |
//  |-----------------------------------------|-------------|--------|-------------------|--------------------------------|
//  | layers.i.keys, .values                  | [Hkv, T, D] |        | format            | duality-cache-1                |
//  | layers.i.fading_keys, .fading_values    | [Hkv, T, D] |        | token_count       | the next token's position      |
//  | layers.i.log_decay                      | [H], F64    |        |                   |                                |
//  | layers.i.conv_window, .ssm_state, …     | fixed       |        |                   |                                |
//
//  The tensors of fixed size are listed in LayerCache+Tensors.swift.

import DualityCore

extension HybridCache {
    private static var format: String { "duality-cache-1" }
    /// Of a model without a limit: far beyond any text, and far from overflow.
    private static var largestTokenCount: Int { 1 << 48 }

    /// Writes the cache to a safetensors file, replacing it atomically.
    ///
    /// - Throws: `InputError` when the file cannot be written.
    public func write(to path: String) throws {
        var file = SafetensorsWriter()
        file.metadata["format"] = Self.format
        file.metadata["token_count"] = String(tokenCount)
        try add(to: &file)
        try file.write(to: path)
    }

    /// Reads a cache that `write(to:)` wrote, for a model of this configuration.
    ///
    /// - Throws: `InputError` for a file that is missing, damaged, no cache, or a cache of another
    ///   model.
    public init(path: String, configuration: HybridConfiguration) throws {
        let file = try SafetensorsFile(path: path)
        guard file.metadata["format"] == Self.format, let count = file.metadata["token_count"].flatMap({ Int($0) })
        else {
            throw InputError(
                .malformed, in: path, expected: "a cache (format \(Self.format))",
                found: file.metadata["format"] ?? "no format in its metadata")
        }
        let limit = configuration.plainMamba2 == nil ? configuration.contextLength : Self.largestTokenCount
        guard count >= 0, count <= limit else {
            throw InputError(
                .value, in: "\(path): token_count", expected: "0 to \(limit)", found: "\(count)",
                remedy: "Was the file written by another program, or for another model?")
        }
        try self.init(file, configuration: configuration, tokenCount: count)
    }

    /// Adds all tensors to a file, `prefix` before their names.
    func add(to file: inout SafetensorsWriter, prefix: String = "") throws {
        for (i, layer) in layers.enumerated() {
            let place = "\(prefix)layers.\(i)."
            if let cache = layer.keyValues {
                try file.add("\(place)keys", cache.stacked(cache.keys))
                try file.add("\(place)values", cache.stacked(cache.values))
            }
            if let cache = layer.fadingKeyValues {
                try file.add("\(place)fading_keys", cache.stacked(cache.keys))
                try file.add("\(place)fading_values", cache.stacked(cache.values))
            }
            for item in layer.fixedTensors { try file.add(place + item.name, item.tensor) }
            if let decays = layer.scan?.logDecay ?? layer.kalmaNet?.logDecay {
                try file.add("\(place)log_decay", Tensor(decays))
            }
        }
    }

    /// All float tensors and all sums of log decays, under the names that they have in files.
    public func namedTensors() throws -> (tensors: [String: Tensor<Scalar>], logDecays: [String: [Double]]) {
        var tensors: [String: Tensor<Scalar>] = [:]
        var decays: [String: [Double]] = [:]
        for (i, layer) in layers.enumerated() {
            let place = "layers.\(i)."
            for (name, cache) in [("", layer.keyValues), ("fading_", layer.fadingKeyValues)] {
                guard let cache else { continue }
                tensors["\(place)\(name)keys"] = try cache.stacked(cache.keys)
                tensors["\(place)\(name)values"] = try cache.stacked(cache.values)
            }
            for item in layer.fixedTensors { tensors[place + item.name] = item.tensor }
            decays["\(place)log_decay"] = layer.scan?.logDecay ?? layer.kalmaNet?.logDecay
        }
        return (tensors, decays)
    }

    /// Reads a cache's tensors from a file or from elsewhere.
    ///
    /// - Parameters:
    ///   - file: has the tensors of the table above.
    ///   - prefix: stands before their names.
    ///   - tokenCount: the next token's position.
    /// - Throws: `InputError`: `.missing` or `.shape` for a tensor that a model of this
    ///   configuration has otherwise.
    public init(
        _ file: any TensorSource, prefix: String = "", configuration: HybridConfiguration, tokenCount: Int
    ) throws {
        self.init(configuration)
        self.tokenCount = tokenCount
        for i in layers.indices {
            let place = "\(prefix)layers.\(i)."
            try layers[i].keyValues?.read(file, "\(place)keys", "\(place)values")
            try layers[i].fadingKeyValues?.read(file, "\(place)fading_keys", "\(place)fading_values")
            if file.contains("\(place)delta_transition") { layers[i].trackTransitions() }
            layers[i].fixedTensors = try layers[i].fixedTensors.map { item in
                let tensor: Tensor<Scalar> = try file.tensor(place + item.name)
                try tensor.requireShape(item.tensor.shape, "\(file.place): \(place)\(item.name)")
                return NamedTensor(name: item.name, tensor: tensor)
            }
            if let fresh = layers[i].scan?.logDecay ?? layers[i].kalmaNet?.logDecay {
                let decays: Tensor<Double> = try file.tensor("\(place)log_decay")
                try decays.requireShape([fresh.count], "\(file.place): \(place)log_decay")
                layers[i].scan?.logDecay = decays.elements
                layers[i].kalmaNet?.logDecay = decays.elements
            }
        }
    }
}

extension KeyValueCache {
    /// `[Hkv, T, D]` from one `[T, D]` a head.
    fileprivate func stacked(_ heads: [Tensor<Scalar>]) throws -> Tensor<Scalar> {
        try Tensor(shape: [heads.count, count, headDim], elements: heads.flatMap(\.elements))
    }

    fileprivate mutating func read(_ file: any TensorSource, _ keyName: String, _ valueName: String) throws {
        let count = try file.info(keyName).shape.dropFirst().first ?? 0
        keys = try unstacked(file.tensor(keyName), count, "\(file.place): \(keyName)")
        values = try unstacked(file.tensor(valueName), count, "\(file.place): \(valueName)")
    }

    private func unstacked(_ whole: Tensor<Scalar>, _ count: Int, _ place: String) throws -> [Tensor<Scalar>] {
        try whole.requireShape([keys.count, count, headDim], place)
        let size = count * headDim
        return try (0..<keys.count).map { head in
            try Tensor(
                shape: [count, headDim], elements: Array(whole.elements[head * size..<(head + 1) * size]))
        }
    }
}
