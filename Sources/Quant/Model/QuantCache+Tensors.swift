//  What a fast model's cache holds, as tensors in the order of the reference's caches: for
//  comparing, and for handing a context over.
//
//  | layer | what            | shape        |
//  |-------|-----------------|--------------|
//  | *     | keys, values    | [Hkv, T, D]  |
//  | M2    | state           | [H, P, N]    |
//  | M2    | window          | [W-1, C]     |
//  | M2    | logDecay        | [H], float64 |

import DualityCore
import DualityKernels

extension QuantCache {
    /// The memory of layer `layer`.
    private func memory(ofLayer layer: Int) throws(InputError) -> QuantLayerCache {
        guard layers.indices.contains(layer) else {
            throw InputError(
                .value, in: "layer of a cache",
                expected: layers.isEmpty ? "none: the cache is empty" : "0 to \(layers.count - 1)",
                found: "\(layer)")
        }
        return layers[layer]
    }

    /// The SSM state after the last token of layer `layer`, `[H, P, N]`; nil for a layer without
    /// one.
    ///
    /// - Throws: `InputError` (`.value`) for a layer that is not there, or a DUALITY_ISA that is
    /// not.
    /// - Complexity: O(H P N), and the tokens of the open chunk.
    public func state(ofLayer layer: Int) throws(InputError) -> Tensor<Float>? {
        guard let scan = try memory(ofLayer: layer).scan else { return nil }
        let kernels = try KernelTable.active()
        var sizes = shape.scan
        var pointers = scan.pointers
        let (heads, dim) = (shape.headCount, shape.headDim)
        var state = Tensor<Float>(repeating: 0, shape: [heads, dim, dim])
        let workspace = AlignedMemory(byteCount: Int(DK_WORKSPACE_BYTES))
        state.elements.withUnsafeMutableBufferPointer { state in
            guard let base = state.baseAddress else { return }
            for head in 0..<heads {
                kernels.ssd_state(
                    &sizes, &pointers, Int64(tokenCount % Int(DK_SSD_CHUNK)), Int64(head), base + head * dim * dim,
                    workspace.base)
            }
        }
        return state
    }

    /// The convolution window of layer `layer`, `[W-1, C]`, oldest first; nil for a layer without
    /// one.
    ///
    /// - Throws: `InputError` (`.value`) for a layer that is not there.
    public func window(ofLayer layer: Int) throws(InputError) -> Tensor<Float>? {
        guard let scan = try memory(ofLayer: layer).scan else { return nil }
        let (rows, channels) = (shape.convolutionTaps - 1, shape.convolutionChannels)
        var window = Tensor<Float>(repeating: 0, shape: [rows, channels])
        for i in 0..<rows * channels { window.elements[i] = scan.window[i] }
        return window
    }

    /// Keys and values of layer `layer`, `[Hkv, T, D]` each; nil for a layer without them.
    ///
    /// - Throws: `InputError`: `.unsupported` when they are not kept in float32, `.value` for a
    /// layer
    ///   that is not there.
    public func keysAndValues(ofLayer layer: Int) throws(InputError) -> (keys: Tensor<Float>, values: Tensor<Float>)? {
        guard let pages = try memory(ofLayer: layer).keyValues else { return nil }
        guard shape.keyValueFormat == .f32 else {
            throw InputError(
                .unsupported, in: "keys and values of layer \(layer)", expected: "a cache that keeps them in f32",
                found: shape.keyValueFormat.rawValue, remedy: "Choose f32 keys and values for the model.")
        }
        let (heads, dim, count) = (shape.keyValueHeadCount, shape.headDim, tokenCount)
        let width = (dim + 15) / 16 * 16
        let part = KeyValuePages.pageTokens * width
        var keys = Tensor<Float>(repeating: 0, shape: [heads, count, dim])
        var values = keys
        pages.withAddresses { addresses in
            for token in 0..<count {
                let page = addresses[token / KeyValuePages.pageTokens].assumingMemoryBound(to: Float.self)
                let slot = token % KeyValuePages.pageTokens
                for head in 0..<heads {
                    let key = page + head * part + slot / 16 * 16 * width + slot % 16
                    let value = page + (heads + head) * part + slot * width
                    let first = (head * count + token) * dim
                    for d in 0..<dim {
                        keys.elements[first + d] = key[16 * d]
                        values.elements[first + d] = value[d]
                    }
                }
            }
        }
        return (keys, values)
    }

    /// The log of the product of all decays so far, one number per SSM head; nil for a layer
    /// without a state.
    ///
    /// - Throws: `InputError` (`.value`) for a layer that is not there.
    public func logDecay(ofLayer layer: Int) throws(InputError) -> [Double]? {
        try memory(ofLayer: layer).scan.map { Array(UnsafeBufferPointer(start: $0.decaySum, count: shape.headCount)) }
    }
}
