//  A model from a checkpoint: every tensor of the weight contract, widened exactly to the number
//  format of the model.

import DualityCore

extension HybridModel {
    /// Loads a checkpoint.
    ///
    /// - Parameters:
    ///   - source: the tensors, such as a `Checkpoint`.
    ///   - configuration: what they make.
    ///   - allowsNonFinite: whether NaN and infinity in a weight are let through.
    ///   - progress: is told the layers loaded so far and their number.
    /// - Throws: `InputError`: all that the weight contract finds wrong, at once; a NaN or an
    ///   infinity in a weight, named.
    /// - Complexity: reads every tensor once; the memory of the weights in `Scalar`.
    public init(
        _ source: any TensorSource, configuration: HybridConfiguration, allowsNonFinite: Bool = false,
        progress: ((Int, Int) -> Void)? = nil
    ) throws {
        let contract = try WeightContract(configuration)
        let source = contract.adapted(source)
        try contract.check(source)
        let all = Weights<Scalar>(source: source, prefix: "", allowsNonFinite: allowsNonFinite)
        let isPlain = configuration.plainMamba2 != nil
        let weights = all.under(isPlain ? "backbone." : "model.")

        let embedding = try all.tensor(contract.embeddingName)
        var layers: [DecoderLayer<Scalar>] = []
        for (i, kind) in configuration.layers.enumerated() {
            layers.append(try weights.under("layers.\(i).").layer(kind, configuration))
            progress?(i + 1, configuration.layers.count)
        }
        let head = configuration.tiedEmbeddings ? embedding : try all.tensor("lm_head.weight")
        try self.init(
            configuration: configuration, embedding: embedding, layers: layers,
            norm: weights.norm(isPlain ? "norm_f.weight" : "norm.weight", configuration.normEpsilon),
            head: Linear(weight: head))
    }

    /// Reads one layer anew and leaves the others: for models that differ in a few tensors.
    ///
    /// - Parameter source: has the tensors of the layer; others are not looked at.
    /// - Throws: `InputError`: `.value` when there is no such layer; as loading does for a tensor
    ///   that is missing, of another shape or not finite.
    /// - Complexity: reads the tensors of the layer once.
    public mutating func reload(layer: Int, from source: any TensorSource) throws {
        guard layers.indices.contains(layer) else {
            throw InputError(.value, in: "layer", expected: "0 to \(layers.count - 1)", found: "\(layer)")
        }
        let contract = try WeightContract(configuration)
        let source = contract.adapted(source)
        for requirement in contract.requirements where requirement.layer == layer {
            let info = try source.info(requirement.name)
            guard info.shape == requirement.shape else {
                throw InputError(
                    .shape, in: "\(source.place): \(info.name)", expected: "\(requirement.shape)",
                    found: "\(info.shape)")
            }
        }
        let prefix = configuration.plainMamba2 == nil ? "model." : "backbone."
        layers[layer] = try Weights<Scalar>(source: source, prefix: "\(prefix)layers.\(layer).")
            .layer(configuration.layers[layer], configuration)
    }
}
