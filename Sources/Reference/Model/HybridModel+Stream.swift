//  The upper part of a model: from the residual stream before some layer to the logits.
//
//      h = given            layers i, i + 1, … on it            logits = W_head rms(h; norm)
//
//  What enters layer i does not depend on layers i and up. Whoever changes one of those and asks
//  what becomes of the logits need not run the others again.

import DualityCore

extension HybridModel {
    /// The logits of a sequence whose residual stream before one of the layers is known.
    ///
    /// - Parameters:
    ///   - stream: what enters layer `first` at tokens 0 … L-1, `[L, Dm]`: the output of the layer
    ///     before it as `extend` shows it, or the rows of the embedding for the first layer.
    ///   - first: the layer it enters; as many as there are layers for the head alone.
    /// - Returns: `[L, V]`, as `extend` gives them for the whole sequence on an empty cache.
    /// - Throws: `InputError`: `.shape` when the stream is not `[L, Dm]`, `.value` when there is no
    ///   such layer.
    /// - Complexity: that of `extend`, without the layers before.
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    public func logits(of stream: Tensor<Scalar>, enteringLayer first: Int) throws -> Tensor<Scalar> {
        guard stream.shape.count == 2, stream.shape[1] == configuration.hiddenSize else {
            throw InputError(
                .shape, in: "residual stream", expected: "[L, \(configuration.hiddenSize)]", found: "\(stream.shape)")
        }
        guard (0...layers.count).contains(first) else {
            throw InputError(.value, in: "layer", expected: "0 ... \(layers.count)", found: "\(first)")
        }
        let rotation = rope.table(positions: 0..<stream.shape[0])
        var cache = makeCache()
        var h = stream
        for i in first..<layers.count {
            try layers[i].extend(&h, rotation: rotation, cache: &cache.layers[i], observe: nil)
        }
        return head(norm(h))
    }
}
