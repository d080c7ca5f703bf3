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
    /// Keys and values of layer `layer`, `[Hkv, T, D]` each; nil for a layer without them.
    ///
    /// - Throws: `InputError` (`.unsupported`) when they are not kept in float32.
    public func keysAndValues(ofLayer layer: Int) throws(InputError) -> (keys: Tensor<Float>, values: Tensor<Float>)? {
        guard let pages = layers[layer].keyValues else { return nil }
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

    /// ln of the product of all decays since the first token, `[H]`: what is left of the state
    /// before it, per SSM head. Nil for a layer without a state.
    public func logDecay(ofLayer layer: Int) -> [Double]? {
        layers[layer].scan.map { Array(UnsafeBufferPointer(start: $0.decaySum, count: shape.headCount)) }
    }
}
