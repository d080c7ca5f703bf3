//  Test vectors for a shape of one's own: the questions of the standard suite, asked of the heads,
//  widths, chunks and lengths that a kernel is built for.
//
//  A tile that is cut off, a block size that divides nothing, an index that overflows show at the
//  sizes at which a kernel runs, and at no others.

import DualityCore
import DualityNumerics
import DualityReference

/// The sizes of a suite.
public struct SuiteShape: Sendable, Equatable {
    /// Heads of dt, of x, of B and of C; nil: those of x as many as of dt, those of C as of B.
    public var heads = 4
    /// Hx, the heads of x; nil for as many as of dt.
    public var xHeads: Int?
    /// Gb, the heads of B.
    public var groups = 1
    /// Gc, the heads of C; nil for as many as of B.
    public var cGroups: Int?
    /// P and N.
    public var headDim = 64
    /// N, the width of the state.
    public var stateDim = 128
    /// Q, and the tokens of the longest cases; nil: two chunks and three tokens.
    public var chunk = 64
    /// Tokens of the longest cases; nil for two chunks and three tokens.
    public var length: Int?
    /// B, the rows; a few cases have one more.
    public var batch = 1

    public init() {}

    /// What to call the suite.
    public let name = "shape"

    /// The sizes by the names that commands and other languages use.
    public static let names = [
        "heads", "x_heads", "groups", "c_groups", "head_dim", "state", "chunk", "length", "batch",
    ]

    /// Sets a size by its name.
    ///
    /// - Throws: `InputError`: `.unknown` for another name, `.value` for a size that is none.
    public mutating func set(_ name: String, to size: Int) throws(InputError) {
        guard 1...65_536 ~= size else {
            throw InputError(.value, in: "shape: \(name)", expected: "1 to 65536", found: "\(size)")
        }
        switch name {
        case "heads": heads = size
        case "x_heads": xHeads = size
        case "groups": groups = size
        case "c_groups": cGroups = size
        case "head_dim": headDim = size
        case "state": stateDim = size
        case "chunk": chunk = size
        case "length": length = size
        case "batch": batch = size
        default:
            throw InputError(
                .unknown, in: "shape", expected: Self.names.joined(separator: ", "), found: "\"\(name)\"")
        }
    }

    /// Tokens of the longest cases.
    var tokens: Int { length ?? 2 * chunk + 3 }

    /// Packed sequences of a row.
    private static let mostSequences = 5

    /// State updates that the longest case may take: B L H P N.
    static let largestCase = 1 << 32

    /// The cases.
    ///
    /// - Throws: `InputError` when heads are not shared equally, or a case would be too large.
    public func cases() throws(InputError) -> [VectorCase] {
        for (name, count) in [("x_heads", xHeads ?? heads), ("groups", groups), ("c_groups", cGroups ?? groups)]
        where heads % count != 0 {
            throw InputError(
                .value, in: "shape: \(name)", expected: "a divisor of the \(heads) heads", found: "\(count)")
        }
        var work = 1
        for size in [batch, tokens, heads, headDim, stateDim] {
            let (product, overflow) = work.multipliedReportingOverflow(by: size)
            guard !overflow, product <= Self.largestCase else {
                throw InputError(
                    .value, in: "shape", expected: "at most \(Self.largestCase) updates of the state in a case",
                    found: "\(batch) rows of \(tokens) tokens, \(heads) heads of \(headDim) by \(stateDim)",
                    remedy: "Take fewer heads or tokens: heads do not see each other.")
            }
            work = product
        }
        // A few cases have a row more.
        for (operand, lengths) in [
            ("x", [batch + 1, tokens, xHeads ?? heads, headDim]), ("B", [batch + 1, tokens, groups, stateDim]),
            ("C", [batch + 1, tokens, cGroups ?? groups, stateDim]), ("dt", [batch + 1, tokens, heads]),
            ("initial_states", [batch * Self.mostSequences, heads, headDim, stateDim]),
        ] {
            try InputError.requireSize(
                lengths, "shape: \(operand)", of: "an operand", limit: WorkLimits.numbersOfOperand)
        }
        return scans + packings + steps + gradients
    }

