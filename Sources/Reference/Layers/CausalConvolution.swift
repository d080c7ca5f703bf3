//  Depthwise causal convolution with a window that carries over.
//
//      y[t, c] = bias[c] + sum over j in 0..<W of  weight[c, j] u[t - (W - 1) + j, c]
//
//  | symbol | shape    | meaning                                             |
//  |--------|----------|-----------------------------------------------------|
//  | u      | [L, C]   | inputs of this segment                              |
//  | window | [W-1, C] | the W-1 inputs before it, oldest first              |
//  | weight | [C, W]   | taps; weight[c, W-1] meets the current token        |
//  | bias   | [C]      |                                                     |
//  | y      | [L, C]   | outputs, before the activation                      |
//
//  Source: Mamba-2 (arXiv 2405.21060) section 7.1; awslabs/hybrid-model-factory,
//  layers/mamba/mamba2.py.

import DualityCore

/// A depthwise causal convolution over time that can be fed a sequence in pieces of any length.
///
/// Feeding `a` and then `b` gives exactly the outputs of feeding `a ++ b`: the window is the whole
/// memory.
public struct CausalConvolution<Scalar: RealNumber>: Sendable {
    /// `[W, C]`: transposed from the checkpoint's `[C, W]`, so that the channels of one tap lie
    /// together.
    let taps: Tensor<Scalar>
    /// `[C]`.
    let bias: Tensor<Scalar>

    /// C, the channels that are convolved, each by taps of its own.
    public var channels: Int { taps.shape[1] }
    /// W, the number of taps.
    public var width: Int { taps.shape[0] }

    /// - Parameters:
    ///   - weight: `[C, W]`, or `[C, 1, W]` as checkpoints store it.
    ///   - bias: `[C]`; nil for zeros.
    /// - Throws: `InputError` (`.shape`) when the two do not fit together.
    public init(weight: Tensor<Scalar>, bias: Tensor<Scalar>?) throws(InputError) {
        let shape = weight.shape
        guard shape.count >= 2, shape.last != 0, shape.count == 2 || (shape.count == 3 && shape[1] == 1) else {
            throw InputError(.shape, in: "convolution weight", expected: "[C, W] or [C, 1, W]", found: "\(shape)")
        }
        let (channels, width) = (shape[0], shape[shape.count - 1])
        try bias?.requireShape([channels], "convolution bias")
        var taps = Tensor<Scalar>(repeating: 0, shape: [width, channels])
        for c in 0..<channels {
            for j in 0..<width { taps.elements[j * channels + c] = weight.elements[c * width + j] }
        }
        self.taps = taps
        self.bias = bias ?? Tensor(repeating: 0, shape: [channels])
    }

    /// The window before the first token: zeros, `[W-1, C]`.
    public var emptyWindow: Tensor<Scalar> { Tensor(repeating: 0, shape: [width - 1, channels]) }

    /// Extends the sequence by `u`, reading and advancing `window`.
    ///
    /// - Parameters:
    ///   - u: new inputs, `[L, C]`, L >= 0.
    ///   - window: the `W-1` inputs before them, `[W-1, C]`, oldest first; zeros at the start of a
    ///     sequence.
    /// - Returns: `[L, C]`.
    /// - Complexity: O(L C W) time; the window is the only state.
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    public func extend(_ u: Tensor<Scalar>, window: inout Tensor<Scalar>) -> Tensor<Scalar> {
        let length = u.shape[0]
        precondition(window.shape == [width - 1, channels] && u.shape == [length, channels])
        let history = window.elements + u.elements
        var y = Tensor<Scalar>(repeating: 0, shape: [length, channels])
        history.withUnsafeBufferPointer { history in
            withRows(taps, bias) { taps, bias in
                withRows(of: &y) { y in
                    for t in 0..<length {
                        let row = y + t * channels
                        for c in 0..<channels { row[c] = bias[c] }
                        for j in 0..<width {
                            let (tap, u) = (taps + j * channels, history.baseAddress! + (t + j) * channels)
                            for c in 0..<channels { row[c] += tap[c] * u[c] }
                        }
                    }
                }
            }
        }
        window.elements = Array(history.suffix((width - 1) * channels))
        return y
    }
}
