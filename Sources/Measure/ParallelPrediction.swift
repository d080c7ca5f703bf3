//  What several hosts are worth: decoding and prompts of one model on R ranks that exchange what
//  they compute.
//
//      token  = (weights + keys, values and states) / R / (0.95 bandwidth) × skew  +  Σ exchange(bytes)  +  logits
//      prompt = operations / R / operations per second × skew                     +  Σ exchange(rows × bytes)
//      pipeline = (P - 1) (stage + transfer) + pieces × max(stage, transfer)      P stages, the slowest of them
//      transfer = start + rows × 4 Dm / rate
//      exchange(bytes) = min( start + (R - 2) peer, ⌈log2 R⌉ start )  +  bytes (R - 1) / R / rate
//
//  0.95 is what one machine reaches of its read bandwidth. The skew is 1.03 of several ranks, the
//  wait for the slowest (1 to 6 % of a layer were measured on two), and 1 of one. What is exchanged
//  per layer and row, in numbers of 4 bytes:
//
//      mixer      a or y of H D, then Δ of Dm; twice as many where B'MOJO-F has a mixer inside; z too where a norm spans heads
//      expansion  k and v of Hkv D each, where GDN and GKA have one
//      MLP        hidden of F, then Δ of Dm
//      logits     4 V bytes to rank 0 for every token that is drawn
//
//  Weights of one byte and less read a, y and hidden as bytes: those travel, behind a largest
//  number per row, where that is faster. Of 8 rows and more each rank then has its rows of the
//  stream: Δ goes to them alone, and the normalised rows to all as bytes, with what steers heads
//  beside them.

import DualityCore
import DualityQuant
import Foundation

/// A connection between hosts, as far as predictions know it.
package struct Network: Sendable, Equatable {
    package let name: String
    /// Seconds of an exchange of nothing between two ranks.
    package let start: Double
    /// Seconds that each further rank adds: assumed for every network, measured for none.
    package let peer: Double
    /// Bytes a second of each rank.
    package let rate: Double

    /// The start and the rate of shared memory are measured, all else is assumed.
    package static let known = [
        Network(name: "shared-memory", start: 3.5e-6, peer: 0.4e-6, rate: 10e9),
        Network(name: "1GbE", start: 35e-6, peer: 4e-6, rate: 0.117e9),
        Network(name: "10GbE", start: 20e-6, peer: 2.2e-6, rate: 1.17e9),
        Network(name: "25GbE", start: 15e-6, peer: 1.7e-6, rate: 2.9e9),
        Network(name: "100GbE-RDMA", start: 3e-6, peer: 0.4e-6, rate: 11.7e9),
    ]

    /// Whether start and rate were measured.
    package var isMeasured: Bool { name == "shared-memory" }

    /// Takes the numbers as they are, from a measurement.
    package init(name: String, start: Double, peer: Double, rate: Double) {
        (self.name, self.start, self.peer, self.rate) = (name, start, peer, rate)
    }

    /// - Parameter name: one of those known, or microseconds of an exchange and gigabytes per
    ///   second, as `--wire auto` shows what it has measured, such as `21:2.95`.
    /// - Throws: `InputError` (`.value`) for a name that is not known, and numbers of no network.
    package init(named name: String) throws(InputError) {
        if let network = Self.known.first(where: { $0.name.lowercased() == name.lowercased() }) {
            self = network
            return
        }
        let numbers = name.split(separator: ":", omittingEmptySubsequences: false).map { Double($0) ?? -1 }
        guard numbers.count == 2, (0...1e9).contains(numbers[0]), (1e-6...1e6).contains(numbers[1]) else {
            throw InputError(
                .value, in: "--network",
                expected: Self.known.map(\.name).joined(separator: ", ")
                    + ", or microseconds of an exchange and GB/s such as 21:2.95", found: name)
        }
        // Of two ranks; what a further one adds such a measurement does not show.
        self.init(name: name, start: numbers[0] * 1e-6, peer: numbers[0] * 1e-7, rate: numbers[1] * 1e9)
    }

    /// Seconds until each of `ranks` ranks has a vector of which each had a part.
    func exchange(bytes: Double, ranks: Int) -> Double {
        guard ranks > 1 else { return 0 }
        let steps = Double(ranks - 1).bitWidthOfIntegerPart
        let begin = min(start + Double(ranks - 2) * peer, steps * start)
        return begin + bytes * Double(ranks - 1) / Double(ranks) / rate
    }
}

