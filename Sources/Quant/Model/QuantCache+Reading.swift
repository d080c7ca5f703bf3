//  A fast model's cache from tensors, under the names of QuantCache+Tensors.swift: a context that
//  was composed, or read by the reference.
//
//  Keys and values are stored in the format of the cache. Those of a layer with a window may be
//  fewer than those of another layer: places count in every layer from its own first key.

import DualityCore
import DualityKernels

extension QuantCache {
    /// - Parameters:
    ///   - source: has every layer's tensors, `layers.3.keys` and so on.
    ///   - configuration: of the model that goes on with it.
    ///   - format: in which its keys and values are kept.
    ///   - tokenCount: the position of the next token.
    /// - Throws: `InputError`: `.missing` or `.shape` for a tensor that the model has otherwise.
    /// - Complexity: O(bytes of the cache).
    public init(
        _ source: any TensorSource, configuration: HybridConfiguration, keyValues format: KeyValueFormat,
        tokenCount: Int
    ) throws {
        self.init(configuration, keyValues: format)
        self.tokenCount = tokenCount
        for i in layers.indices {
            func tensor(_ name: String, _ expected: [Int]) throws -> Tensor<Float> {
                let tensor: Tensor<Float> = try source.tensor("layers.\(i).\(name)")
                try tensor.requireShape(expected, "\(source.place): layers.\(i).\(name)")
                return tensor
            }
            if let layout = shape.keyValues[i] {
                try store("", layout.window, source, layer: i, \.keyValues)
                if let window = layout.fadingWindow { try store("fading_", window, source, layer: i, \.fading) }
            }
            if let scan = layers[i].scan, let sizes = shape.mamba2 {
                var begun = scan
                begun.begin(
                    try tensor("ssm_state", [sizes.heads, sizes.headDim, sizes.stateDim]),
                    window: try tensor("conv_window", [shape.taps - 1, sizes.channels]),
                    decaySums: try decays(source, layer: i, count: sizes.heads))
                layers[i].scan = begun
            }
            if let matrix = layers[i].matrix {
                let layout = matrix.layout
                let size = [layout.heads, layout.headDim, layout.headDim]
                for (index, name) in layout.names.enumerated() { matrix.set(index, to: try tensor(name, size)) }
                let names = ["q_window", "k_window", "v_window"]
                matrix.set(windows: try zip(names, layout.channels).map { try tensor($0, [layout.rows, $1]) })
                guard !layout.isPanelled else { continue }
                let sums = try decays(source, layer: i, count: layout.heads)
                for (head, sum) in sums.enumerated() { matrix.decaySum[head] = sum }
            }
        }
    }

    private func decays(_ source: any TensorSource, layer: Int, count: Int) throws -> [Double] {
        let name = "layers.\(layer).log_decay"
        let sums: Tensor<Double> = try source.tensor(name)
        try sums.requireShape([count], "\(source.place): \(name)")
        return sums.elements
    }

    /// Stores keys and values, `[Hkv, T, D]`, from the first place on.
    private mutating func store(
        _ prefix: String, _ window: Int?, _ source: any TensorSource, layer: Int,
        _ path: WritableKeyPath<QuantLayerCache, KeyValuePages?>
    ) throws {
        let place = "layers.\(layer).\(prefix)"
        let (keys, values): (Tensor<Float>, Tensor<Float>) = (
            try source.tensor("\(place)keys"), try source.tensor("\(place)values")
        )
        let (heads, dim) = (shape.keyValueHeadCount, shape.headDim)
        let count = keys.shape.count == 3 ? keys.shape[1] : 0
        for (name, tensor) in [("keys", keys), ("values", values)] {
            try tensor.requireShape([heads, count, dim], "\(source.place): \(place)\(name)")
        }
        guard count > 0, var pages = layers[layer][keyPath: path] else { return }
        pages.prepareToWrite(count)
        var sizes = dk_attention_shape(
            heads: Int64(heads), kvHeads: Int64(heads), headDim: Int64(dim), format: shape.keyValueFormat.kernelFormat,
            scale: 1, window: 0)
        let kernels = try KernelTable.active()
        let width = Int64(heads * dim)
        pages.withAddresses { pages in
            kernels.kv_store(
                &sizes, pages, 0, Int64(count), Self.rows(of: keys), width, Self.rows(of: values), width, 0,
                Int64(heads))
        }
        pages.advance(by: count)
        layers[layer][keyPath: path] = pages
    }

    /// `[T, Hkv D]` from `[Hkv, T, D]`.
    private static func rows(of tensor: Tensor<Float>) -> [Float] {
        let (heads, count, dim) = (tensor.shape[0], tensor.shape[1], tensor.shape[2])
        var rows = [Float](repeating: 0, count: tensor.elements.count)
        for head in 0..<heads {
            for t in 0..<count {
                for d in 0..<dim { rows[(t * heads + head) * dim + d] = tensor.elements[(head * count + t) * dim + d] }
            }
        }
        return rows
    }
}

extension QuantCache {
    /// Goes on at another position: what comes next is rotated as the token there. What has been
    /// read stays as it is.
    public mutating func move(to position: Int) { tokenCount = position }

    /// Begins to keep, beside the states of Gated DeltaNet layers, what they are multiplied with
    /// from here on. For an empty cache.
    public mutating func trackTransitions() {
        for i in layers.indices {
            guard let layout = layers[i].matrix?.layout, layout.isPanelled else { continue }
            layers[i].matrix = MatrixState(layout.tracking)
        }
    }
}
