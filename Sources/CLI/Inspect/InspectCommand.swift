//  `duality inspect`: what a model is made of, what it costs, and whether its files are what they
//  should be.

import ArgumentParser
import DualityCore
import DualityInference
import Foundation

struct InspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Show what a model is made of and whether its files are complete.",
        discussion: """
            Prints the configuration, the layers as a strip, parameters and bytes by component,
            the size of the caches at 1K, 32K and 128K tokens, warnings, and every way in which
            the weights are not what the configuration requires.

            Of a packed model, which duality quantize made, also its number formats, parts and
            sizes, and what it was made of.

            A directory with nothing but a config.json will do: the weights are then counted
            from the configuration, and reported as absent.

            Exit status 2 when the model cannot be used as it is.
            """)

    @Argument(help: "The model's directory. (default: $DUALITY_MODEL, else the embedded model)")
    var model: String?

    @Option(name: .customLong("model"), help: ArgumentHelp("The same, as an option.", valueName: "dir"))
    var modelOption: String?

    @Flag(name: .long, help: "Print JSON, with every number of bytes exact.")
    var json = false

    @Flag(name: .long, help: "Do not read the weights to look for NaN and infinity.")
    var allowNonFinite = false

    func validate() throws {
        if model != nil && modelOption != nil { throw ValidationError("Give the model once.") }
    }

    func run() throws {
        let report = try InspectReport(
            directory: ModelLocation.find(model ?? modelOption), readsWeights: !allowNonFinite)
        print(json ? report.json.serialized(indented: true) : report.text)
        if let error = report.error { throw error }
    }
}
