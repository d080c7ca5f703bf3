//  The parts of a model that may each have a number format of their own.
//
//  in_proj is five parts side by side (z | x | B | C | dt): dt steers the decay of the state over
//  hundreds of tokens and stays float32 where the rest is int8 or bfloat16. So do the steps, decays
//  and gates of heads in Gated DeltaNet and Gated KalmaNet, whose output gate counts as z.

import DualityCore

/// The number format of a stored matrix.
public enum WeightFormat: Sendable, Hashable {
    /// IEEE binary32.
    case float32
    /// bfloat16, the upper half of a binary32.
    case bfloat16
    /// The same numbers in twelve bits each, without loss: an exponent is an index into the sixteen
    /// that its panel has most of, the few others are listed. A matrix for which that does not pay
    /// is stored as `bfloat16`.
    case compactBFloat16
    /// Symmetric, -127 … 127, with a float32 scale for each output row and each group of `group`
    /// inputs; 0 is one scale per row.
    case int8(group: Int)
    /// Values of an alphabet of sixteen, with an integer scale for each output row and each group
    /// of 32, 64 or 128 inputs, and a float32 scale for each row.
    case int4(group: Int)

    /// The name in files, tables and flags.
    public var name: String {
        switch self {
        case .float32: "f32"
        case .bfloat16: "bf16"
        case .compactBFloat16: "bf16-12bit"
        case .int8(group: 0): "int8"
        case .int8(let group): "int8/\(group)"
        case .int4(let group): "int4/\(group)"
        }
    }

    /// Inputs that share a scale; 0 for one scale per row, and where there are none.
    public var group: Int {
        switch self {
        case .int8(let group), .int4(let group): group
        default: 0
        }
    }

    /// The bytes of a matrix of `rows` rows of `columns` numbers, without padding.
    public func byteCount(rows: Int, columns: Int) -> Int {
        switch self {
        case .float32: 4 * rows * columns
        case .bfloat16: 2 * rows * columns
        case .compactBFloat16: (3 * rows * columns + 1) / 2
        case .int8(let group): rows * columns + 4 * rows * (group == 0 ? 1 : (columns + group - 1) / group)
        case .int4(let group): rows * ((columns + 1) / 2 + (columns + group - 1) / group + 4)
        }
    }
}

/// What a person chooses for a whole model.
public enum EnginePrecision: String, Sendable, CaseIterable, Codable {
    /// float32 weights and activations.
    case f32
    /// bfloat16 weights, float32 activations.
    case bf16
    /// The weights of `bf16`, and activations rounded to bfloat16 too: the arithmetic of the
    /// instruction `vdpbf16ps`, bit for bit also where it is emulated.
    case bf16Dot = "bf16-dot"
    /// The weights of `bf16`, and activations as the sum of two bfloat16 numbers: the arithmetic of
    /// AMX's `tdpbf16ps`, bit for bit also where it is emulated.
    case bf16Split = "bf16-split"
    /// int8 weights with a scale per row or group, int8 activations.
    case int8
    /// int4 weights with a scale per group, int8 activations.
    case int4
    /// int4, and int8 where four bits cost most: embedding, head and `down_proj`.
    case int4Mixed = "int4-mixed"

    /// Whether weights share scales, in groups or rows.
    package var hasScales: Bool { self == .int8 || self == .int4 || self == .int4Mixed }

    /// What is multiplied with what.
    public var arithmetic: String {
        switch self {
        case .f32: "float32 weights, float32 activations"
        case .bf16: "bfloat16 weights, float32 activations"
        case .bf16Dot: "bfloat16 weights, activations rounded to bfloat16"
        case .bf16Split: "bfloat16 weights, activations in two bfloat16 parts"
        case .int8: "int8 weights, int8 activations"
        case .int4: "int4 weights, int8 activations"
        case .int4Mixed: "int4 weights, int8 in embedding, head and down_proj; int8 activations"
        }
    }
}

/// The activations that bfloat16 weights are multiplied with.
public enum BrainActivations: Sendable, Equatable {
    /// `bf16`.
    case float32
    /// Rounded to bfloat16: `bf16-dot`.
    case rounded
    /// The sum of two bfloat16 numbers: `bf16-split`.
    case split

    /// What a precision has; `float32` for those without bfloat16 weights.
    public init(_ precision: EnginePrecision) {
        self =
            switch precision {
            case .bf16Dot: .rounded
            case .bf16Split: .split
            case .f32, .bf16, .int8, .int4, .int4Mixed: .float32
            }
    }

