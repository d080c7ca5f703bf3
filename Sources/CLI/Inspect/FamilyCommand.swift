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
              duality family --hosts 8 --network 10GbE --bandwidth 70 --tflops 4 --memory 64 --weight-bytes 1
            """)

    @Option(
        name: .long,
        help: ArgumentHelp("A model's directory; a config.json will do. (default: the released 8B)", valueName: "dir"))
    var model: String?
    @Option(name: .long, help: ArgumentHelp("Memory bandwidth of the machine.", valueName: "GB/s"))
    var bandwidth: Double?
    @Option(name: .long, help: ArgumentHelp("Its arithmetic, in the format of the weights.", valueName: "TFLOP/s"))
    var tflops: Double?
    @Option(name: .long, help: ArgumentHelp("Its memory.", valueName: "GB"))
    var memory: Double?
    @Option(name: .long, help: ArgumentHelp("Bytes of a stored weight.", valueName: "bytes"))
    var weightBytes = 2.0
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
            "With --hosts: what is between them: \(Network.known.map(\.name).joined(separator: ", ")).",
            valueName: "name"))
    var network = "10GbE"
    @Flag(name: .long, help: "Print JSON.")
    var json = false

    private static let lengths = [4096, 8192, 16384, 32768, 65536, 131_072]

    func validate() throws {
        for (name, value) in [("--bandwidth", bandwidth), ("--tflops", tflops), ("--memory", memory)] {
            if let value, !(value > 0 && value.isFinite) { throw ValidationError("\(name) must be greater than 0.") }
        }
        if let hosts, hosts < 1 || hosts > 4096 { throw ValidationError("--hosts must be from 1 to 4096.") }
        guard weightBytes > 0, weightBytes.isFinite, windowSize >= 1 else {
            throw ValidationError("--weight-bytes must be greater than 0 and --window-size at least 1.")
        }
    }

    func run() throws {
        let base = try model.map { try HybridConfiguration(directory: ($0 as NSString).expandingTildeInPath) }
        if let hosts {
            let report = HostsReport(
                cost: try ModelCost(base ?? FamilyMember.released), machine: machine, hosts: hosts,
                network: try Network(named: network), bytesPerWeight: weightBytes)
            return print(json ? report.json.serialized(indented: true) : report.text)
        }
        let members = try FamilyMember.all(of: base ?? FamilyMember.released, window: windowSize)
        let report = FamilyReport(
            members: members, machine: machine, lengths: Self.lengths, bytesPerWeight: weightBytes,
            showsPublished: base == nil)
        print(json ? report.json.serialized(indented: true) : report.text)
    }

    private var machine: Machine {
        var machine = Machine.eightH200
        if bandwidth != nil || tflops != nil || memory != nil { machine.name = "as given" }
        if let bandwidth { machine.bandwidth = bandwidth * 1e9 }
        if let tflops { machine.operations = tflops * 1e12 }
        if let memory { machine.memory = memory * 1e9 }
        return machine
    }
}
