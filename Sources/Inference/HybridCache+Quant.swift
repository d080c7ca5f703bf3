//  A context that the fast engine has read, as the reference goes on from it.
//
//  Both remember the same (HybridCache.swift, QuantCache.swift), in another order. What the fast
//  engine computes in float32 differs from the reference in float32 by roundings; composing
//  memories of a long context then costs the reference a question and not the context.

import DualityCore
import DualityQuant
import DualityReference

extension HybridCache<Float> {
    /// The memory of a fast model as one of the reference.
    ///
    /// - Parameters:
    ///   - cache: keeps keys and values in float32.
    ///   - configuration: of the model that made it.
    /// - Throws: `InputError`: `.unsupported` for keys and values in another format, `.shape` for a
    ///   cache of another model.
    /// - Complexity: O(bytes of the cache).
    public init(_ cache: QuantCache, configuration: HybridConfiguration) throws {
        try self.init(CacheTensors(cache, configuration), configuration: configuration, tokenCount: cache.tokenCount)
    }
}

/// The tensors of a cache under the names of a cache's file.
private struct CacheTensors: TensorSource {
    let place = "cache of the fast engine"
    private(set) var names: [String] = []
    private var tensors: [String: (info: TensorInfo, bytes: [UInt8])] = [:]

    init(_ cache: QuantCache, _ configuration: HybridConfiguration) throws {
        try cache.requireShape(of: configuration)
        for layer in 0..<cache.layerCount {
            func name(_ part: String) -> String { "layers.\(layer).\(part)" }
            if let (keys, values) = try cache.keysAndValues(ofLayer: layer) {
                add(name("keys"), .f32, keys.shape, keys.elements)
                add(name("values"), .f32, values.shape, values.elements)
            }
            if let state = try cache.state(ofLayer: layer),
                let window = try cache.window(ofLayer: layer),
                let decays = try cache.logDecay(ofLayer: layer)
            {
                add(name("ssm_state"), .f32, state.shape, state.elements)
                add(name("conv_window"), .f32, window.shape, window.elements)
                add(name("log_decay"), .f64, [decays.count], decays)
            }
        }
    }

    private mutating func add<Element>(_ name: String, _ dtype: DType, _ shape: [Int], _ elements: [Element]) {
        let bytes = elements.withUnsafeBytes { Array($0) }
        names.append(name)
        tensors[name] = (TensorInfo(name: name, dtype: dtype, shape: shape, byteRange: 0..<bytes.count), bytes)
    }

    func find(_ name: String) -> TensorInfo? { tensors[name]?.info }

    func withBytes<Result>(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        _ = try info(name)
        return try (tensors[name]?.bytes ?? []).withUnsafeBytes(body)
    }
}
