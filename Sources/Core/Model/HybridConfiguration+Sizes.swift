//  A configuration from its sizes, for code that makes models instead of reading them.

extension HybridConfiguration {
    /// A configuration with the family's defaults for all but the sizes.
    public init(
        vocabularySize: Int, hiddenSize: Int, intermediateSize: Int, layers: [LayerKind], headCount: Int,
        keyValueHeadCount: Int, headDim: Int, maxPositions: Int = 32768, tiedEmbeddings: Bool = false
    ) {
        self.init(
            vocabularySize: vocabularySize, hiddenSize: hiddenSize, intermediateSize: intermediateSize, layers: layers,
            headCount: headCount, keyValueHeadCount: keyValueHeadCount, headDim: headDim, maxPositions: maxPositions,
            normEpsilon: 1e-6, tiedEmbeddings: tiedEmbeddings, attentionBias: false, rope: RopeParameters(),
            mamba2: Mamba2Parameters(), dtype: nil, beginToken: nil, endTokens: [], padToken: nil)
    }
}
