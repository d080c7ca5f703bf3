//  What a caller wants of the engine that runs a model. Everything is optional: what is left out is
//  chosen by EngineChoice.swift.

import DualityCore
import DualityQuant

/// The wishes of a caller: who computes, in which format, on how many threads.
public struct EngineRequest: Sendable {
    /// Who computes.
    public enum Engine: String, Sendable, CaseIterable {
        /// The kernels of this machine.
        case fast
        /// The plain Swift of the book.
        case reference
    }

    /// In what number format.
    public enum Precision: String, Sendable, CaseIterable {
        /// IEEE binary64; the reference only.
        case f64
        /// Weights and arithmetic in float32; either engine.
        case f32
        /// Weights in bfloat16, arithmetic in float32; the fast engine only.
        case bf16
        /// Weights in bfloat16, activations rounded to it; the fast engine only.
        case bf16Dot = "bf16-dot"
        /// Weights in bfloat16, activations as two of them; the fast engine only.
        case bf16Split = "bf16-split"
        /// Weights and activations in int8; the fast engine only.
        case int8
        /// Weights in int4, activations in int8; the fast engine only.
        case int4
        /// `int4`, and int8 where four bits cost most; the fast engine only.
        case int4Mixed = "int4-mixed"

        /// The fast engine's name of it; nil for f64, which it does not have.
        public var fast: EnginePrecision? { EnginePrecision(rawValue: rawValue) }
    }

    /// Nil: the fast engine where it has the model's layers, else the reference.
    public var engine: Engine?
    /// Nil: int8 from 1 GiB of bfloat16 weights on, else bf16; f32 with the reference.
    public var precision: Precision?
    /// How the fast engine keeps keys and values. Nil: bf16, and f32 beside f32 weights.
    public var keyValues: KeyValueFormat?
    /// Inputs that share a scale: in int8 a multiple of 32, or 0 for one scale per row; in int4 32,
    /// 64 or 128. Nil: in int8 32 for models narrower than 1024, else 0; in int4 32.
    public var group: Int?
    /// Threads of the fast engine. Nil: one for each core.
    public var threads: Int?
    /// Whether a quantized file is read into memory instead of being mapped.
    public var isResident = false
    /// Whether NaN and infinite weights are accepted.
    public var allowsNonFinite = false
    /// The other processes that compute the model with this one; nil for none.
    package var exchange: (any RankExchange)?
    /// Into how many ranges of layers they divide it; each is of as many processes, by rows.
    package var stages = 1
    /// What they send each other.
    package var wire = RankWire.Form.auto
    /// How much of the model each of them has.
    package var balance = RankBalance.equal
    /// What is asked for against the word of the configuration.
    public var reading = ModelReading()

    /// No wishes but those given.
    public init(engine: Engine? = nil, precision: Precision? = nil) {
        self.engine = engine
        self.precision = precision
    }

    /// The threads that were asked for, else those that all callers share.
    public var pool: ThreadPool { threads.map { ThreadPool(threads: $0) } ?? .common }

    /// - Throws: `InputError` (`.value`) for wishes that exclude each other, or numbers out of
    ///   range.
    public func check() throws(InputError) {
        func refuse(_ what: String, needs: String, _ found: String) -> InputError {
            InputError(.value, in: what, expected: needs, found: found)
        }
        if let threads, threads < 1 { throw refuse("threads", needs: "at least 1", "\(threads)") }
        if let group, !WeightFormat.isGroup(group) {
            throw refuse("group", needs: "0 or a multiple of 32", "\(group)")
        }
        if let group, precision == .int4 || precision == .int4Mixed, !WeightFormat.isInt4Group(group) {
            throw refuse("group", needs: "32, 64 or 128 for int4", "\(group)")
        }
        if engine == .fast, precision == .f64 { throw refuse("precision f64", needs: "the reference engine", "fast") }
        if engine == .reference, let precision, precision != .f64, precision != .f32 {
            throw refuse("precision \(precision.rawValue)", needs: "the fast engine", "reference")
        }
        if engine == .reference || precision == .f64 {
            let wishes = [
                ("a format of keys and values", keyValues != nil), ("threads", threads != nil), ("group", group != nil),
                ("resident", isResident),
            ]
            for (wish, isGiven) in wishes where isGiven {
                throw refuse(wish, needs: "the fast engine", "reference")
            }
        }
        if exchange != nil, engine == .reference || precision == .f64 {
            throw refuse("several ranks", needs: "the fast engine", "reference")
        }
        if exchange != nil, isResident {
            throw refuse("resident", needs: "one rank: several map the file, and read their own part", "several")
        }
        if group != nil, let precision, !(precision.fast?.hasScales ?? false) {
            throw refuse("group", needs: "precision int8, int4 or int4-mixed, which have scales", precision.rawValue)
        }
    }
}
