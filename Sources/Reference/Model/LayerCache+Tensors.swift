//  The parts of a layer's memory whose size does not depend on the length of the sequence, by the
//  names they have in files.
//
//  | layer | name                        | shape                   |
//  |-------|-----------------------------|-------------------------|
//  | M2    | conv_window, ssm_state      | [W-1, C], [H, P, N]     |
//  | GDN   | q_window, k_window, v_window| [W-1, C]                |
//  | GDN   | delta_state                 | [H, D, D]               |
//  | GDN   | delta_transition, if tracked| [H, D, D]               |
//  | GKA   | q_window, k_window, v_window| [W-1, C]                |
//  | GKA   | gram, memory                | [H, D, D]               |

import DualityCore

/// The fixed-size memory of one Gated DeltaNet layer.
public struct DeltaNetCache<Scalar: RealNumber>: Sendable, Equatable {
    /// The last inputs of the short convolutions, `[W-1, C]`; no rows in a layer that has none.
    public internal(set) var windows: ShortWindows<Scalar>
    /// S, `[H, D, D]`, keys by values.
    public internal(set) var state: Tensor<Scalar>
    /// Π, `[H, D, D]`: what the state before the first token has been multiplied with since, the
    /// latest factor on the left. Nil unless asked for, since keeping it costs as much as the
    /// state.
    public internal(set) var transition: Tensor<Scalar>?

    init(_ configuration: HybridConfiguration) {
        let (heads, headDim) = (configuration.headCount, configuration.headDim)
        let options = configuration.gatedDeltaNet
        windows = ShortWindows(
            configuration, taps: options.usesConvolution ? options.convolutionTaps : 1, convolvesValues: true)
        state = Tensor(repeating: 0, shape: [heads, headDim, headDim])
    }
}

/// The fixed-size memory of one Gated KalmaNet layer.
public struct KalmaNetCache<Scalar: RealNumber>: Sendable, Equatable {
    /// The last inputs of the short convolutions, `[W-1, C]`.
    public internal(set) var windows: ShortWindows<Scalar>
    /// Hk, `[H, D, D]`: the decayed sum of k kᵀ.
    public internal(set) var gram: Tensor<Scalar>
    /// Hv, `[H, D, D]`, keys by values: the decayed sum of k vᵀ.
    public internal(set) var memory: Tensor<Scalar>
    /// `[H]`: the log of the factor by which the memory before the first token has been multiplied
    /// since.
    public internal(set) var logDecay: [Double]

    init(_ configuration: HybridConfiguration) {
        let (heads, headDim) = (configuration.headCount, configuration.headDim)
        let options = configuration.gatedKalmaNet
        windows = ShortWindows(
            configuration, taps: options.convolutionTaps, convolvesValues: options.convolvesValues)
        gram = Tensor(repeating: 0, shape: [heads, headDim, headDim])
        memory = gram
        logDecay = Array(repeating: 0, count: heads)
    }
}

/// The last inputs of the short convolutions on q, k and v.
public struct ShortWindows<Scalar: RealNumber>: Sendable, Equatable {
    /// `[W-1, H D]`.
    public internal(set) var q: Tensor<Scalar>
    /// `[W-1, Hkv D]`.
    public internal(set) var k: Tensor<Scalar>
    /// `[W-1, Hkv D]`; no rows where v is not convolved.
    public internal(set) var v: Tensor<Scalar>

    init(_ configuration: HybridConfiguration, taps: Int, convolvesValues: Bool) {
        q = Tensor(repeating: 0, shape: [taps - 1, configuration.innerSize])
        k = Tensor(repeating: 0, shape: [taps - 1, configuration.keyValueSize])
        v = Tensor(repeating: 0, shape: [convolvesValues ? taps - 1 : 0, configuration.keyValueSize])
    }
}

/// A tensor of a cache with its name in files.
struct NamedTensor<Scalar: RealNumber> {
    let name: String
    var tensor: Tensor<Scalar>
    /// Whether it is a short-term memory of inputs, not a state.
    var isWindow: Bool { name.hasSuffix("window") }
}

extension LayerCache {
    /// Begins to keep, beside the state of a Gated DeltaNet layer, what it is multiplied with from
    /// here on.
    mutating func trackTransitions() {
        guard var cache = deltaNet else { return }
        var identity = Tensor<Scalar>(repeating: 0, shape: cache.state.shape)
        let width = cache.state.shape[2]
        for row in 0..<cache.state.count / max(width, 1) { identity.elements[row * width + row % width] = 1 }
        cache.transition = identity
        deltaNet = cache
    }

    /// All tensors of fixed size, in a fixed order; assigning them back must keep names and order.
    var fixedTensors: [NamedTensor<Scalar>] {
        get {
            var tensors: [NamedTensor<Scalar>] = []
            func add(_ name: String, _ tensor: Tensor<Scalar>) {
                tensors.append(NamedTensor(name: name, tensor: tensor))
            }
            if let scan {
                add("conv_window", scan.window)
                add("ssm_state", scan.state)
            }
            if let windows = deltaNet?.windows ?? kalmaNet?.windows {
                add("q_window", windows.q)
                add("k_window", windows.k)
                add("v_window", windows.v)
            }
            if let deltaNet {
                add("delta_state", deltaNet.state)
                if let transition = deltaNet.transition { add("delta_transition", transition) }
            }
            if let kalmaNet {
                add("gram", kalmaNet.gram)
                add("memory", kalmaNet.memory)
            }
            return tensors
        }
        set {
            for item in newValue {
                switch item.name {
                case "conv_window": scan?.window = item.tensor
                case "ssm_state": scan?.state = item.tensor
                case "q_window":
                    deltaNet?.windows.q = item.tensor
                    kalmaNet?.windows.q = item.tensor
                case "k_window":
                    deltaNet?.windows.k = item.tensor
                    kalmaNet?.windows.k = item.tensor
                case "v_window":
                    deltaNet?.windows.v = item.tensor
                    kalmaNet?.windows.v = item.tensor
                case "delta_state": deltaNet?.state = item.tensor
                case "delta_transition": deltaNet?.transition = item.tensor
                case "gram": kalmaNet?.gram = item.tensor
                case "memory": kalmaNet?.memory = item.tensor
                default: preconditionFailure("a tensor of this cache")
                }
            }
        }
    }
}
