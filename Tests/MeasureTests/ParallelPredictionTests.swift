//  Predictions for several hosts: figures that were worked out by hand, and what must be so for any
//  network.

import DualityCore
import Testing

@testable import DualityMeasure

@Suite struct ParallelPredictionTests {
    private let cost: ModelCost
    private let host = Machine(name: "2 cores", bandwidth: 30e9, operations: 1.15e12, memory: 64e9)

    init() throws { cost = try ModelCost(FamilyMember.released) }

    /// 16384 + 16384 + 49152 + 16384 bytes per layer of the 8B shape.
    @Test func aTokenOfTheReleasedShapeExchangesItsSums() {
        #expect(cost.exchangedColumns.count == 144)
        #expect(4 * cost.exchangedColumns.reduce(0, +) == 3_538_944)
    }

    /// Two hosts of 30 GB/s, int8: half of 7.6 GB at 28.5 GB/s × 1.03 is 138 ms; 144 starts of
    /// 35 µs are 5 ms, 3.54 MB at half of 117 MB/s 15 ms, logits 2.6 ms. Only the hand counts
    /// scales and norms, hence the 5 %.
    @Test func twoHostsOnGigabitAreWorkedOut() throws {
        let speed = cost.decodeSpeed(
            context: 1, on: host, ranks: 2, over: try Network(named: "1gbe"), bytesPerWeight: 1)
        #expect(abs(speed - 6.2) < 0.05 * 6.2, "\(speed)")
        let one = cost.decodeSpeed(context: 1, on: host, ranks: 1, over: try Network(named: "1GbE"), bytesPerWeight: 1)
        #expect(abs(one - 3.6) < 0.05 * 3.6, "\(one)")
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

    @Test func anUnknownNetworkIsRefusedWithThoseThatAreKnown() {
        let error = #expect(throws: InputError.self) { try Network(named: "token-ring") }
        #expect(error?.expected.contains("10GbE") == true)
    }
}