extension Double {
    /// ⌈log2(x + 1)⌉ of a whole number.
    fileprivate var bitWidthOfIntegerPart: Double { Double(Int.bitWidth - Int(self).leadingZeroBitCount) }
}

extension Machine {
    /// The machine that Duality was measured on: 30 GB/s, 1.15 TOPS in int8.
    package static let twoCores = Machine(name: "2 cores", bandwidth: 30e9, operations: 1.15e12, memory: .infinity)
}

extension ModelCost {
    /// What the wait for the slowest rank makes of a rank's own time.
    private func skew(_ ranks: Int) -> Double { ranks > 1 ? 1.03 : 1 }

    /// What ranks exchange in a layer.
    private enum Exchange {
        /// Columns that matrices read, as bytes or not.
        case inputs(Int)
        /// Columns that something else reads.
        case numbers(Int)
        /// What is added to the stream, and what the next norm makes of it.
        case stream
        /// Columns that steer heads, where every rank has rows of its own.
        case steering(Int)
    }

    private func exchanges(_ kind: LayerKind) -> [Exchange] {
        let mlp: [Exchange] =
            configuration.plainMamba2 == nil ? [.inputs(configuration.intermediateSize), .stream] : []
        return mixerExchanges(kind) + [.stream] + mlp
    }

    /// Without the last, which differs where a mixer is inside of another.
    private func mixerExchanges(_ kind: LayerKind) -> [Exchange] {
        let (inner, heads) = (configuration.innerSize, configuration.headCount)
        let expansion: [Exchange] = Array(repeating: .numbers(configuration.keyValueSize), count: 2)
        switch kind {
        case .attention, .slidingWindowAttention: return [.inputs(inner)]
        case .mamba2:
            return configuration.plainMamba2 == nil
                ? [.steering(heads), .inputs(inner)] : [.numbers(inner), .numbers(inner)]
        case .gatedDeltaNet:
            return [.steering(2 * heads)] + (configuration.gatedDeltaNet.expansion.rank == nil ? [] : expansion)
                + [.inputs(inner)]
        case .gatedKalmaNet:
            return [.steering(3 * heads)] + (configuration.gatedKalmaNet.expansion.rank == nil ? [] : expansion)
                + [.inputs(inner)]
        case .bmojo:
            return mixerExchanges(configuration.bmojo.mixer) + [.numbers(configuration.hiddenSize), .inputs(inner)]
        }
    }

    /// The bytes of every exchange of an item, of all ranks together: of those ways in which it can
    /// be done.
    private func ways(_ exchange: Exchange, rows: Int, ranks: Int, inBytes: Bool) -> [[Double]] {
        let (rows, width, all) = (Double(rows), Double(configuration.hiddenSize), Double(ranks))
        let isDivided = inBytes && rows >= 8 && ranks > 1
        switch exchange {
        case .numbers(let columns): return [[4 * rows * Double(columns)]]
        case .inputs(let columns):
            let (float, bytes) = ([4 * rows * Double(columns)], [4 * rows * all, rows * Double(columns)])
            return inBytes ? [float, bytes] : [float]
        case .stream:
            return isDivided ? [[4 * rows * width / all, rows * (width + 4)]] : [[4 * rows * width]]
        case .steering(let columns): return isDivided ? [[4 * rows * Double(columns)]] : []
        }
    }

