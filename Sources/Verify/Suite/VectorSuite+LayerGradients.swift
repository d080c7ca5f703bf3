//  Test vectors of layers backwards: the convolution, also in calls shorter than it, and the gated
//  norm.

import DualityCore

extension VectorSuite {
    static let layerGradients: [VectorCase] =
        [
            convolution("conv-grad-plain", "the backward pass of the convolution", length: 37, batch: 2),
            convolution(
                "conv-grad-window", "the gradient of the window that came in, and that of the one handed on",
                length: 9, window: true, batch: 2),
            convolution(
                "conv-grad-packed", "gradients that reach across a boundary", length: 40, window: true,
                cuts: [1, 2, 7, 20, 39]),
            convolution("conv-grad-no-bias", "a convolution without a bias", length: 20, bias: false),
        ]
        + [(2, 1), (3, 2), (4, 1), (4, 2), (4, 3), (4, 4), (4, 5)].map { width, length in
            convolution(
                "conv-grad-\(width)-taps-\(length)-tokens", "the backward pass of a call about as short as its window",
                length: length, window: true, width: width, batch: 2)
        }
        + [
            norm(
                "norm-grad-groups", "groups of 32, the gate before the norm", rows: 19, channels: 128,
                ["group_size": "32"]),
            norm("norm-grad-one-group", "a norm over all channels", rows: 11, channels: 96, [:]),
            norm(
                "norm-grad-gate-after", "the gate after the norm", rows: 11, channels: 96,
                ["group_size": "32", "norm_before_gate": "true"]),
            norm("norm-grad-small", "values beside which epsilon counts", rows: 7, channels: 64, [:], scale: 0x1p-8),
        ]

    private static func convolution(
        _ name: String, _ catches: String, length: Int, bias: Bool = true, window: Bool = false, cuts: [Int] = [],
        width: Int = 4, batch: Int = 1
    ) -> VectorCase {
        layer(name, .convolutionGradients, catches: catches) { draw in
            let channels = 24
            try draw.add("x", [batch, length, channels])
            try draw.add("weight", [channels, 1, width], as: .f32) { $0.uniform(in: -0.5...0.5) }
            if bias { try draw.add("bias", [channels], as: .f32) { $0.uniform(in: -0.5...0.5) } }
            try draw.add("dout", [batch, length, channels])
            if window {
                try draw.add("initial_window", [batch, channels, width - 1])
                try draw.add("dconv_state", [batch, channels, width])
            }
            if !cuts.isEmpty {
                let row = (0..<length).map { t in cuts.count { $0 <= t } }
                let ids = [[Int]](repeating: row, count: batch).flatMap { $0 }
                try draw.table.add("seq_idx", Tensor(shape: [batch, length], unchecked: ids))
            }
        }
    }

    private static func norm(
        _ name: String, _ catches: String, rows: Int, channels: Int, _ options: [String: String], scale: Double = 1
    ) -> VectorCase {
        layer(name, .gatedNormGradients, catches: catches, options: ["epsilon": "1e-5"].merging(options) { $1 }) {
            draw in
            try draw.add("x", [rows, channels]) { scale * $0.normal() }
            try draw.add("z", [rows, channels])
            try draw.add("weight", [channels], as: .f32) { $0.uniform(in: 0.25...2) }
            try draw.add("dout", [rows, channels])
        }
    }
}