    private func item(
        _ name: String, _ catches: String, kind: CaseKind = .scan, length: Int,
        _ describe: @escaping @Sendable (inout SSDCase) -> Void = { _ in },
        adjust: @escaping @Sendable (inout ScanOperands, NumberFormat) -> Void = { _, _ in }
    ) -> VectorCase {
        .scan("shape-\(name)", catches, kind: kind) {
            ($0.batch, $0.length, $0.chunkSize) = (batch, length, chunk)
            ($0.heads, $0.xHeads, $0.bHeads, $0.cHeads) = (heads, xHeads ?? heads, groups, cGroups ?? groups)
            ($0.headDim, $0.stateDim) = (headDim, stateDim)
            describe(&$0)
        } adjust: {
            adjust(&$0, $1)
        }
    }

    /// Lengths around the chunk, each once.
    private var lengths: [Int] {
        var lengths: [Int] = []
        for length in [1, chunk - 1, chunk, chunk + 1, tokens] where length > 0 && length <= tokens {
            if !lengths.contains(length) { lengths.append(length) }
        }
        return lengths
    }

    private var scans: [VectorCase] {
        let short = min(tokens, chunk + 1)
        let around: [VectorCase] = lengths.map { length in
            item("length-\(length)", "lengths around the chunk, with everything on", length: length) {
                ($0.gate, $0.skip) = (true, .channel)
            }
        }
        let others: [VectorCase] = [
            item("plain", "the operator with nothing optional", length: tokens) {
                ($0.bias, $0.skip, $0.stateScale) = (false, .none, 0)
            },
            item("decay-slow", "a long memory", length: tokens) { $0.decay = 1e-4 },
            item("decay-fast", "strong decay", length: short) { $0.decay = 10 },
            item("state-dominant", "a state whose decay is all there is to see", length: tokens) {
                ($0.stateScale, $0.decay, $0.skip) = (1e6, 0.02, .none)
            },
            item("dt-tiny", "softplus far below zero", length: short) {
                $0.decay = 1
            } adjust: { operands, _ in
                operands.change("dt") { i, value in value - Double(2 + i * 7 % 13) }
            },
            item("batch", "an index that mixes rows of the batch", length: short) { $0.batch = batch + 1 },
        ]
        return around + others
    }

    private var packings: [VectorCase] {
        let cuts = [1, chunk - 1, chunk + 1, tokens - 1].filter { $0 > 0 && $0 < tokens }
        guard !cuts.isEmpty else { return [] }
        let ascending = Array(Set(cuts)).sorted()
        let rows = batch
        return [
            item("packed", "boundaries around the chunk", length: tokens) {
                ($0.cuts, $0.decay) = (ascending, 0.01)
            } adjust: { operands, _ in
                operands.keepStatesOfRows(rows)
            },
            item("packed-states", "every sequence with an initial state of its own", length: tokens) {
                ($0.cuts, $0.decay) = (ascending, 0.01)
            },
        ]
    }

    private var steps: [VectorCase] {
        [
            item("step", "single steps from a given state", kind: .step, length: 3) { $0.decay = 0.1 },
            item("step-gate", "single steps with a gate", kind: .step, length: 2) {
                ($0.gate, $0.skip, $0.batch) = (true, .channel, batch + 1)
            },
        ]
    }

    private var gradients: [VectorCase] {
        Set([1, min(tokens, chunk + 1)]).sorted().map { length in
            VectorSuite.gradient("shape-grad-\(length)", "the backward pass of this shape") {
                ($0.batch, $0.length, $0.chunkSize) = (batch, length, chunk)
                ($0.heads, $0.xHeads, $0.bHeads, $0.cHeads) = (heads, xHeads ?? heads, groups, cGroups ?? groups)
                ($0.headDim, $0.stateDim) = (headDim, stateDim)
            }
        }
    }
}
