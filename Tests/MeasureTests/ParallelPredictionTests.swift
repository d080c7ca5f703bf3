//  Predictions for several hosts: figures that were worked out by hand, and what must be so for any
//  network.

import DualityCore
import Testing

@testable import DualityMeasure

@Suite struct ParallelPredictionTests {
    private let cost: ModelCost
    private let host = Machine(name: "2 cores", bandwidth: 30e9, operations: 1.15e12, memory: 64e9)

    init() throws { cost = try ModelCost(FamilyMember.released) }

    /// Per layer of the 8B shape 16384 + 16384 + 49152 + 16384 bytes; as bytes 4096 + 16384 + 12288
    /// + 16384, and two largest.
    @Test func whatATokenOfTheReleasedShapeExchanges() {
        let float = cost.exchanged(rows: 1, ranks: 2, inBytes: false)
        #expect(float.count == 144 && float.bytes == 3_538_944)
        let bytes = cost.exchanged(rows: 1, ranks: 2, inBytes: true)
        #expect(bytes.count == 216 && bytes.bytes == 1_769_472 + 36 * 2 * 8)
    }

    /// Per layer and row 4096 + 12288 + 2 (4096 + 16384 / R) bytes; with the largest of four
    /// exchanges and 32 steps in half of the layers within 1 %.
    @Test(arguments: [(2, 755e6), (8, 528e6)]) func whatAPromptOf512TokensExchanges(ranks: Int, bytes: Double) {
        let found = cost.exchanged(rows: 512, ranks: ranks, inBytes: true).bytes
        #expect(abs(found - bytes) < 0.01 * bytes, "\(found)")
        #expect(cost.exchanged(rows: 512, ranks: ranks, inBytes: false).bytes == 512 * 3_538_944)
    }

    /// Bytes of a token of the 8B shape in int8, added up from its parts.
    private var handCount: Double {
        let (width, hidden) = (4096.0, 12288.0)
        let mlp = 3 * width * hidden
        let attention = width * (4096 + 1024 + 1024) + 4096 * width
        // z, x, B, C and dt; convolution of x, B and C; A, D, dt_bias and three norms.
        let mamba = width * (4096 + 1024 + 1024 + 4096 + 32) + 4096 * width + 6144 * 5 + 3 * 32 + 4096 + 256
        let norms = 2 * width
        let weights = 18 * (attention + 256) + 18 * mamba + 36 * (mlp + norms) + width + 151_936 * width
        // States are read and written; a token's keys and values are written and read once.
        return weights + 18 * 2 * 4 * (32 * 128 * 128 + 6144 * 3) + 18 * 2 * 1024 * 2
    }

    /// Tokens per second of the table: 0.95 of the bandwidth, 1.03 for several ranks, four
    /// exchanges a layer in float32, or six with bytes over gigabit Ethernet.
    @Test(arguments: [
        ("2 cores", 30e9, "1GbE", [3.6, 6.2, 10.4, 15.1]), ("2 cores", 30e9, "10GbE", [3.6, 6.8, 12.8, 22.9]),
        ("desktop", 70e9, "1GbE", [8.4, 12.7, 18.1, 21.8]), ("desktop", 70e9, "10GbE", [8.4, 15.1, 27.1, 43.0]),
        ("server", 250e9, "1GbE", [29.9, 28.7, 30.2, 28.7]), ("server", 250e9, "25GbE", [29.9, 49.8, 81.2, 109]),
        ("server", 250e9, "100GbE-RDMA", [29.9, 56.1, 106, 185]),
    ]) func theTableIsWhatTheFormulaSays(name: String, bandwidth: Double, network: String, table: [Double]) throws {
        let link = try Network(named: network)
        let machine = Machine(name: name, bandwidth: bandwidth, operations: 1e12, memory: 1e12)
        let (starts, bytes) = network == "1GbE" ? (6.0, 2 * 4096 * 4 + 4096 + 12288.0) : (4.0, 4 * (3 * 4096 + 12288.0))
        for (doublings, figure) in table.enumerated() {
            let ranks = Double(1 << doublings)
            let start =
                doublings == 0 ? 0 : min(link.start + (ranks - 2) * link.peer, Double(doublings) * link.start)
            let share = (ranks - 1) / ranks / link.rate
            let own = handCount / ranks / (0.95 * bandwidth) * (ranks == 1 ? 1 : 1.03)
            let expected = 1 / (own + 36 * (starts * start + bytes * share) + 4 * 151_936 * share)
            let speed = cost.decodeSpeed(context: 1, on: machine, ranks: Int(ranks), over: link, bytesPerWeight: 1)
            #expect(abs(speed - expected) < 0.001 * expected, "\(ranks) hosts: \(speed), by hand \(expected)")
            #expect(abs(speed - figure) < 0.01 * figure, "\(ranks) hosts: \(speed), in the table \(figure)")
        }
    }

