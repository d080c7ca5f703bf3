//  What a Mamba-2 layer remembers of a sequence: a fixed amount, whatever the length.
//
//  | what     | shape          | meaning                                                                        |
//  |----------|----------------|--------------------------------------------------------------------------------|
//  | window   | [W-1, C]       | the last inputs of the convolution                                             |
//  | state    | [H, N, P']     | the SSM state that entered the current chunk of Q tokens, transposed           |
//  | x, b     | [Hx, Q, P'], [Hb, N, Q] | operands of the tokens of that chunk                                   |
//  | delta, logDecay | [H, Q]  | their steps and the running sums of Δ A                                        |
//  | decaySum | [H], float64   | sum of Δ A over all tokens                                                     |
//
//  The state moves once a chunk, and a token is computed from the state at the start of its chunk,
//  however the tokens came: that is what makes one piece, many pieces and single tokens agree bit
//  for bit. It also halves what decoding moves: the state is read and not written.

import DualityCore
import DualityKernels

/// The memory of one Mamba-2 layer: a value that shares its bytes with its copies until one of them
/// is extended.
struct ScanState: Sendable {
    private let layout: Layout
    private var memory: AlignedMemory
    /// Tokens read; chunks begin at multiples of Q.
    private(set) var count = 0

    init(_ configuration: HybridConfiguration) {
        layout = Layout(configuration.mamba2Shape, taps: configuration.mamba2.convolutionTaps)
        memory = AlignedMemory(byteCount: 4 * layout.count)
        memory.clear()
    }

    var byteCount: Int { 4 * layout.count }

    /// The bytes of a state before one is made.
    static func byteCount(_ configuration: HybridConfiguration) -> Int {
        4 * Layout(configuration.mamba2Shape, taps: configuration.mamba2.convolutionTaps).count
    }

    /// Tokens of the chunk that has begun.
    var fill: Int64 { Int64(count % Int(DK_SSD_CHUNK)) }

    /// Counts tokens that have been scanned.
    mutating func advance(by added: Int) { count += added }

    /// Makes the bytes this value's own.
    mutating func prepareToWrite() {
        if !isKnownUniquelyReferenced(&memory) { memory = memory.copy() }
    }

    private var base: UnsafeMutablePointer<Float> { memory.base.assumingMemoryBound(to: Float.self) }

    /// `[W-1, C]`, oldest first.
    var window: UnsafeMutablePointer<Float> { base + layout.window }
    /// `[H]`.
    var decaySum: UnsafeMutablePointer<Double> {
        UnsafeMutableRawPointer(base + layout.decaySum).assumingMemoryBound(to: Double.self)
    }
    /// `[H, N, P']`.
    var state: UnsafeMutableBufferPointer<Float> {
        UnsafeMutableBufferPointer(start: base, count: layout.x)
    }

    /// The addresses as the kernels take them; valid while this value is not replaced.
    var pointers: dk_ssd_cache { pointers(fromPart: 0, of: 1) }

    /// The addresses of the memory of one of `parts` equal parts of the heads, and of those behind;
    /// heads of x and B are shared out alike.
    func pointers(fromPart part: Int, of parts: Int) -> dk_ssd_cache {
        let (head, shape) = (part * layout.shape.heads / parts, layout.shape)
        return dk_ssd_cache(
            state: base + head * layout.statePerHead,
            x: base + layout.x + part * shape.xHeads / parts * layout.xPerHead,
            b: base + layout.b + part * shape.bHeads / parts * layout.bPerHead,
            delta: base + layout.delta + head * Int(DK_SSD_CHUNK),
            logDecay: base + layout.logDecay + head * Int(DK_SSD_CHUNK))
    }

    /// Offsets in floats, every one a multiple of 16.
    private struct Layout: Sendable, Equatable {
        let x, b, delta, logDecay, window, decaySum, count: Int
        let shape: Mamba2Shape
        /// Floats of one head.
        let statePerHead, xPerHead, bPerHead: Int

        init(_ shape: Mamba2Shape, taps: Int) {
            func rounded(_ count: Int) -> Int { (count + 15) / 16 * 16 }
            let (heads, chunk) = (shape.heads, Int(DK_SSD_CHUNK))
            self.shape = shape
            statePerHead = shape.stateDim * rounded(shape.headDim)
            (xPerHead, bPerHead) = (chunk * rounded(shape.headDim), shape.stateDim * chunk)
            x = heads * statePerHead
            b = x + shape.xHeads * xPerHead
            delta = b + shape.bHeads * bPerHead
            logDecay = delta + rounded(heads * chunk)
            window = logDecay + rounded(heads * chunk)
            decaySum = window + rounded((taps - 1) * shape.channels)
            count = decaySum + rounded(2 * heads)
        }
    }
}

extension ScanState {
    /// Begins anew from a state, `[H, P, N]`, a window, `[W-1, C]`, and sums of decays, `[H]`, with
    /// a chunk of its own; the bytes must be this value's own.
    mutating func begin(_ tensor: Tensor<Float>, window rows: Tensor<Float>, decaySums: [Double]) {
        count = 0
        let shape = layout.shape
        let (heads, dim, states) = (shape.heads, shape.headDim, shape.stateDim)
        let width = layout.statePerHead / states
        for h in 0..<heads {
            for p in 0..<dim {
                for n in 0..<states {
                    state[h * layout.statePerHead + n * width + p] = tensor.elements[(h * dim + p) * states + n]
                }
            }
            decaySum[h] = decaySums[h]
        }
        for i in rows.elements.indices { window[i] = rows.elements[i] }
    }
}
