//  What a Mamba-2 layer remembers of a sequence: a fixed amount, whatever the length.
//
//  | what     | shape          | meaning                                                                        |
//  |----------|----------------|--------------------------------------------------------------------------------|
//  | state    | [H, N, P']     | the SSM state that entered the current chunk of Q tokens, transposed           |
//  | window   | [W-1, C]       | the last inputs of the convolution                                             |
//  | decaySum | [H], float64   | sum of Δ A over all tokens                                                     |
//  | x, b     | [Hx, Q, P'], [Hb, N, Q] | operands of the tokens of that chunk                                   |
//  | delta, logDecay | [H, Q]  | their steps and the running sums of Δ A                                        |
//
//  The state moves once per chunk, and a token is computed from the state at the start of its
//  chunk, however the tokens came: that is what makes one piece, many pieces and single tokens
//  agree bit for bit. It also halves what decoding moves: the state is read and not written.

import DualityCore
import DualityKernels

/// The memory of one Mamba-2 layer: a value that shares its bytes with its copies until one of them
/// is extended.
struct ScanState: Sendable {
    private let layout: Layout
    private var memory: AlignedMemory
    /// Tokens read; chunks begin at multiples of Q.
    private(set) var count = 0

    init(_ configuration: HybridConfiguration, account: MemoryAccount? = nil) {
        layout = Layout(configuration.mamba2Shape, taps: configuration.mamba2.convolutionTaps)
        memory = AlignedMemory(byteCount: 4 * layout.count, account: account)
        memory.clear()
    }

    var byteCount: Int { memory.byteCount }

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
        if memory.byteCount < 4 * layout.count {
            memory = memory.copy(byteCount: 4 * layout.count)
        } else if !isKnownUniquelyReferenced(&memory) {
            memory = memory.copy()
        }
    }

    /// Keeps a copy without the operands of a chunk, if none has begun; they are made room for when
    /// the next is written.
    mutating func leaveOpenChunk() {
        if fill == 0, memory.byteCount > 4 * layout.x { memory = memory.copy(byteCount: 4 * layout.x) }
    }

    /// All bytes, or those before the open chunk where there is none.
    var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: memory.base, count: fill == 0 ? 4 * layout.x : 4 * layout.count)
    }

    /// Takes the bytes of a state behind `tokens` tokens; returns whether there are as many as that
    /// has.
    mutating func fill(from bytes: UnsafeRawBufferPointer, tokens: Int) -> Bool {
        count = tokens
        guard bytes.count == self.bytes.count else { return false }
        prepareToWrite()
        UnsafeMutableRawBufferPointer(start: memory.base, count: bytes.count).copyMemory(from: bytes)
        return true
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
        UnsafeMutableBufferPointer(start: base, count: layout.window)
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

    /// Offsets in floats, every one a multiple of 16. What lies before x is all there is between
    /// two chunks.
    private struct Layout: Sendable, Equatable {
        let window, decaySum, x, b, delta, logDecay, count: Int
        let shape: Mamba2Shape
        /// Floats of one head.
        let statePerHead, xPerHead, bPerHead: Int

        init(_ shape: Mamba2Shape, taps: Int) {
            func rounded(_ count: Int) -> Int { (count + 15) / 16 * 16 }
            let (heads, chunk) = (shape.heads, Int(DK_SSD_CHUNK))
            self.shape = shape
            statePerHead = shape.stateDim * rounded(shape.headDim)
            (xPerHead, bPerHead) = (chunk * rounded(shape.headDim), shape.stateDim * chunk)
            window = heads * statePerHead
            decaySum = window + rounded((taps - 1) * shape.channels)
            x = decaySum + rounded(2 * heads)
            b = x + shape.xHeads * xPerHead
            delta = b + shape.bHeads * bPerHead
            logDecay = delta + rounded(heads * chunk)
            count = logDecay + rounded(heads * chunk)
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
