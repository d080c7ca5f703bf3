//  What a fast model's cache holds, as tensors in the order of the reference's caches and under the
//  names of a cache's file: for comparing, and for handing a context over.
//
//  | layer | tensors                          | shape                                           |
//  |-------|----------------------------------|-------------------------------------------------|
//  | *     | keys, values                     | [Hkv, T, D]                                     |
//  | SWA   | keys, values                     | [Hkv, T, D], of the last W - 1 tokens           |
//  | BMF   | keys, values                     | as SWA                                          |
//  |       | fading_keys, fading_values       | of the last 2 W - 1 tokens                      |
//  | M2    | conv_window, ssm_state           | [W-1, C], [H, P, N]                             |
//  | GDN   | q_window, k_window, v_window     | [W-1, C]                                        |
//  |       | delta_state                      | [H, D, D]                                       |
//  | GKA   | q_window, k_window, v_window     | [W-1, C]                                        |
//  |       | gram, memory                     | [H, D, D]                                       |
//
//  M2 and GKA have log_decay beside them, [H], in float64.

import DualityCore
import DualityKernels

extension QuantCache {
    /// All tensors of layer `layer`, with the names of the table above.
    ///
    /// - Parameter configuration: of the model that made the cache.
    /// - Throws: `InputError` (`.unsupported`) for keys and values that are not kept in float32.
    public func tensors(ofLayer layer: Int, configuration: HybridConfiguration) throws -> [(
        name: String, tensor: Tensor<Float>
    )] {
        var tensors: [(name: String, tensor: Tensor<Float>)] = []
        if let (keys, values) = try keysAndValues(ofLayer: layer) {
            tensors += [("keys", keys), ("values", values)]
        }
        if let pages = layers[layer].fading, let window = shape.keyValues[layer]?.fadingWindow {
            let (keys, values) = contents(of: pages, tokens: max(tokenCount - window + 1, 0)..<tokenCount)
            tensors += [("fading_keys", keys), ("fading_values", values)]
        }
        if let state = try state(ofLayer: layer, configuration: configuration),
            let window = try window(ofLayer: layer, configuration: configuration)
        {
            tensors += [("conv_window", window), ("ssm_state", state)]
        }
        if let matrix = layers[layer].matrix {
            tensors += zip(["q_window", "k_window", "v_window"], try matrix.windows()).map { ($0, $1) }
            let names = matrix.layout.isPanelled ? ["delta_state"] : ["gram", "memory"]
            tensors += names.enumerated().map { ($1, matrix.tensor($0)) }
        }
        return tensors
    }

    /// Keys and values of layer `layer`, `[Hkv, T, D]` each, those of a layer with a window of the
    /// last W - 1 tokens; nil for a layer without them.
    ///
    /// - Throws: `InputError` (`.unsupported`) when they are not kept in float32.
    public func keysAndValues(ofLayer layer: Int) throws(InputError) -> (keys: Tensor<Float>, values: Tensor<Float>)? {
        guard let pages = layers[layer].keyValues else { return nil }
        guard shape.keyValueFormat == .f32 else {
            throw InputError(
                .unsupported, in: "keys and values of layer \(layer)", expected: "a cache that keeps them in f32",
                found: shape.keyValueFormat.rawValue, remedy: "Choose f32 keys and values for the model.")
        }
        let window = shape.keyValues[layer]?.window
        let first = window.map { max(tokenCount - $0 + 1, 0) } ?? 0
        return contents(of: pages, tokens: first..<tokenCount)
    }

    /// Keys and values of some tokens, float32 in pages.
    private func contents(of pages: KeyValuePages, tokens: Range<Int>) -> (keys: Tensor<Float>, values: Tensor<Float>) {
        let (heads, dim, count) = (shape.keyValueHeadCount, shape.headDim, tokens.count)
        let width = (dim + 15) / 16 * 16
        let part = KeyValuePages.pageTokens * width
        var keys = Tensor<Float>(repeating: 0, shape: [heads, count, dim])
        var values = keys
        pages.withAddresses { addresses in
            for token in tokens {
                let page = addresses[token / KeyValuePages.pageTokens].assumingMemoryBound(to: Float.self)
                let slot = token % KeyValuePages.pageTokens
                for head in 0..<heads {
                    let key = page + head * part + slot / 16 * 16 * width + slot % 16
                    let value = page + (heads + head) * part + slot * width
                    let first = (head * count + token - tokens.lowerBound) * dim
                    for d in 0..<dim {
                        keys.elements[first + d] = key[16 * d]
                        values.elements[first + d] = value[d]
                    }
                }
            }
        }
        return (keys, values)
    }

    /// The log of what the state before the first token has been multiplied by since, a number a
    /// head; nil for a layer that does not keep it.
    public func logDecay(ofLayer layer: Int) -> [Double]? {
        if let scan = layers[layer].scan {
            return Array(UnsafeBufferPointer(start: scan.decaySum, count: shape.mamba2?.heads ?? 0))
        }
        guard let matrix = layers[layer].matrix, !matrix.layout.isPanelled else { return nil }
        return Array(UnsafeBufferPointer(start: matrix.decaySum, count: matrix.layout.heads))
    }
}
