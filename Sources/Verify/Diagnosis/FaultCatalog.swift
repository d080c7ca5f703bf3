//  Every fault that a diagnosis can name.

/// The known faults, by name.
package enum FaultCatalog {
    /// A fault: its stable name, what the kernel does instead, and which kinds of cases it shows
    /// in.
    package struct Entry: Sendable {
        /// What findings call it, such as `initial-state-ignored`; stable.
        package let name: String
        /// What a kernel with the fault does instead, in a line.
        package let summary: String
        /// The kinds of cases it shows in, separated by commas: `scan, step`, or `all`.
        package let kinds: String
    }

    /// All of them, in the order in which they are tried.
    package static let all: [Entry] =
        ScanFault.allCases.map { Entry(name: $0.rawValue, summary: $0.summary, kinds: "scan, step") }
        + [
            Entry(name: UnwrittenRows.name, summary: UnwrittenRows.summary, kinds: "all"),
            Entry(name: TileCorruption.name, summary: TileCorruption.summary, kinds: "all"),
        ]
        + entries(GradientJudge.allFaults, "gradients")
        + entries(ConvolutionJudge.faults + [ConvolutionJudge.windowNotCleared], "convolution")
        + entries(ConvolutionGradientJudge.faults, "convolution_gradients")
        + entries(GatedNormJudge.faults, "gated_norm")
        + entries(GatedNormGradientJudge.faults, "gated_norm_gradients")
        + entries(MatmulJudge.faults, "matmul") + entries(MixerJudge.faults, "mixer")
        + entries(AttentionJudge.faults, "attention")
        + DeltaFault.allCases.map {
            Entry(
                name: $0.rawValue, summary: $0.summary,
                kinds: $0.isOfChunks ? "gated_delta" : "gated_delta, gated_delta_step")
        }
        + entries(KalmanJudge.faults, "kalman")
        + entries(DeltaGradientJudge.faults, "gated_delta_gradients")
        + entries(AttentionGradientJudge.faults, "attention_gradients")

    private static func entries(_ faults: [LayerFault], _ kinds: String) -> [Entry] {
        faults.map { Entry(name: $0.name, summary: $0.summary, kinds: kinds) }
    }

    private static let summaries = Dictionary(all.map { ($0.name, $0.summary) }, uniquingKeysWith: { a, _ in a })

    /// What a fault is, in a line; empty for a name that is none.
    package static func summary(of name: String) -> String { summaries[name] ?? "" }
}
