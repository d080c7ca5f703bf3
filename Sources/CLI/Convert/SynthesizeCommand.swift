//  duality synthesize: a model of a real shape with random weights, to measure speed with.

import ArgumentParser
import DualityCore
import DualityMeasure
import DualityQuant
import Foundation

struct SynthesizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "synthesize",
        abstract: "Write a packed model of a real shape with seeded random weights.",
        discussion: """
            For `duality bench`: speed depends on the shape and not on the values, as long as those are of ordinary size. The model says nothing sensible.

            Shapes: \(KnownShape.all.map(\.name).joined(separator: ", ")). hqwen3 is the hybrid, with Mamba-2, or the kind the name ends with, in every second layer.

            Examples:
              duality synthesize --shape hqwen3-8b --precision int8 --out /tmp/8b
              duality synthesize --config path/to/config.json --precision bf16 --out /tmp/model
            """)

    @Option(name: .long, help: ArgumentHelp("The name of a shape.", valueName: "name"))
    var shape: String?
    @Option(name: .long, help: ArgumentHelp("A config.json, or a directory that holds one.", valueName: "file"))
    var config: String?
    @Option(name: .long, help: ArgumentHelp("int8, int4, int4-mixed, bf16 or f32.", valueName: "format"))
    var precision: EnginePrecision = .int8
    @OptionGroup var scales: ScaleOptions
    @Option(name: .long, help: ArgumentHelp("Layers to keep (default: all).", valueName: "n"))
    var layers: Int?
    @Option(name: .long, help: "Seed of the random weights.")
    var seed: UInt64 = 1
    @Option(name: .long, help: ArgumentHelp("The directory to write.", valueName: "dir"))
    var out: String
    @Flag(name: .long, help: "Print the report as JSON.")
    var json = false

    func validate() throws {
        try precision.requireStored()
        guard (shape == nil) != (config == nil) else {
            throw ValidationError("Give the shape by exactly one of --shape and --config.")
        }
        if let layers, layers < 1 { throw ValidationError("--layers must be at least 1.") }
    }

    func run() throws {
        let (configuration, text, name) = try described()
        let target = try PackedOutput(out, besides: nil)
        let source = try SyntheticCheckpoint(configuration, seed: seed)
        let plan = try scales.plan(precision, for: configuration)
        let quantizer = try Quantizer(
            source, configuration: configuration, plan: plan,
            fingerprint: "random weights of \(name), seed \(seed)", allowsNonFinite: true)
        try checkRoom(quantizer.byteCount, target.directory)
        try target.write("config.json", Data(text.utf8))
        let outcome = try quantizer.write(toDirectory: target.directory) { done, all, tensor in
            Terminal.progress("\(done.binaryUnits) of \(all.binaryUnits)  \(tensor ?? "")")
        }
        Terminal.clearProgress()
        try target.finish(outcome, plan: plan, source: name, asJSON: json)
    }

    /// The configuration, its config.json, and what to call it.
    private func described() throws -> (HybridConfiguration, String, String) {
        var json: JSON
        let name: String
        if let shape {
            json = try KnownShape.named(shape).json
            name = shape
        } else {
            var path = config ?? ""
            var isDirectory: ObjCBool = false
            if FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), isDirectory.boolValue {
                path = (path as NSString).appendingPathComponent("config.json")
            }
            json = try JSON(contentsOf: path)
            name = "config.json"
        }
        if let layers, var object = json.object {
            let all = try HybridConfiguration(json: json, place: name).layers
            guard layers <= all.count else {
                throw InputError(
                    .value, in: "--layers", expected: "at most the shape's \(all.count)", found: "\(layers)")
            }
            let kept = all.prefix(layers).map(\.rawValue)
            object["num_hidden_layers"] = JSON(layers)
            if object["hybrid_override_pattern"] != nil {
                object["hybrid_override_pattern"] = .string(kept.joined(separator: "-"))
            }
            if object["layer_types"] != nil { object["layer_types"] = .array(kept.map { .string($0) }) }
            json = .object(object)
        }
        return (try HybridConfiguration(json: json, place: name), json.serialized(indented: true) + "\n", name)
    }

    private func checkRoom(_ bytes: Int, _ directory: String) throws {
        let attributes = try? FileManager.default.attributesOfFileSystem(forPath: directory)
        guard let free = (attributes?[.systemFreeSize] as? NSNumber)?.intValue, free < bytes else { return }
        throw InputError(
            .value, in: directory, expected: "\(bytes.binaryUnits) of free space", found: free.binaryUnits)
    }
}
