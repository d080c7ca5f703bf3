//  Test vectors of the layers around the scan: convolution, gated norm, quantized matrix products.

import DualityCore
import DualityNumerics
import DualityReference

extension VectorSuite {
    static let layers: [VectorCase] = convolutions + norms + layerGradients + products + mixers

    /// Tensors of a layer, drawn from streams of their own and rounded to the suite's format.
    struct Draw {
        var table: TensorTable
        let random: RandomSource
        let format: NumberFormat

        init(_ name: String, seed: UInt64, _ format: NumberFormat) {
            table = TensorTable(place: name)
            random = RandomSource(seed: seed)
            self.format = format
        }

        mutating func add(
            _ name: String, _ shape: [Int], as stored: NumberFormat? = nil,
            _ draw: (inout RandomSource) -> Double = { $0.normal() }
        ) throws {
            var source = random.stream(name)
            let values = Tensor(repeating: 0.0, shape: shape).map { _ in format.round(draw(&source)) }
            try table.add(name, values, as: stored ?? format)
        }
    }

    static func layer(
        _ name: String, _ kind: CaseKind, catches: String, options: [String: String] = [:],
        _ make: @escaping @Sendable (inout Draw) throws -> Void
    ) -> VectorCase {
        var source = RandomSource(seed: 2026).stream(name)
        let seed = source.next() >> 16
        let all = options.merging(["kind": kind.rawValue]) { $1 }
        return VectorCase(name: name, kind: kind, catches: catches, seed: seed, options: all) { format in
            var draw = Draw(name, seed: seed, format)
            try make(&draw)
            return draw.table
        }
    }

    private static func convolution(
        _ name: String, _ catches: String, length: Int, bias: Bool = true, window: Bool = false, cuts: [Int] = [],
        width: Int = 4, batch: Int = 1
    ) -> VectorCase {
        layer(name, .convolution, catches: catches) { draw in
            let channels = 24
            try draw.add("x", [batch, length, channels])
            try draw.add("weight", [channels, 1, width], as: .f32) { $0.uniform(in: -0.5...0.5) }
            if bias { try draw.add("bias", [channels], as: .f32) { $0.uniform(in: -0.5...0.5) } }
            if window { try draw.add("initial_window", [batch, channels, width - 1]) }
            if !cuts.isEmpty {
                let row = (0..<length).map { t in cuts.count { $0 <= t } }
                let ids = [[Int]](repeating: row, count: batch).flatMap { $0 }
                try draw.table.add("seq_idx", Tensor(shape: [batch, length], unchecked: ids))
            }
        }
    }

    private static let convolutions: [VectorCase] =
        [
            convolution("conv-plain", "the order of the taps", length: 37, batch: 2),
            convolution("conv-no-bias", "a convolution without a bias", length: 20, bias: false),
            convolution("conv-short", "fewer tokens than taps", length: 2),
            convolution(
                "conv-window", "the window that comes in and the one that goes out", length: 9, window: true, batch: 2),
            convolution("conv-packed", "taps that reach across a boundary", length: 40, cuts: [1, 2, 7, 20, 39]),
            convolution("conv-two-taps", "another width", length: 25, window: true, width: 2),
            convolution("conv-three-taps", "a width that is no power of two", length: 26, window: true, width: 3),
            convolution(
                "conv-packed-window", "a window that belongs to the first sequence alone", length: 12, window: true,
                cuts: [1, 5], batch: 2),
        ] + shortCalls

    /// Calls for fewer tokens than there are taps, with a window: what every step of decoding is.
    private static let shortCalls: [VectorCase] =
        [(2, 1), (3, 1), (3, 2), (4, 1), (4, 2), (4, 3), (4, 4)].map { width, length in
            convolution(
                "conv-\(width)-taps-\(length)-tokens",
                "the window after a call that is shorter than it: the last of the old window and the new tokens",
                length: length, window: true, width: width, batch: 2)
        }
        + [(2, [1]), (3, [1]), (3, [2]), (2, [])].map { length, cuts in
            convolution(
                "conv-4-taps-\(length)-tokens-\(cuts.isEmpty ? "no-bias" : "cut-\(cuts[0])")",
                "a short call with a window, packed or without a bias", length: length, bias: !cuts.isEmpty,
                window: true, cuts: cuts)
        }

    private static func norm(
        _ name: String, _ catches: String, rows: Int, channels: Int, _ options: [String: String], scale: Double = 1
    ) -> VectorCase {
        layer(name, .gatedNorm, catches: catches, options: ["epsilon": "1e-5"].merging(options) { $1 }) { draw in
            try draw.add("x", [rows, channels]) { scale * $0.normal() }
            try draw.add("z", [rows, channels])
            try draw.add("weight", [channels], as: .f32) { $0.uniform(in: 0.25...2) }
        }
    }

