//  The parts of a model that may each have a number format of their own.
//
//  in_proj is five parts side by side (z | x | B | C | dt): dt steers the decay of the state over
//  hundreds of tokens and stays float32 where the rest is int8 or bfloat16.

import DualityCore

/// The number format of a stored matrix.
public enum WeightFormat: Sendable, Hashable {
    case float32
    case bfloat16
    /// The same numbers in twelve bits each, without loss: an exponent is an index into the sixteen
    /// that its panel has most of, the few others are listed. A matrix for which that does not pay
    /// is stored as `bfloat16`.
    case compactBFloat16
    /// Symmetric, -127 … 127, with a float32 scale for each output row and each group of `group`
    /// inputs; 0 is one scale a row.
    case int8(group: Int)

    /// The name in files, tables and flags.
    public var name: String {
        switch self {
        case .float32: "f32"
        case .bfloat16: "bf16"
        case .compactBFloat16: "bf16-12bit"
        case .int8(group: 0): "int8"
        case .int8(let group): "int8/\(group)"
        }
    }

    /// The bytes of a matrix of `rows` rows of `columns` numbers, without padding.
    public func byteCount(rows: Int, columns: Int) -> Int {
        switch self {
        case .float32: 4 * rows * columns
        case .bfloat16: 2 * rows * columns
        case .compactBFloat16: (3 * rows * columns + 1) / 2
        case .int8(let group): rows * columns + 4 * rows * (group == 0 ? 1 : (columns + group - 1) / group)
        }
    }
}

/// What a person chooses for a whole model.
public enum EnginePrecision: String, Sendable, CaseIterable, Codable {
    case f32
    case bf16
    /// The weights of `bf16`, and activations rounded to bfloat16 too: the arithmetic of the
    /// instruction `vdpbf16ps`, bit for bit also where it is emulated.
    case bf16Dot = "bf16-dot"
    case int8

    /// What is multiplied with what.
    public var arithmetic: String {
        switch self {
        case .f32: "float32 weights, float32 activations"
        case .bf16: "bfloat16 weights, float32 activations"
        case .bf16Dot: "bfloat16 weights, activations rounded to bfloat16"
        case .int8: "int8 weights, int8 activations"
        }
    }
}

/// A part of a model with a number format of its own.
public enum ModelPart: String, Sendable, CaseIterable, Hashable, Codable {
    case embedding
    case head
    case query = "q"
    case key = "k"
    case value = "v"
    case output = "o"
    case gate
    case up
    case down
    case z
    case x
    case b = "B"
    case c = "C"
    case dt
    case outputProjection = "out_proj"
}

/// The number format of every part of a model.
public struct PrecisionPlan: Sendable, Equatable {
    private var formats: [ModelPart: WeightFormat] = [:]
    /// The format of parts that are not set by themselves.
    public let base: WeightFormat
    /// Whether activations that meet bfloat16 weights are rounded to bfloat16 (`bf16-dot`). It is a
    /// matter of computing, not of what is stored: files do not keep it.
    public var roundsActivations = false

    /// Every part in one format, dt included.
    public init(uniform format: WeightFormat) {
        base = format
    }

    /// Inputs that share a scale in int8 unless something else is asked for: 32 for models narrower
    /// than 1024, where a row is too short to hide its outliers and speed is no matter; one scale a
    /// row for others. Measured: docs/performance.md, "Quality".
    public static func defaultGroup(_ configuration: HybridConfiguration) -> Int {
        configuration.hiddenSize < 1024 ? 32 : 0
    }

    /// The plan for a precision with the default group of a model.
    public init(_ precision: EnginePrecision, for configuration: HybridConfiguration) {
        self.init(precision, group: Self.defaultGroup(configuration))
    }

    /// The plan for a precision: every matrix in its format, dt in float32.
    ///
    /// - Parameter group: inputs that share a scale in int8; 0 for one scale a row.
    public init(_ precision: EnginePrecision, group: Int) {
        switch precision {
        case .f32: self.init(uniform: .float32)
        case .bf16, .bf16Dot: self.init(uniform: .compactBFloat16)
        case .int8: self.init(uniform: .int8(group: group))
        }
        self[.dt] = .float32
        roundsActivations = precision == .bf16Dot
    }

    /// The precision of which this is the plan, by its base.
    public var precision: EnginePrecision {
        switch base {
        case .float32: .f32
        case .bfloat16, .compactBFloat16: roundsActivations ? .bf16Dot : .bf16
        case .int8: .int8
        }
    }

    public subscript(part: ModelPart) -> WeightFormat {
        get { formats[part] ?? base }
        set { formats[part] = newValue == base ? nil : newValue }
    }
}
