//  What several hosts are worth: decoding and prompts of one model on R ranks that exchange what
//  they compute.
//
//      token  = (weights + keys, values and states) / R / (0.95 bandwidth) × 1.03  +  Σ exchange(bytes)  +  logits
//      prompt = operations / R / operations per second × 1.03                     +  Σ exchange(rows × bytes)
//      exchange(bytes) = min( start + (R - 2) peer, ⌈log2 R⌉ start )  +  bytes (R - 1) / R / rate
//
//  0.95 is what one machine reaches of its read bandwidth, 1.03 the wait for the slowest rank (1 to
//  6 % of a layer were measured on two ranks). What is exchanged per layer, float32 per row:
//
//      mixer      a or y of H D, then Δ of Dm; twice as many where B'MOJO-F has a mixer inside; z too where a norm spans heads
//      expansion  k and v of Hkv D each, where GDN and GKA have one
//      MLP        hidden of F, then Δ of Dm
//      logits     4 V bytes to rank 0 for every token that is drawn

import DualityCore
import Foundation

/// A connection between hosts, as far as predictions know it.
package struct Network: Sendable, Equatable {
    package let name: String
    /// Seconds of an exchange of nothing between two ranks.
    package let start: Double
    /// Seconds that each further rank adds.
    package let peer: Double
    /// Bytes a second of each rank.
    package let rate: Double

    /// Shared memory is measured, the others are assumed.
    package static let known = [
        Network(name: "shared-memory", start: 3.5e-6, peer: 0.4e-6, rate: 10e9),
        Network(name: "1GbE", start: 35e-6, peer: 4e-6, rate: 0.117e9),
        Network(name: "10GbE", start: 20e-6, peer: 2.2e-6, rate: 1.17e9),
        Network(name: "25GbE", start: 15e-6, peer: 1.7e-6, rate: 2.9e9),
        Network(name: "100GbE-RDMA", start: 3e-6, peer: 0.4e-6, rate: 11.7e9),
    ]

    /// Takes the numbers as they are, from a measurement.
    package init(name: String, start: Double, peer: Double, rate: Double) {
        (self.name, self.start, self.peer, self.rate) = (name, start, peer, rate)
    }

    /// - Throws: `InputError` (`.value`) for a name that is not known.
    package init(named name: String) throws(InputError) {
        guard let network = Self.known.first(where: { $0.name.lowercased() == name.lowercased() }) else {
            throw InputError(
                .value, in: "--network", expected: Self.known.map(\.name).joined(separator: ", "), found: name)
        }
        self = network
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

extension ModelCost {
    /// Float32 columns per row of every exchange of a pass through the layers.
    var exchangedColumns: [Int] {
        configuration.layers.flatMap { exchangedColumns($0) }
    }

    private func exchangedColumns(_ kind: LayerKind) -> [Int] {
        let (inner, shared, width) = (configuration.innerSize, configuration.keyValueSize, configuration.hiddenSize)
        var columns: [Int]
        switch kind {
        case .attention, .slidingWindowAttention: columns = [inner, width]
        case .mamba2: columns = configuration.plainMamba2 == nil ? [inner, width] : [inner, inner, width]
        case .gatedDeltaNet:
            columns = (configuration.gatedDeltaNet.expansion.rank == nil ? [] : [shared, shared]) + [inner, width]
        case .gatedKalmaNet:
            columns = (configuration.gatedKalmaNet.expansion.rank == nil ? [] : [shared, shared]) + [inner, width]
        case .bmojo:
            let ofMLP = 2
            columns = exchangedColumns(configuration.bmojo.mixer).dropLast(ofMLP) + [inner, width]
        }
        return columns + (configuration.plainMamba2 == nil ? [configuration.intermediateSize, width] : [])
    }

    /// Tokens per second of one sequence on `ranks` machines.
    package func decodeSpeed(
        context n: Int, on machine: Machine, ranks: Int, over network: Network, bytesPerWeight: Double = 2,
        keyValueBits: Int = 16
    ) -> Double {
        let bytes = decodedBytes(context: n, bytesPerWeight: bytesPerWeight, keyValueBits: keyValueBits)
        let own = (bytes.weights + bytes.cache) / Double(ranks)
        let exchanges = exchangedColumns.reduce(0) { $0 + network.exchange(bytes: 4 * Double($1), ranks: ranks) }
        let logits = ranks > 1 ? logitBytes * Double(ranks - 1) / Double(ranks) / network.rate : 0
        return 1 / (own / (0.95 * machine.bandwidth) * 1.03 + exchanges + logits)
    }

    private var logitBytes: Double { 4 * Double(configuration.vocabularySize) }

    /// Tokens per second of a prompt of `n` tokens on `ranks` machines.
    package func promptSpeed(
        _ n: Int, on machine: Machine, ranks: Int, over network: Network
    ) -> Double {
        let own = operationsOfPrompt(n) / Double(ranks) / machine.operations * 1.03
        let rows = Double(n)
        // Messages of a pass of 512 rows; their starts matter little beside their bytes.
        let passes = Double((n + 511) / 512)
        let exchanges = exchangedColumns.reduce(0) {
            $0 + passes * network.exchange(bytes: 4 * Double($1) * rows / passes, ranks: ranks)
        }
        return rows / (own + exchanges)
    }
}
