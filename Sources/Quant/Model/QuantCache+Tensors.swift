//  What a fast model's cache holds, as tensors in the order of the reference's caches: for
//  comparing, and for handing a context over.
//
//  | layer | what            | shape        |
//  |-------|-----------------|--------------|
//  | *     | keys, values    | [Hkv, T, D]  |
//  | SWA   | keys, values    | [Hkv, T', D], of the last T' = min(T, W-1) tokens |
//  | M2    | state           | [H, P, N]    |
//  | M2    | window          | [W-1, C]     |
//  | M2    | logDecay        | [H], float64 |

import DualityCore
import DualityKernels

extension QuantCache {
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
        let isWindowed = shape.layers[layer] == .slidingWindowAttention
        let first = isWindowed ? max(tokenCount - (shape.window ?? tokenCount + 1) + 1, 0) : 0
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

    /// The log of what the state before the first token has been multiplied by since, a number an
    /// SSM head; nil for a layer without a state.
    public func logDecay(ofLayer layer: Int) -> [Double]? {
        layers[layer].scan.map { Array(UnsafeBufferPointer(start: $0.decaySum, count: shape.mamba2?.heads ?? 0)) }
    }
}
