//  The depthwise convolution over packed sequences: cut where the operator is cut, so that no tap
//  reaches across.

import DualityCore

extension CausalConvolution {
    /// Extends each packed sequence from its own window.
    ///
    /// - Parameters:
    ///   - u: inputs, `[B, L, C]`.
    ///   - packing: the S sequences of the B rows.
    ///   - windows: the inputs before each sequence, `[S, W-1, C]`, oldest first; advanced to the
    ///     end of each.
    /// - Returns: `[B, L, C]`.
    /// - Throws: `InputError` (`.shape`) when the three do not fit together.
    /// - Complexity: O(B L C W) time.
    public func extend(
        _ u: Tensor<Scalar>, packing: Packing, windows: inout Tensor<Scalar>
    ) throws(InputError) -> Tensor<Scalar> {
        let rows = packing.rows.count
        let length = packing.rows.first?.last?.upperBound ?? 0
        try u.requireShape([rows, length, channels], "u")
        try windows.requireShape([packing.count, width - 1, channels], "windows")
        let windowSize = (width - 1) * channels
        var y = u
        var sequence = 0
        for (row, sequences) in packing.rows.enumerated() {
            for tokens in sequences {
                let place =
                    (row * length + tokens.lowerBound) * channels..<(row * length + tokens.upperBound) * channels
                let own = sequence * windowSize..<(sequence + 1) * windowSize
                var window = try Tensor(shape: [width - 1, channels], elements: Array(windows.elements[own]))
                let piece = try Tensor(shape: [tokens.count, channels], elements: Array(u.elements[place]))
                y.elements.replaceSubrange(place, with: extend(piece, window: &window).elements)
                windows.elements.replaceSubrange(own, with: window.elements)
                sequence += 1
            }
        }
        return y
    }
}
