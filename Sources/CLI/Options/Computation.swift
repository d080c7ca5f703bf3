//  What computes a result, in full: engine, number format, what is multiplied with what, and the
//  instruction set. Every command that computes says it on stderr, in its JSON and in files that
//  depend on it.

import DualityCore
import DualityInference
import DualityQuant

/// Engine, format, arithmetic and instruction set of a command's model.
struct Computation {
    let engine: String
    let precision: String
    let arithmetic: String
    /// scalar, avx2, avx512 or neon; nil for the reference, which is plain Swift.
    let instructionSet: String?

    init(engine: String, precision: String, arithmetic: String, instructionSet: String?) {
        self.engine = engine
        self.precision = precision
        self.arithmetic = arithmetic
        self.instructionSet = instructionSet
    }

    init(reference precision: Precision) {
        let type = precision == .f64 ? "float64" : "float32"
        self.init(
            engine: Engine.reference.rawValue, precision: precision.rawValue,
            arithmetic: "\(type) weights, \(type) activations", instructionSet: nil)
    }

    /// `engine fast, bf16 (bfloat16 weights, float32 activations), avx512`.
    var line: String { "engine \(engine), \(precision) (\(arithmetic)), \(instructionSet ?? "plain Swift")" }

    /// The four under the names that every report uses.
    private var texts: [(name: String, value: String?)] {
        [
            ("engine", engine), ("precision", precision), ("arithmetic", arithmetic),
            ("instruction_set", instructionSet),
        ]
    }

    func write(to object: inout JSON.Object) {
        for (name, value) in texts { object[name] = value.map { .string($0) } ?? .null }
    }

    /// For the metadata of a safetensors file.
    var metadata: [String: String] {
        Dictionary(uniqueKeysWithValues: texts.map { ($0.name, $0.value ?? "none") })
    }
}

extension EngineChoice {
    /// What a model that is loaded with this choice computes with.
    ///
    /// - Throws: `InputError` when DUALITY_ISA names what this machine does not have, or the model
    ///   is not found.
    func computation(_ options: EngineOptions, model: ModelOptions) throws -> Computation {
        let (precision, name): (EnginePrecision, String)
        switch self {
        case .reference(let precision): return Computation(reference: precision)
        case .packed(let packed): (precision, name) = (packed.plan.precision, precisionName)
        case .fast(let chosen):
            let configuration = try HybridConfiguration(directory: ModelLocation.find(model.model))
            let plan = PrecisionPlan(chosen, group: options.scales.group(for: configuration))
            (precision, name) = (chosen, chosen == .int8 ? plan.base.name : chosen.rawValue)
        }
        return Computation(
            engine: engineName, precision: name, arithmetic: precision.arithmetic,
            instructionSet: try QuantModel.activeInstructionSet())
    }
}
