//  What a Mamba-2 layer remembers of a sequence: a fixed amount, whatever the length.
//
//  | what     | shape          | meaning                                                                        |
//  |----------|----------------|--------------------------------------------------------------------------------|
//  | window   | [W-1, C]       | the last inputs of the convolution                                             |
//  | state    | [H, N, P']     | the SSM state that entered the current chunk of Q tokens, transposed           |
//  | x, b     | [Hkv, Q, P'], [Hkv, N, Q] | operands of the tokens of that chunk                                |
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

    init(_ configuration: HybridConfiguration) {
        layout = Layout(configuration)
        memory = AlignedMemory(byteCount: 4 * layout.count)
        memory.clear()
    }

    var byteCount: Int { 4 * layout.count }

    /// The bytes of a state before one is made.
    static func byteCount(_ configuration: HybridConfiguration) -> Int { 4 * Layout(configuration).count }

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
    var pointers: dk_ssd_cache { pointers(fromKeyValueHead: 0) }

    /// The addresses of the memory of key/value head `head` and of the SSM heads that read it, and
    /// of those behind.
    func pointers(fromKeyValueHead head: Int) -> dk_ssd_cache {
        dk_ssd_cache(
            state: base + head * layout.group * layout.statePerHead, x: base + layout.x + head * layout.xPerHead,
            b: base + layout.b + head * layout.bPerHead,
            delta: base + layout.delta + head * layout.group * Int(DK_SSD_CHUNK),
            logDecay: base + layout.logDecay + head * layout.group * Int(DK_SSD_CHUNK))
    }

    /// Offsets in floats, every one a multiple of 16.
    private struct Layout: Sendable, Equatable {
        let x, b, delta, logDecay, window, decaySum, count: Int
        /// SSM heads of a key/value head, and floats of one head.
        let group, statePerHead, xPerHead, bPerHead: Int

        init(_ configuration: HybridConfiguration) {
            func rounded(_ count: Int) -> Int { (count + 15) / 16 * 16 }
            let (heads, shared) = (configuration.headCount, configuration.keyValueHeadCount)
            let (dim, chunk) = (configuration.headDim, Int(DK_SSD_CHUNK))
            let channels = configuration.innerSize + 2 * configuration.keyValueSize
            group = configuration.headsPerKeyValueHead
            (statePerHead, xPerHead, bPerHead) = (dim * rounded(dim), chunk * rounded(dim), dim * chunk)
            x = heads * statePerHead
            b = x + shared * xPerHead
            delta = b + shared * bPerHead
            logDecay = delta + rounded(heads * chunk)
            window = logDecay + rounded(heads * chunk)
            decaySum = window + rounded((configuration.mamba2.convolutionTaps - 1) * channels)
            count = decaySum + rounded(2 * heads)
        }
    }
}
