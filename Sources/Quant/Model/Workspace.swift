//  The memory of a pass besides weights and caches. Passes that run at the same time have one each;
//  a finished pass leaves its own to the next.

import DualityKernels
import Synchronization

/// Buffers of one pass.
final class Workspace: Sendable {
    /// The residual stream, `[R, Dm]`, and what the last sublayer adds to it.
    let stream = Buffer<Float>()
    let delta = Buffer<Float>()
    /// The normalised stream, `[R, Dm]`.
    let normalized = Buffer<Float>()
    /// Outputs of the projections that enter a mixer or an MLP, side by side.
    let wide = Buffer<Float>()
    /// What leaves a mixer or an MLP's gate, before the last projection.
    let inner = Buffer<Float>()
    /// Attention over segments of keys, before they are joined.
    let partial = Buffer<Float>()
    /// The convolved x, B and C.
    let convolved = Buffer<Float>()
    /// Keys and values of all heads, and the inner rows of what expands them.
    let expanded = Buffer<Float>()
    let hidden = Buffer<Float>()
    /// What a B'MOJO-F layer keeps while its mixer runs, and what the mixer makes.
    let outer = Buffer<Float>()
    let fading = Buffer<Float>()
    let cosines = Buffer<Float>()
    let sines = Buffer<Float>()
    let logits = Buffer<Float>()
    /// Products of panels that a cut goes through.
    let staged = Buffer<Float>()
    /// What goes to other ranks and what comes from all.
    let ownOutputs = Buffer<Float>()
    let sent = Buffer<Float>()
    let received = Buffer<Float>()
    let gathered = Buffer<Float>()
    let gatheredGate = Buffer<Float>()
    /// This rank's rows of the normalised stream, and steps and decays of all.
    let ownStream = Buffer<Float>()
    let steering = Buffer<Float>()
    /// Largest magnitudes of rows: of this rank, of every rank, of all.
    let largest = Buffer<Float>()
    private let packedForms = [Buffer<UInt8>(), Buffer<UInt8>(), Buffer<UInt8>(), Buffer<UInt8>()]
    private let threads: [AlignedMemory]
    /// The workspaces of kernels, one for each thread of the pool; as long as this object lives.
    nonisolated(unsafe) let scratch: UnsafePointer<UnsafeMutableRawPointer>

    init(threads count: Int) {
        threads = (0..<count).map { _ in AlignedMemory(byteCount: Int(DK_WORKSPACE_BYTES)) }
        let addresses = UnsafeMutablePointer<UnsafeMutableRawPointer>.allocate(capacity: max(count, 1))
        for (index, memory) in threads.enumerated() { (addresses + index).initialize(to: memory.base) }
        scratch = UnsafePointer(addresses)
    }

    deinit { scratch.deallocate() }

    /// Memory for the `index`-th form of packed activations; there are at most four (float32,
    /// bfloat16, int8 by rows and by one group).
    func packed(_ index: Int, byteCount: Int) -> UnsafeMutableRawPointer {
        UnsafeMutableRawPointer(packedForms[index].pointer(byteCount))
    }
}

/// Workspaces that no pass uses at the moment.
final class WorkspacePool: Sendable {
    private let idle = Mutex<[Workspace]>([])
    private let threads: Int

    init(threads: Int) {
        self.threads = threads
    }

    func withWorkspace<Result>(_ body: (Workspace) throws -> Result) rethrows -> Result {
        let workspace = idle.withLock { $0.popLast() } ?? Workspace(threads: threads)
        defer { idle.withLock { $0.append(workspace) } }
        return try body(workspace)
    }
}
