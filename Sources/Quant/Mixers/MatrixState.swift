//  What a layer with a matrix-valued state remembers of a sequence: Gated DeltaNet and Gated
//  KalmaNet.
//
//  | what     | shape          | meaning                                                                        |
//  |----------|----------------|--------------------------------------------------------------------------------|
//  | states   | S of [H, D, D'], in the order of their kernel | GDN: one, keys by values, and what it has been multiplied with where that is tracked; GKA: G and M |
//  | window   | [W-1, C]       | the last inputs of the convolutions of q, k and v, side by side                |
//  | decaySum | [H], float64   | GKA: sum of the logarithms of all decays                                       |
//
//  All of it is float32, whatever the weights are.

import DualityCore
import DualityKernels

/// The memory of one such layer: a value that shares its bytes with its copies until one of them is
/// extended.
struct MatrixState: Sendable {
    let layout: Layout
    private var memory: AlignedMemory

    init(_ layout: Layout, account: MemoryAccount? = nil) {
        self.layout = layout
        memory = AlignedMemory(byteCount: 4 * layout.count, account: account)
        memory.clear()
        guard layout.tracks else { return }
        var identity = Tensor<Float>(repeating: 0, shape: [layout.heads, layout.headDim, layout.headDim])
        for row in 0..<layout.heads * layout.headDim {
            identity.elements[row * layout.headDim + row % layout.headDim] = 1
        }
        set(1, to: identity)
    }

    var byteCount: Int { 4 * layout.count }

    /// Makes the bytes this value's own.
    mutating func prepareToWrite() {
        if !isKnownUniquelyReferenced(&memory) { memory = memory.copy() }
    }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: memory.base, count: byteCount) }

    /// Takes the bytes of another state of this layout; returns whether there are as many.
    mutating func fill(from bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count == byteCount else { return false }
        prepareToWrite()
        UnsafeMutableRawBufferPointer(start: memory.base, count: byteCount).copyMemory(from: bytes)
        return true
    }

    private var base: UnsafeMutablePointer<Float> { memory.base.assumingMemoryBound(to: Float.self) }

    /// State `index`, all heads.
    func state(_ index: Int) -> UnsafeMutablePointer<Float> { base + index * layout.stateSize }
    /// `[W-1, C]`, oldest first.
    var window: UnsafeMutablePointer<Float> { base + layout.window }
    /// `[H]`.
    var decaySum: UnsafeMutablePointer<Double> {
        UnsafeMutableRawPointer(base + layout.decaySum).assumingMemoryBound(to: Double.self)
    }

    /// Offsets in floats, every one a multiple of 16.
    struct Layout: Sendable, Equatable {
        let heads, headDim: Int
        private(set) var states: Int
        /// W - 1, and channels of q, k and v that are convolved.
        let rows: Int
        let channels: [Int]
        /// Whether states lie in panels of 16 columns (the delta rule) and not row by row.
        let isPanelled: Bool

        /// Whether the second state of the delta rule is its transition.
        var tracks: Bool { isPanelled && states == 2 }
        /// The same with it.
        var tracking: Layout {
            var layout = self
            layout.states = 2
            return layout
        }
        /// The names of the states in files.
        var names: [String] {
            isPanelled ? ["delta_state"] + (tracks ? ["delta_transition"] : []) : ["gram", "memory"]
        }

        var stateSize: Int { heads * headDim * width }
        /// D'.
        var width: Int { (headDim + 15) / 16 * 16 }
        var window: Int { states * stateSize }
        var decaySum: Int { window + (rows * channels.reduce(0, +) + 15) / 16 * 16 }
        var count: Int { decaySum + (2 * heads + 15) / 16 * 16 }

        /// Nil for a kind that has no such state.
        init?(_ kind: LayerKind, _ configuration: HybridConfiguration) {
            let (inner, shared) = (configuration.innerSize, configuration.keyValueSize)
            let (delta, kalma) = (configuration.gatedDeltaNet, configuration.gatedKalmaNet)
            (heads, headDim) = (configuration.headCount, configuration.headDim)
            switch kind {
            case .gatedDeltaNet:
                (states, isPanelled) = (1, true)
                (rows, channels) = (delta.usesConvolution ? delta.convolutionTaps - 1 : 0, [inner, shared, shared])
            case .gatedKalmaNet:
                (states, isPanelled) = (2, false)
                rows = kalma.convolutionTaps - 1
                channels = [inner, shared] + (kalma.convolvesValues ? [shared] : [])
            default: return nil
            }
        }
    }
}

extension MatrixState {
    /// State `index` in the reference's order, `[H, D, D]`, keys by values.
    func tensor(_ index: Int) -> Tensor<Float> {
        let (heads, dim, width) = (layout.heads, layout.headDim, layout.width)
        var tensor = Tensor<Float>(repeating: 0, shape: [heads, dim, dim])
        forEachElement { head, i, j, offset in
            tensor.elements[(head * dim + i) * dim + j] = state(index)[head * dim * width + offset]
        }
        return tensor
    }

    /// Sets state `index` from `[H, D, D]`; the bytes must be this value's own.
    func set(_ index: Int, to tensor: Tensor<Float>) {
        let (dim, width) = (layout.headDim, layout.width)
        forEachElement { head, i, j, offset in
            state(index)[head * dim * width + offset] = tensor.elements[(head * dim + i) * dim + j]
        }
    }

    private func forEachElement(_ body: (_ head: Int, _ i: Int, _ j: Int, _ offset: Int) -> Void) {
        let (dim, width) = (layout.headDim, layout.width)
        for head in 0..<layout.heads {
            for i in 0..<dim {
                for j in 0..<dim {
                    body(head, i, j, layout.isPanelled ? (j / 16 * dim + i) * 16 + j % 16 : i * width + j)
                }
            }
        }
    }

    /// The windows of q, k and v, `[W-1, C]` each; without rows for one that is not convolved.
    func windows() throws -> [Tensor<Float>] {
        let total = layout.channels.reduce(0, +)
        var (first, windows) = (0, [Tensor<Float>]())
        for index in 0..<3 {
            let width = index < layout.channels.count ? layout.channels[index] : layout.channels[1]
            let rows = index < layout.channels.count ? layout.rows : 0
            let elements = (0..<rows).flatMap { row in (0..<width).map { window[row * total + first + $0] } }
            windows.append(try Tensor(shape: [rows, width], elements: elements))
            first += width
        }
        return windows
    }

    /// Sets the windows; the bytes must be this value's own.
    func set(windows: [Tensor<Float>]) {
        let total = layout.channels.reduce(0, +)
        var first = 0
        for (tensor, width) in zip(windows, layout.channels) {
            for row in 0..<layout.rows {
                for c in 0..<width { window[row * total + first + c] = tensor.elements[row * width + c] }
            }
            first += width
        }
    }
}
