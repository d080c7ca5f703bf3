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
//  |       | delta_transition, if tracked     | [H, D, D]                                       |
//  | GKA   | q_window, k_window, v_window     | [W-1, C]                                        |
//  |       | gram, memory                     | [H, D, D]                                       |
//
//  M2 and GKA have log_decay beside them, [H], in float64.

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
    ///   not.
    /// - Complexity: O(H P N), and the tokens of the open chunk.
    public func state(ofLayer layer: Int) throws(InputError) -> Tensor<Float>? {
        guard let scan = try memory(ofLayer: layer).scan else { return nil }
        let kernels = try KernelTable.active()
        guard let layout = shape.mamba2 else { return nil }
        var (sizes, pointers) = (dk_ssd_shape(layout), scan.pointers)
        let (heads, size) = (layout.heads, layout.headDim * layout.stateDim)
        var state = Tensor<Float>(repeating: 0, shape: [heads, layout.headDim, layout.stateDim])
        let workspace = AlignedMemory(byteCount: Int(DK_WORKSPACE_BYTES))
        state.elements.withUnsafeMutableBufferPointer { state in
            guard let base = state.baseAddress else { return }
            for head in 0..<heads {
                kernels.ssd_state(
                    &sizes, &pointers, scan.fill, Int64(head), base + head * size,
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
        guard let scan = try memory(ofLayer: layer).scan, let layout = shape.mamba2 else { return nil }
        let (rows, channels) = (shape.taps - 1, layout.channels)
        var window = Tensor<Float>(repeating: 0, shape: [rows, channels])
        for i in 0..<rows * channels { window.elements[i] = scan.window[i] }
        return window
    }

    /// All tensors of layer `layer`, with the names of the table above.
    ///
    /// - Throws: `InputError`: `.unsupported` for keys and values that are not kept in float32,
    ///   `.value` for a layer that is not there.
    public func tensors(ofLayer layer: Int) throws -> [(
        name: String, tensor: Tensor<Float>
    )] {
        var tensors: [(name: String, tensor: Tensor<Float>)] = []
        if let (keys, values) = try keysAndValues(ofLayer: layer) {
            tensors += [("keys", keys), ("values", values)]
        }
        if let pages = layers[layer].fading, let window = shape.keyValues[layer]?.fadingWindow {
            let (keys, values) = contents(of: pages, tokens: max(pages.count - window + 1, 0)..<pages.count)
            tensors += [("fading_keys", keys), ("fading_values", values)]
        }
        if let state = try state(ofLayer: layer),
            let window = try window(ofLayer: layer)
        {
            tensors += [("conv_window", window), ("ssm_state", state)]
        }
        if let matrix = layers[layer].matrix {
            tensors += zip(["q_window", "k_window", "v_window"], try matrix.windows()).map { ($0, $1) }
            tensors += matrix.layout.names.enumerated().map { ($1, matrix.tensor($0)) }
        }
        return tensors
    }

    /// Keys and values of layer `layer`, `[Hkv, T, D]` each, those of a layer with a window of the
    /// last W - 1 tokens; nil for a layer without them.
    ///
    /// - Throws: `InputError`: `.unsupported` when they are not kept in float32, `.value` for a
    ///   layer that is not there.
    public func keysAndValues(ofLayer layer: Int) throws(InputError) -> (keys: Tensor<Float>, values: Tensor<Float>)? {
        guard let pages = try memory(ofLayer: layer).keyValues else { return nil }
        guard shape.keyValueFormat == .f32 else {
            throw InputError(
                .unsupported, in: "keys and values of layer \(layer)", expected: "a cache that keeps them in f32",
                found: shape.keyValueFormat.rawValue, remedy: "Choose f32 keys and values for the model.")
        }
        let window = shape.keyValues[layer]?.window
        let first = window.map { max(pages.count - $0 + 1, 0) } ?? 0
        return contents(of: pages, tokens: first..<pages.count)
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

    /// The log of what the state before the first token has been multiplied by since, one number
    /// per head; nil for a layer that does not keep it.
    ///
    /// - Throws: `InputError` (`.value`) for a layer that is not there.
    public func logDecay(ofLayer layer: Int) throws(InputError) -> [Double]? {
        let memory = try memory(ofLayer: layer)
        if let scan = memory.scan {
            return Array(UnsafeBufferPointer(start: scan.decaySum, count: shape.mamba2?.heads ?? 0))
        }
        guard let matrix = memory.matrix, !matrix.layout.isPanelled else { return nil }
        return Array(UnsafeBufferPointer(start: matrix.decaySum, count: matrix.layout.heads))
    }
}
