//  What computes a result, in full: engine, number format, what is multiplied with what, and the
//  instruction set. Every command that computes says it on stderr, in its JSON and in files that
//  depend on it.

import DualityCore
import DualityInference
import DualityQuant

/// Engine, format, arithmetic and instruction set of a command's model.
public struct Computation: Sendable {
    /// `fast` or `reference`.
    public let engine: String
    /// The number format's name in reports: `f64`, `bf16`, `bf16-dot`, `int8/32`.
    public let precision: String
    /// What is multiplied with what: `bfloat16 weights, float32 activations`.
    public let arithmetic: String
    /// scalar, avx2, avx512, neon or amx; nil for the reference, which is plain Swift.
    public let instructionSet: String?

    /// Takes the four as they are to be reported.
    public init(engine: String, precision: String, arithmetic: String, instructionSet: String?) {
        self.engine = engine
        self.precision = precision
        self.arithmetic = arithmetic
        self.instructionSet = instructionSet
    }

    /// The reference, with weights and activations in one format.
    public init(reference precision: EngineChoice.ReferencePrecision) {
        let type = precision == .f64 ? "float64" : "float32"
        self.init(
            engine: EngineRequest.Engine.reference.rawValue, precision: precision.rawValue,
            arithmetic: "\(type) weights, \(type) activations", instructionSet: nil)
    }

    /// `engine fast, bf16 (bfloat16 weights, float32 activations), avx512`.
    public var line: String { "engine \(engine), \(precision) (\(arithmetic)), \(instructionSet ?? "plain Swift")" }

    /// The four under the names that every report uses.
    private var texts: [(name: String, value: String?)] {
        [
            ("engine", engine), ("precision", precision), ("arithmetic", arithmetic),
            ("instruction_set", instructionSet),
        ]
    }

    /// Sets `engine`, `precision`, `arithmetic` and `instruction_set`; null for none.
    public func write(to object: inout JSON.Object) {
        for (name, value) in texts { object[name] = value.map { .string($0) } ?? .null }
    }

    /// For the metadata of a safetensors file.
    public var metadata: [String: String] {
        Dictionary(uniqueKeysWithValues: texts.map { ($0.name, $0.value ?? "none") })
    }
}

extension ModelLoader {
    /// What the model computes with.
    ///
    /// - Throws: `InputError` when DUALITY_ISA names what this machine does not have.
    public func computation() throws -> Computation {
        let (precision, name): (EnginePrecision, String)
        switch choice {
        case .reference(let precision): return Computation(reference: precision)
        case .packed(let packed): (precision, name) = (packed.plan.precision, choice.precisionName)
        case .fast(let chosen):
            let configuration = try HybridConfiguration(directory: directory)
            let plan = PrecisionPlan(chosen, group: request.group ?? PrecisionPlan.defaultGroup(configuration, chosen))
            (precision, name) = (chosen, plan.name)
        }
        return Computation(
            engine: choice.engineName, precision: name, arithmetic: precision.arithmetic,
            instructionSet: try QuantModel.activeInstructionSet())
    }
}
