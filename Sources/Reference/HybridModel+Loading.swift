//  A model from a checkpoint: every tensor of the weight contract, widened exactly to the number format of the model.

import DualityCore

extension HybridModel {
    /// Loads a checkpoint.
    ///
    /// - Parameters:
    ///   - source: the tensors, such as a `Checkpoint`.
    ///   - configuration: what they make.
    ///   - allowsNonFinite: whether NaN and infinity in a weight are let through.
    ///   - progress: is told the layers loaded so far and their number.
    /// - Throws: `InputError`: all that the weight contract finds wrong, at once; a NaN or an infinity in a weight, named.
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
}
