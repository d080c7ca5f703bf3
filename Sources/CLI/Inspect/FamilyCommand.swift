//  duality family: the same model in every kind of layer, side by side.

import ArgumentParser
import DualityCore
import DualityInference
import DualityMeasure
import Foundation

struct FamilyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "family",
        abstract: "Compare one configuration in every kind of layer: size, memory, operations, predicted speed.",
        discussion: """
            Attention stays where the configuration has it, the other layers become each kind in turn; the dense model is \
            the base of the ratios. Speeds are predictions, not measurements: the slower of memory traffic and arithmetic \
            on the stated machine, with nothing lost. The last columns are what was published for the 8B models on 8 H200, \
            decoding with full cache memory.

            Examples:
              duality family
              duality family --model path/to/model --bandwidth 30 --tflops 1.5 --memory 64 --weight-bytes 1
              duality family --hosts 8 --network 10GbE --bandwidth 70 --tflops 4
            """)

    @Option(
        name: .long,
        help: ArgumentHelp("A model's directory; a config.json will do. (default: the released 8B)", valueName: "dir"))
    var model: String?
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Memory bandwidth of the machine (default: that of 8 H200; with --hosts 30 per host).", valueName: "GB/s"))
    var bandwidth: Double?
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Its arithmetic, in the format of the weights (default: that of 8 H200; with --hosts 1.15 per host).",
            valueName: "TFLOP/s"))
    var tflops: Double?
    @Option(
        name: .long,
        help: ArgumentHelp("Its memory (default: that of 8 H200; with --hosts not considered).", valueName: "GB"))
    var memory: Double?
    @Option(
        name: .long,
        help: ArgumentHelp("Bytes of a stored weight (default: 2; with --hosts 1).", valueName: "bytes"))
    var weightBytes: Double?
    @Option(
        name: .long, help: ArgumentHelp("Window of SWA and BMF layers where the model has none.", valueName: "tokens"))
    var windowSize = 2048
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Predict instead the model on 1, 2, 4 … up to so many machines that compute it together.", valueName: "n"))
    var hosts: Int?
    @Option(
        name: .long,
        help: ArgumentHelp(
            "With --hosts: what is between them: \(Network.known.map(\.name).joined(separator: ", ")), or microseconds of an exchange and GB/s such as 21:2.95 (default: 10GbE).",
            valueName: "name"))
    var network: String?
    @Flag(name: .long, help: "Print JSON.")
    var json = false

    private static let lengths = [4096, 8192, 16384, 32768, 65536, 131_072]

    func validate() throws {
        // Far beyond every machine, and far from where figures overflow.
        let range = 1e-6...1e9
        for (name, value) in [("--bandwidth", bandwidth), ("--tflops", tflops), ("--memory", memory)] {
            if let value, !range.contains(value) {
                throw ValidationError("\(name) must be from 0.000001 to 1000000000.")
            }
        }
        if let hosts, hosts < 1 || hosts > 4096 { throw ValidationError("--hosts must be from 1 to 4096.") }
        if hosts == nil, network != nil { throw ValidationError("--network goes with --hosts.") }
        if let weightBytes, !(0.01...64).contains(weightBytes) {
            throw ValidationError("--weight-bytes must be from 0.01 to 64.")
        }
        guard (1...1 << 30).contains(windowSize) else {
            throw ValidationError("--window-size must be from 1 to \(1 << 30).")
        }
    }

    func run() throws {
        let base = try model.map { try HybridConfiguration(directory: ($0 as NSString).expandingTildeInPath) }
        if let hosts {
            let report = HostsReport(
                cost: try ModelCost(base ?? FamilyMember.released), machine: machine, hosts: hosts,
                network: try Network(named: network ?? "10GbE"), bytesPerWeight: weightBytes ?? 1)
            return print(json ? report.json.serialized(indented: true) : report.text)
        }
        let members = try FamilyMember.all(of: base ?? FamilyMember.released, window: windowSize)
        let report = FamilyReport(
            members: members, machine: machine, lengths: Self.lengths, bytesPerWeight: weightBytes ?? 2,
            showsPublished: base == nil)
        print(json ? report.json.serialized(indented: true) : report.text)
    }

    private var machine: Machine {
        var machine = hosts == nil ? Machine.eightH200 : .twoCores
        if bandwidth != nil || tflops != nil || memory != nil { machine.name = "as given" }
        if let bandwidth { machine.bandwidth = bandwidth * 1e9 }
        if let tflops { machine.operations = tflops * 1e12 }
        if let memory { machine.memory = memory * 1e9 }
        return machine
    }
}