    /// The precision of a model whose weights are bfloat16.
    public var precision: EnginePrecision {
        switch self {
        case .float32: .bf16
        case .rounded: .bf16Dot
        case .split: .bf16Split
        }
    }
}

/// A part of a model with a number format of its own.
public enum ModelPart: String, Sendable, CaseIterable, Hashable, Codable {
    /// The table of token embeddings.
    case embedding
    /// The output head.
    case head
    /// Query projections.
    case query = "q"
    /// Key projections.
    case key = "k"
    /// Value projections.
    case value = "v"
    /// Output projections of attention.
    case output = "o"
    /// Gate projections of the feed-forward layers.
    case gate
    /// Up projections.
    case up
    /// Down projections.
    case down
    /// The rows of in_proj that gate the output.
    case z
    /// The rows of in_proj that enter the state.
    case x
    /// The rows of in_proj that say where in the state x goes.
    case b = "B"
    /// The rows of in_proj that read the state.
    case c = "C"
    /// The rows of in_proj that give steps, decays and gates of heads.
    case dt
    /// Output projections of the other mixers.
    case outputProjection = "out_proj"
}

/// The number format of every part of a model.
public struct PrecisionPlan: Sendable, Equatable {
    private var formats: [ModelPart: WeightFormat] = [:]
    /// The format of parts that are not set by themselves.
    public let base: WeightFormat
    /// What bfloat16 weights meet. It is a matter of computing, not of what is stored: files do not
    /// keep it.
    public var brainActivations = BrainActivations.float32

    /// Every part in one format, dt included.
    public init(uniform format: WeightFormat) {
        base = format
    }

    /// Inputs that share a scale unless something else is asked for. In int8 32 for models narrower
    /// than 1024, where a row is too short to hide its outliers and speed is no matter, and one
    /// scale per row for others; in int4 32. Measured: docs/performance.md, "Quality".
    public static func defaultGroup(_ configuration: HybridConfiguration, _ precision: EnginePrecision = .int8)
        -> Int
    {
        switch precision {
        case .int4, .int4Mixed: 32
        default: configuration.hiddenSize < 1024 ? 32 : 0
        }
    }

    /// The plan for a precision with the default group of a model.
    public init(_ precision: EnginePrecision, for configuration: HybridConfiguration) {
        self.init(precision, group: Self.defaultGroup(configuration, precision))
    }

    /// The plan for a precision: every matrix in its format, dt in float32.
    ///
    /// - Parameter group: inputs that share a scale in int8, 0 for one scale per row; in int4,
    ///   where it is 32, 64 or 128, anything else stands for 32.
    public init(_ precision: EnginePrecision, group: Int) {
        switch precision {
        case .f32: self.init(uniform: .float32)
        case .bf16, .bf16Dot, .bf16Split: self.init(uniform: .compactBFloat16)
        case .int8: self.init(uniform: .int8(group: group))
        case .int4, .int4Mixed: self.init(uniform: .int4(group: WeightFormat.isInt4Group(group) ? group : 32))
        }
        if precision == .int4Mixed, case .int4(let group) = base {
            for part in Self.mixedParts { self[part] = .int8(group: group) }
        }
        self[.dt] = .float32
        brainActivations = BrainActivations(precision)
    }

    /// The precision of which this is the plan, by its base.
    public var precision: EnginePrecision {
        switch base {
        case .float32: .f32
        case .bfloat16, .compactBFloat16: brainActivations.precision
        case .int8: .int8
        case .int4: Self.mixedParts.allSatisfy { self[$0] == base } ? .int4 : .int4Mixed
        }
    }

    /// What is int8 in `int4-mixed`: `duality compare --sensitivity --precision int4` shows why.
    private static let mixedParts: [ModelPart] = [.embedding, .head, .down]

    /// The name in reports: `int8/32`, `int4-mixed/32`, `bf16`.
    public var name: String {
        switch base {
        case .int8, .int4: base.name.replacing("int4", with: precision == .int4Mixed ? "int4-mixed" : "int4")
        // However its bits are stored, bfloat16 is one precision.
        default: precision.rawValue
        }
    }

    /// The format of a part: `base`, unless it was set.
    public subscript(part: ModelPart) -> WeightFormat {
        get { formats[part] ?? base }
        set { formats[part] = newValue == base ? nil : newValue }
    }
}