    /// The bytes that all ranks exchange in a pass through the layers, and how many exchanges there
    /// are, in the way of the fewest bytes.
    func exchanged(rows: Int, ranks: Int, inBytes: Bool) -> (bytes: Double, count: Int) {
        let least = configuration.layers.flatMap { exchanges($0) }.compactMap {
            ways($0, rows: rows, ranks: ranks, inBytes: inBytes).min { $0.reduce(0, +) < $1.reduce(0, +) }
        }
        return (least.reduce(0) { $0 + $1.reduce(0, +) }, least.reduce(0) { $0 + $1.count })
    }

    /// Seconds of the exchanges of a pass through the layers, each in its fastest way.
    private func exchangeSeconds(rows: Int, ranks: Int, over network: Network, inBytes: Bool) -> Double {
        configuration.layers.flatMap { exchanges($0) }.reduce(0) { sum, exchange in
            let times = ways(exchange, rows: rows, ranks: ranks, inBytes: inBytes).map { messages in
                messages.reduce(0) { $0 + network.exchange(bytes: $1, ranks: ranks) }
            }
            return sum + (times.min() ?? 0)
        }
    }

    /// Whether products with weights of a size read bytes.
    private func readsBytes(_ bytesPerWeight: Double) -> Bool { bytesPerWeight <= 1 }

    /// Tokens per second of one sequence on `ranks` machines.
    package func decodeSpeed(
        context n: Int, on machine: Machine, ranks: Int, over network: Network, bytesPerWeight: Double = 2,
        keyValueBits: Int = 16
    ) -> Double {
        let bytes = decodedBytes(context: n, bytesPerWeight: bytesPerWeight, keyValueBits: keyValueBits)
        let own = (bytes.weights + bytes.cache) / Double(ranks)
        let exchanges = exchangeSeconds(
            rows: 1, ranks: ranks, over: network, inBytes: readsBytes(bytesPerWeight))
        let logits = ranks > 1 ? logitBytes * Double(ranks - 1) / Double(ranks) / network.rate : 0
        return 1 / (own / (0.95 * machine.bandwidth) * skew(ranks) + exchanges + logits)
    }

    /// Tokens per second of a prompt of `n` tokens on `stages` machines that have a range of layers
    /// each. Pieces wait for the slowest stage, and the first for every stage before the last.
    package func pipelineSpeed(_ n: Int, on machine: Machine, stages: Int, over network: Network) -> Double {
        let layers = configuration.layers.count
        let stages = max(min(stages, layers), 1)
        let rows = min(PipelineStage.rows(of: n, stages: stages), n)
        let pieces = Double((n + rows - 1) / rows)
        // Whole layers: of 36 on 8 machines five are one's.
        let share = Double((layers + stages - 1) / stages) / Double(layers)
        let stage = operationsOfPrompt(n) / pieces * share / machine.operations
        let bytes = 4 * Double(rows * configuration.hiddenSize)
        let transfer = stages > 1 ? network.start + bytes / network.rate : 0
        return Double(n) / (Double(stages - 1) * (stage + transfer) + pieces * max(stage, transfer))
    }

    /// Bytes of all weights.
    package func bytes(_ bytesPerWeight: Double) -> Double { Double(parameters) * bytesPerWeight }

    private var logitBytes: Double { 4 * Double(configuration.vocabularySize) }

    /// Tokens per second of a prompt of `n` tokens on `ranks` machines.
    package func promptSpeed(
        _ n: Int, on machine: Machine, ranks: Int, over network: Network, bytesPerWeight: Double = 2
    ) -> Double {
        let own = operationsOfPrompt(n) / Double(ranks) / machine.operations * skew(ranks)
        let rows = Double(n)
        let (passes, rest) = n.quotientAndRemainder(dividingBy: 512)
        func seconds(_ rows: Int) -> Double {
            guard rows > 0 else { return 0 }
            return exchangeSeconds(rows: rows, ranks: ranks, over: network, inBytes: readsBytes(bytesPerWeight))
        }
        let exchanges = Double(passes) * seconds(512) + seconds(rest)
        return rows / (own + exchanges)
    }
}
