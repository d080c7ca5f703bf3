//  The Mamba-2 mixer from the named tensors of a store.

import DualityCore

extension LayerBuilder {
    func mamba2(_ prefix: String) throws -> QuantMamba2Mixer {
        let parameters = configuration.mamba2
        let weight = try store.vector("\(prefix)conv1d.weight")
        let (shape, taps) = (configuration.mamba2Shape, parameters.convolutionTaps)
        let channels = shape.channels
        var transposed = [Float](repeating: 0, count: weight.count)
        for c in 0..<channels {
            for j in 0..<taps { transposed[j * channels + c] = weight[c * taps + j] }
        }
        let limit = configuration.plainMamba2?.stepLimit ?? 0...Double.infinity
        return QuantMamba2Mixer(
            inputProjection: try inputProjection(prefix),
            bNorm: parameters.normalizesBC ? try norm("\(prefix)B_norm.weight", parameters.bcNormEpsilon) : nil,
            cNorm: parameters.normalizesBC ? try norm("\(prefix)C_norm.weight", parameters.bcNormEpsilon) : nil,
            rotatesBC: parameters.rotatesBC, taps: transposed,
            convolutionBias: parameters.convolutionBias ? try store.vector("\(prefix)conv1d.bias") : nil,
            a: try store.vector("\(prefix)A_log").map { -Float.exp($0) },
            dtBias: try store.vector("\(prefix)dt_bias"), d: try store.vector("\(prefix)D"),
            gatedNorm: try norm("\(prefix)norm.weight", parameters.gatedNormEpsilon),
            gatedNormGroup: configuration.plainMamba2?.gatedNormGroup ?? configuration.headDim,
            outputProjection: try linear("\(prefix)out_proj", .outputProjection, bias: parameters.projectionBias),
            shape: shape,
            stepLimit: Float(limit.lowerBound)...Float(limit.upperBound), hasParts: configuration.plainMamba2 == nil,
            roundsState: options.roundsState)
    }

    /// in_proj, cut where the number format changes.
    private func inputProjection(_ prefix: String) throws -> Projection {
        let blocks = InputProjectionBlocks(configuration, plan).blocks
        return Projection(
            blocks: try blocks.map { block in
                Projection.Block(
                    firstOutput: block.rows.lowerBound,
                    matrix: try matrix(
                        "\(prefix)in_proj.weight", rows: block.rows, label: block.label, format: block.format))
            },
            bias: configuration.mamba2.projectionBias ? try store.vector("\(prefix)in_proj.bias") : nil)
    }
}

/// The parts of in_proj, z | x | B | C | dt, neighbours of one format joined.
struct InputProjectionBlocks {
    struct Block {
        /// The names of its parts together, `zxBC`.
        var label: String
        var rows: Range<Int>
        let format: WeightFormat
    }

    private(set) var blocks: [Block] = []

    init(_ configuration: HybridConfiguration, _ plan: PrecisionPlan) {
        let shape = configuration.mamba2Shape
        let widths: [(ModelPart, Int)] = [
            (.z, shape.innerSize), (.x, shape.xSize), (.b, shape.bSize), (.c, shape.cSize), (.dt, shape.heads),
        ]
        var first = 0
        for (part, width) in widths {
            if let last = blocks.last, last.format == plan[part] {
                blocks[blocks.count - 1].label += part.rawValue
                blocks[blocks.count - 1].rows = last.rows.lowerBound..<first + width
            } else {
                blocks.append(Block(label: part.rawValue, rows: first..<first + width, format: plan[part]))
            }
            first += width
        }
    }
}