    private static let norms: [VectorCase] = [
        norm("norm-groups", "groups of 32, the gate before the norm", rows: 19, channels: 128, ["group_size": "32"]),
        norm("norm-one-group", "a norm over all channels", rows: 11, channels: 96, [:]),
        norm(
            "norm-gate-after", "the gate after the norm", rows: 11, channels: 96,
            ["group_size": "32", "norm_before_gate": "true"]),
        norm(
            "norm-small", "values so small that epsilon decides", rows: 13, channels: 64, ["group_size": "16"],
            scale: 0.004),
    ]

    private static func product(
        _ name: String, _ catches: String, rows: Int, outer: Int, inner: Int, group: Int? = nil, isExtreme: Bool = false
    ) -> VectorCase {
        layer(name, .matmul, catches: catches) { draw in
            func integers(_ name: String, _ count: Int) throws {
                var source = draw.random.stream(name)
                let bytes = (0..<count * inner).map { _ -> UInt8 in
                    let value =
                        isExtreme ? [-128, -127, 127, 127][source.integer(in: 0...3)] : source.integer(in: -127...127)
                    return UInt8(bitPattern: Int8(value))
                }
                try draw.table.add(name, dtype: .i8, shape: [count, inner], bytes: bytes)
            }
            try integers("activations", rows)
            try integers("weights", outer)
            let groups = group.map { inner / $0 }
            try draw.add("activation_scales", groups.map { [rows, $0] } ?? [rows], as: .f32) {
                $0.uniform(in: 0.01...0.05)
            }
            try draw.add("weight_scales", groups.map { [outer, $0] } ?? [outer], as: .f32) {
                $0.uniform(in: 0.001...0.01)
            }
        }
    }

    private static let products: [VectorCase] = [
        product("int8-rows", "int8 with a scale for each row", rows: 5, outer: 33, inner: 200),
        product("int8-groups", "int8 with a scale for each group of 32", rows: 4, outer: 24, inner: 256, group: 32),
        product(
            "int8-extreme", "products that saturate 16 bits in pairs, and -128", rows: 3, outer: 16, inner: 192,
            group: 64, isExtreme: true),
        layer("bf16-product", .matmul, catches: "bfloat16 operands, a K that fills no block") { draw in
            for (name, count) in [("activations", 5), ("weights", 40)] {
                var source = draw.random.stream(name)
                let values = Tensor(repeating: 0.0, shape: [count, 200]).map { _ in
                    NumberFormat.bf16.round(source.normal())
                }
                try draw.table.add(name, values, as: .bf16)
            }
        },
    ]

    private static func mixer(
        _ name: String, _ catches: String, heads: Int, shared: Int, length: Int, norms: Bool,
        _ options: [String: String] = [:]
    ) -> VectorCase {
        let usual = ["epsilon": "1e-5", "bc_epsilon": "1e-6", "chunk_size": "64"]
        return layer(name, .mixer, catches: catches, options: usual.merging(options) { $1 }) { draw in
            let (dim, model, width) = (16, 48, 4)
            let (inner, part) = (heads * dim, shared * dim)
            let channels = 2 * part + inner
            try draw.add("hidden_states", [1, length, model])
            try draw.add("in_proj.weight", [2 * inner + 2 * part + heads, model]) { 0.15 * $0.normal() }
            try draw.add("conv1d.weight", [channels, 1, width], as: .f32) { $0.uniform(in: -0.5...0.5) }
            try draw.add("conv1d.bias", [channels], as: .f32) { $0.uniform(in: -0.5...0.5) }
            try draw.add("A_log", [heads], as: .f32) { $0.uniform(in: -1...2.5) }
            try draw.add("dt_bias", [heads], as: .f32) { $0.uniform(in: -5 ... -1) }
            try draw.add("D", [heads], as: .f32)
            try draw.add("norm.weight", [inner], as: .f32) { $0.uniform(in: 0.5...1.5) }
            try draw.add("out_proj.weight", [model, inner]) { 0.15 * $0.normal() }
            if norms {
                try draw.add("B_norm.weight", [dim], as: .f32) { $0.uniform(in: 0.5...1.5) }
                try draw.add("C_norm.weight", [dim], as: .f32) { $0.uniform(in: 0.5...1.5) }
            }
        }
    }

    private static let mixers: [VectorCase] = [
        mixer("mixer-hybrid", "a whole mixer of a hybrid model", heads: 4, shared: 2, length: 70, norms: true),
        mixer(
            "mixer-rotated", "a whole mixer whose B and C are rotated by their positions", heads: 4, shared: 1,
            length: 41, norms: true, ["rope_theta": "10000"]),
        mixer(
            "mixer-plain", "a whole mixer without norms of B and C, all heads their own", heads: 2, shared: 2,
            length: 37, norms: false),
    ]
}
