//  The depthwise causal convolution backwards.
//
//      h = window ++ u, [W-1+L, C]          y_t = bias + sum over j of taps_j ⊙ h_{t+j}
//
//      ∂h_{t+j} += taps_j ⊙ ∂y_t            ∂taps_j = sum over t of ∂y_t ⊙ h_{t+j}          ∂bias = sum over t of ∂y_t
//
//  The window that is handed on is the end of h, the window that was handed in its beginning;
//  between them lies the gradient that flows from one segment of a sequence into the one before.

import DualityCore

extension CausalConvolution {
    /// The gradient of the loss with respect to what the layer was given and what it is made of.
    public struct Gradients: Sendable {
        /// `[L, C]`.
        public var input: Tensor<Scalar>
        /// With respect to the window before the first token, `[W-1, C]`.
        public var window: Tensor<Scalar>
        /// `[C, W]`, as checkpoints store the weight.
        public var weight: Tensor<Scalar>
        /// `[C]`.
        public var bias: Tensor<Scalar>
    }

    /// Runs the layer backwards.
    ///
    /// - Parameters:
    ///   - u: its input, `[L, C]`.
    ///   - window: the window before the first token, `[W-1, C]`.
    ///   - outputGradient: ∂ℒ/∂y, before the activation, `[L, C]`.
    ///   - nextWindow: ∂ℒ/∂(window after the last token), `[W-1, C]`; nil where the loss does not
    ///     look at it.
    /// - Complexity: O(L C W).
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    public func gradients(
        of u: Tensor<Scalar>, window: Tensor<Scalar>, output outputGradient: Tensor<Scalar>,
        nextWindow: Tensor<Scalar>? = nil
    ) -> Gradients {
        let (length, memory) = (u.shape[0], (width - 1) * channels)
        precondition(window.count == memory && u.shape == [length, channels] && outputGradient.shape == u.shape)
        precondition(nextWindow == nil || nextWindow?.count == memory)
        let history = window.elements + u.elements
        var historyGradient = [Scalar](repeating: .zero, count: length * channels) + (nextWindow?.elements ?? [])
        historyGradient += [Scalar](repeating: .zero, count: history.count - historyGradient.count)
        var gradients = Gradients(
            input: u, window: window, weight: Tensor(repeating: .zero, shape: [channels, width]),
            bias: Tensor(repeating: .zero, shape: [channels]))
        for t in 0..<length {
            for c in 0..<channels {
                let pull = outputGradient.elements[t * channels + c]
                gradients.bias.elements[c] += pull
                for j in 0..<width {
                    historyGradient[(t + j) * channels + c] += taps.elements[j * channels + c] * pull
                    gradients.weight.elements[c * width + j] += pull * history[(t + j) * channels + c]
                }
            }
        }
        gradients.window.elements = Array(historyGradient[..<memory])
        gradients.input.elements = Array(historyGradient[memory...])
        return gradients
    }

    /// Runs the layer backwards over packed sequences, each from its own window.
    ///
    /// - Parameters:
    ///   - u: its input, `[B, L, C]`.
    ///   - packing: the S sequences of the B rows.
    ///   - windows: the windows before each sequence, `[S, W-1, C]`.
    ///   - outputGradient: ∂ℒ/∂y, before the activation, `[B, L, C]`.
    ///   - nextWindows: with respect to the windows after each sequence, `[S, W-1, C]`, or nil.
    /// - Returns: the input's gradient as `[B, L, C]`, the window's as `[S, W-1, C]`.
    /// - Throws: `InputError` (`.shape`) when they do not fit together.
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    public func gradients(
        of u: Tensor<Scalar>, packing: Packing, windows: Tensor<Scalar>, output outputGradient: Tensor<Scalar>,
        nextWindows: Tensor<Scalar>? = nil
    ) throws(InputError) -> Gradients {
        let length = packing.rows.first?.last?.upperBound ?? 0
        try u.requireShape([packing.rows.count, length, channels], "u")
        try outputGradient.requireShape(u.shape, "gradient of the convolution's output")
        try windows.requireShape([packing.count, width - 1, channels], "windows")
        try nextWindows?.requireShape(windows.shape, "gradient of the windows")
        var gradients = Gradients(
            input: u, window: windows, weight: Tensor(repeating: .zero, shape: [channels, width]),
            bias: Tensor(repeating: .zero, shape: [channels]))
        // As matrices, [B L, C] and [S (W-1), C]
        let (inputRows, outputRows) = try (
            u.reshaped([packing.rows.count * length, channels]),
            outputGradient.reshaped([packing.rows.count * length, channels])
        )
        let windowRows = try windows.reshaped([packing.count * (width - 1), channels])
        let nextRows = try nextWindows?.reshaped(windowRows.shape)
        var sequence = 0
        for (row, sequences) in packing.rows.enumerated() {
            for tokens in sequences {
                let place = row * length + tokens.lowerBound..<row * length + tokens.upperBound
                let own = sequence * (width - 1)..<(sequence + 1) * (width - 1)
                let piece = self.gradients(
                    of: inputRows.rows(place), window: windowRows.rows(own), output: outputRows.rows(place),
                    nextWindow: nextRows?.rows(own))
                gradients.input.elements.replaceSubrange(
                    place.lowerBound * channels..<place.upperBound * channels, with: piece.input.elements)
                gradients.window.elements.replaceSubrange(
                    own.lowerBound * channels..<own.upperBound * channels, with: piece.window.elements)
                for i in piece.weight.elements.indices { gradients.weight.elements[i] += piece.weight.elements[i] }
                for i in piece.bias.elements.indices { gradients.bias.elements[i] += piece.bias.elements[i] }
                sequence += 1
            }
        }
        return gradients
    }
}
