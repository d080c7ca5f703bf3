//  A cache on disk: one safetensors file, exact in the cache's own number format.
//
//  | tensor                   | shape       |        | metadata          |                                |
//  |--------------------------|-------------|--------|-------------------|--------------------------------|
//  | layers.i.keys, .values   | [Hkv, T, D] |        | format            | duality-cache-1                |
//  | layers.i.conv_window     | [W-1, C]    |        | token_count       | T                              |
//  | layers.i.ssm_state       | [H, P, N]   |        |                   |                                |
//  | layers.i.log_decay       | [H], F64    |        |                   |                                |

import DualityCore

extension HybridCache {
    private static var format: String { "duality-cache-1" }

    /// Writes the cache to a safetensors file, replacing it atomically.
    ///
    /// - Throws: `InputError` when the file cannot be written.
    public func write(to path: String) throws {
        var file = SafetensorsWriter()
        file.metadata["format"] = Self.format
        file.metadata["token_count"] = String(tokenCount)
        for (i, layer) in layers.enumerated() {
            if let keyValues = layer.keyValues {
                try file.add("layers.\(i).keys", keyValues.stacked(keyValues.keys))
                try file.add("layers.\(i).values", keyValues.stacked(keyValues.values))
            }
            if let scan = layer.scan {
                try file.add("layers.\(i).conv_window", scan.window)
                try file.add("layers.\(i).ssm_state", scan.state)
                try file.add("layers.\(i).log_decay", Tensor(scan.logDecay))
            }
        }
        try file.write(to: path)
    }

    /// Reads a cache that `write(to:)` wrote, for a model of this configuration.
    ///
    /// - Throws: `InputError` for a file that is missing, damaged, no cache, or a cache of another model.
    public init(path: String, configuration: HybridConfiguration) throws {
        let file = try SafetensorsFile(path: path)
        guard file.metadata["format"] == Self.format, let count = file.metadata["token_count"].flatMap({ Int($0) })
        else {
            throw InputError(
                .malformed, in: path, expected: "a cache (format \(Self.format))",
                found: file.metadata["format"] ?? "no format in its metadata")
        }
        self.init(configuration)
        tokenCount = count
        for i in layers.indices {
            if var keyValues = layers[i].keyValues {
                let shape = [keyValues.keys.count, count, keyValues.headDim]
                keyValues.keys = try keyValues.unstacked(file.tensor("layers.\(i).keys"), shape, path)
                keyValues.values = try keyValues.unstacked(file.tensor("layers.\(i).values"), shape, path)
                layers[i].keyValues = keyValues
            }
            if let scan = layers[i].scan {
                let window: Tensor<Scalar> = try file.tensor("layers.\(i).conv_window")
                let state: Tensor<Scalar> = try file.tensor("layers.\(i).ssm_state")
                let logDecay: Tensor<Double> = try file.tensor("layers.\(i).log_decay")
                try window.requireShape(scan.window.shape, "\(path): layers.\(i).conv_window")
                try state.requireShape(scan.state.shape, "\(path): layers.\(i).ssm_state")
                try logDecay.requireShape([scan.logDecay.count], "\(path): layers.\(i).log_decay")
                layers[i].scan = ScanCache(window: window, state: state, logDecay: logDecay.elements)
            }
        }
    }
}

extension KeyValueCache {
    /// `[Hkv, T, D]` from one `[T, D]` a head.
    fileprivate func stacked(_ heads: [Tensor<Scalar>]) throws -> Tensor<Scalar> {
        try Tensor(shape: [heads.count, count, headDim], elements: heads.flatMap(\.elements))
    }

    fileprivate func unstacked(_ whole: Tensor<Scalar>, _ shape: [Int], _ path: String) throws -> [Tensor<Scalar>] {
        try whole.requireShape(shape, "\(path): keys and values")
        let size = shape[1] * shape[2]
        return try (0..<shape[0]).map { head in
            try Tensor(
                shape: [shape[1], shape[2]], elements: Array(whole.elements[head * size..<(head + 1) * size]))
        }
    }
}
