//  Whether a network makes prompts slower on several processes than on one.

import DualityCore
import DualityQuant

/// Prompts of a model that several processes compute by rows, where they are slower than on one.
package struct PromptAdvice {
    package let ranks: Int
    /// Predicted tokens per second: on all, on one, and where each has a range of layers.
    package let together, alone, pipelined: Double

    /// The prompt that is predicted, in tokens.
    private static let tokens = 2048
    /// Seconds for the speed of this machine.
    private static let probe = 0.1

    /// Nil where prompts are not slower.
    ///
    /// - Parameters:
    ///   - machine: one of the processes.
    ///   - network: what is between them.
    package init?(
        _ cost: ModelCost, ranks: Int, machine: Machine, network: Network, bytesPerWeight: Double
    ) {
        func speed(_ ranks: Int) -> Double {
            cost.promptSpeed(Self.tokens, on: machine, ranks: ranks, over: network, bytesPerWeight: bytesPerWeight)
        }
        (self.ranks, together, alone) = (ranks, speed(ranks), speed(1))
        pipelined = cost.pipelineSpeed(Self.tokens, on: machine, stages: ranks, over: network)
        guard together < alone, together < pipelined else { return nil }
    }

    /// Nil where prompts are not slower, or the network was not measured.
    package init?(_ model: QuantModel) throws {
        guard model.rankCount > 1, model.stage == nil, let speed = model.wire.measured else { return nil }
        let readsBytes =
            switch model.plan.base {
            case .int8, .int4: true
            default: false
            }
        let machine = Machine(
            name: "this one", bandwidth: .infinity,
            operations: try Roofline.operations(pool: model.threads, inBytes: readsBytes, seconds: Self.probe),
            memory: .infinity)
        self.init(
            try ModelCost(model.configuration), ranks: model.rankCount, machine: machine,
            network: Network(name: "this one", start: speed.start, peer: 0, rate: speed.bytesPerSecond),
            bytesPerWeight: readsBytes ? 1 : 2)
    }
}
