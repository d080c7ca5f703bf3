//  What is said where a network makes prompts slower.

import DualityMeasure

extension PromptAdvice {
    var text: String {
        "note: this network is slow for prompts: predicted are \(together.decimals(0)) tokens/s, "
            + "\(alone.decimals(0)) on one process and \(pipelined.decimals(0)) with --pipeline-parallel \(ranks) "
            + "instead of --tensor-parallel"
    }
}