    /// One host has nobody to wait for, and nothing to say.
    @Test func oneHostIsAsFastAsItsMemory() throws {
        for network in Network.known {
            let speed = cost.decodeSpeed(context: 1, on: host, ranks: 1, over: network, bytesPerWeight: 1)
            #expect(abs(speed * handCount / (0.95 * host.bandwidth) - 1) < 0.001, "\(speed)")
            let prompt = cost.promptSpeed(512, on: host, ranks: 1, over: network)
            #expect(abs(prompt * cost.operationsOfPrompt(512) / 512 / host.operations - 1) < 1e-9, "\(prompt)")
        }
    }

    @Test func fasterNetworksAreNeverSlowerAndSlowOnesStopPaying() throws {
        for ranks in [2, 8, 64] {
            let speeds = try ["1GbE", "10GbE", "25GbE", "100GbE-RDMA"].map {
                cost.decodeSpeed(context: 1, on: host, ranks: ranks, over: try Network(named: $0), bytesPerWeight: 1)
            }
            #expect(speeds == speeds.sorted())
        }
        let server = Machine(name: "server", bandwidth: 250e9, operations: 20e12, memory: 512e9)
        let gigabit = try Network(named: "1GbE")
        let speeds = [1, 8].map {
            cost.promptSpeed(512, on: server, ranks: $0, over: gigabit)
        }
        #expect(speeds[1] < speeds[0], "prompts over gigabit between servers: \(speeds)")
    }

    /// 4096 tokens through the 36 layers of the 8B shape: 8 pieces of 512 rows on two hosts, 16 of
    /// 256 on four, and 32 of 128 on ten, of which the busiest has four layers.
    @Test(arguments: [(1, 512, 8, 36), (2, 512, 8, 18), (4, 256, 16, 9), (10, 128, 32, 4)])
    func aPipelineIsAsFastAsItsPiecesFollowEachOther(stages: Int, rows: Int, pieces: Int, layers: Int) throws {
        let all = cost.operationsOfPrompt(4096) / host.operations
        for network in Network.known {
            let stage = all / Double(pieces) * Double(layers) / 36
            let transfer = stages == 1 ? 0 : network.start + Double(rows) * 4096 * 4 / network.rate
            let seconds = Double(stages - 1) * (stage + transfer) + Double(pieces) * max(stage, transfer)
            let speed = cost.pipelineSpeed(4096, on: host, stages: stages, over: network)
            #expect(abs(speed * seconds / 4096 - 1) < 1e-9, "\(stages) on \(network.name): \(speed)")
        }
    }

    @Test func aPipelineAsksLittleOfTheNetwork() throws {
        let gigabit = try Network(named: "1GbE")
        let desktop = Machine(name: "desktop", bandwidth: 70e9, operations: 4e12, memory: 64e9)
        func pipeline(_ n: Int, _ stages: Int) -> Double {
            cost.pipelineSpeed(n, on: desktop, stages: stages, over: gigabit)
        }
        let together = cost.promptSpeed(4096, on: desktop, ranks: 4, over: gigabit, bytesPerWeight: 1)
        #expect(together < pipeline(4096, 1) && pipeline(4096, 4) > 2 * pipeline(4096, 1))
        // Further hosts than layers have nothing to do, and one token goes through all in turn.
        #expect(pipeline(4096, 100) == pipeline(4096, 36))
        #expect(pipeline(1, 2) < pipeline(1, 1) && pipeline(1, 2) > 0.9 * pipeline(1, 1))
    }

    @Test func slowNetworksAreAdvisedAgainst() throws {
        func advice(_ network: String, _ operations: Double, ranks: Int = 2) throws -> PromptAdvice? {
            PromptAdvice(
                cost, ranks: ranks,
                machine: Machine(name: "", bandwidth: 70e9, operations: operations, memory: .infinity),
                network: try Network(named: network), bytesPerWeight: 1)
        }
        let found = try #require(try advice("1GbE", 4e12))
        #expect(found.ranks == 2 && found.together < found.alone && found.alone < found.pipelined)
        #expect(try advice("10GbE", 4e12) == nil && advice("shared-memory", 20e12) == nil)
        #expect(try advice("10GbE", 20e12, ranks: 4) != nil && advice("10GbE", 20e12, ranks: 1) == nil)
    }

    /// As a run shows what it has measured.
    @Test func aNetworkMayBeGivenInNumbers() throws {
        let network = try Network(named: "21:2.95")
        #expect(abs(network.start - 21e-6) < 1e-12 && abs(network.rate - 2.95e9) < 1)
        #expect(!network.isMeasured && network.peer < network.start)
        #expect(try Network(named: "0:1").start == 0)
        for wrong in ["", ":", "21", "21:", ":2", "1:2:3", "-1:2", "1:0", "nan:1", "1:nan", "inf:1", "1:1e99", "a:b"] {
            #expect(throws: InputError.self, "\(wrong)") { try Network(named: wrong) }
        }
    }

    @Test func anUnknownNetworkIsRefusedWithThoseThatAreKnown() {
        let error = #expect(throws: InputError.self) { try Network(named: "token-ring") }
        #expect(error?.expected.contains("10GbE") == true)
    }
}
