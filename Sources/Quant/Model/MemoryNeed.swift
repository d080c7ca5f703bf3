//  What a model will take, before anything is loaded.
//
//      weights        the packed matrices and vectors
//      cache          a sequence: keys and values of its tokens; SSM states, windows and the open chunk, whatever its length
//      pass           activations of one pass and the kernels' workspaces
//
//  Compared with what the machine can give (memory that is free or can be freed, within the limit
//  of the control group). Too little is said before loading, together with what would fit; the
//  alternative is a process that the system kills halfway.

import DualityCore
import DualityKernels
import Foundation

/// The memory that a fast model needs.
public struct MemoryNeed: Sendable, Equatable {
    /// Bytes of the packed matrices, their scales and tables, and the vectors.
    public let weights: Int
    /// The cache of one sequence of `tokens` tokens.
    public let cache: Int
    /// Bytes of activations, of one row of logits, and of every thread's workspace.
    public let pass: Int
    /// Tokens of the longest sequence that will be held.
    public let tokens: Int

    /// Bytes in all.
    public var total: Int { weights + cache + pass }

    /// - Parameters:
    ///   - tokens: the longest sequence that will be held.
    ///   - packed: the file that the weights are in; nil if they are packed on the way, when
    ///     compact matrices are estimated.
    /// - Throws: `InputError` (`.unsupported`) for layers that have no fast form.
    public init(
        _ configuration: HybridConfiguration, plan: PrecisionPlan, keyValues: KeyValueFormat, tokens: Int,
        threads: Int, packed: PackedCheckpoint? = nil
    ) throws(InputError) {
        let tokens = min(max(tokens, 0), Self.mostTokens)
        if let packed {
            weights = packed.inventory.byteCount
        } else {
            weights = try PackedInventory(configuration, plan).byteCount
        }
        self.tokens = tokens
        cache = Self.cache(configuration, keyValues, tokens: tokens)
        let rows = min(QuantModel.rowLimit, max(tokens, 1))
        let (heads, shared) = (configuration.headCount, configuration.keyValueSize)
        // Of Mamba-2; of q, k, v, gates and decays; of both sets of a B'MOJO-F layer beside it.
        let projected = max(
            configuration.mamba2Shape.projectedSize, 2 * configuration.innerSize + 2 * shared + 3 * heads)
        let fading = configuration.layers.contains(.bmojo) ? 2 * configuration.innerSize + 4 * shared : 0
        let widest = max(projected, 2 * configuration.intermediateSize) + fading
        let inner = max(configuration.intermediateSize, configuration.innerSize)
        let convolved = configuration.mamba2Shape.channels
        let numbers = rows * (3 * configuration.hiddenSize + widest + inner + convolved + configuration.headDim)
        // Packed activations: float32 and int8 forms of the widest input; logits of one row.
        pass = 4 * numbers + 5 * rows * inner + 4 * configuration.vocabularySize + threads * Int(DK_WORKSPACE_BYTES)
    }

    /// More than any memory holds; with more still, bytes could not be counted.
    private static let mostTokens = 1 << 36

    /// The bytes of the cache of one sequence.
    static func cache(_ configuration: HybridConfiguration, _ format: KeyValueFormat, tokens: Int) -> Int {
        var bytes = 0
        for kind in configuration.layers {
            if let layout = KeyValueLayout(kind, configuration) {
                bytes += Self.pages(configuration, format, tokens: tokens, window: layout.window)
                if let window = layout.fadingWindow {
                    bytes += Self.pages(configuration, format, tokens: tokens, window: window)
                }
            }
            let mixer = kind == .bmojo ? configuration.bmojo.mixer : kind
            if mixer == .mamba2 { bytes += ScanState.byteCount(configuration) }
            if let layout = MatrixState.Layout(mixer, configuration) { bytes += 4 * layout.count }
        }
        return bytes
    }

    /// The bytes of the pages of one layer: of all tokens, or of a window and the tokens of a pass.
    private static func pages(
        _ configuration: HybridConfiguration, _ format: KeyValueFormat, tokens: Int, window: Int?
    ) -> Int {
        let pages = KeyValuePages(dk_attention_shape(configuration, format))
        let size = KeyValuePages.pageTokens
        let whole = (tokens + size - 1) / size
        guard let window else { return whole * pages.pageBytes }
        return min(whole, (window + QuantModel.rowLimit) / size + 2) * pages.pageBytes
    }

    /// Bytes that a new process can use without pushing others out; nil where the system does not
    /// say.
    public static func available() -> Int? {
        guard let text = try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8) else { return nil }
        let line = text.split(separator: "\n").first { $0.hasPrefix("MemAvailable:") }
        guard let kilobytes = line?.split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else { return nil }
        func number(_ path: String) -> Int? {
            (try? String(contentsOfFile: path, encoding: .utf8)).flatMap {
                Int($0.trimmingCharacters(in: .whitespacesAndNewlines))
            }
        }
        guard let limit = number("/sys/fs/cgroup/memory.max"), let used = number("/sys/fs/cgroup/memory.current") else {
            return kilobytes << 10
        }
        return min(kilobytes << 10, max(limit - used, 0))
    }

    /// - Parameters:
    ///   - available: nil where it is not known; nothing is checked then.
    ///   - mapped: bytes of the weights that are mapped from a file and may be in the system's
    ///     memory already.
    /// - Throws: `InputError` (`.value`), with what would fit.
    public func check(
        available: Int?, configuration: HybridConfiguration, keyValues: KeyValueFormat, place: String, threads: Int
    ) throws(InputError) {
        guard let available, total > available else { return }
        throw InputError(
            .value, in: place,
            expected: "\(Self.text(total)) of free memory (weights \(Self.text(weights)), cache of \(tokens) tokens "
                + "\(Self.text(cache)), work \(Self.text(pass)))",
            found: Self.text(available),
            remedy: try whatFits(available, configuration, keyValues, threads))
    }

    private func whatFits(
        _ available: Int, _ configuration: HybridConfiguration, _ keyValues: KeyValueFormat, _ threads: Int
    ) throws(InputError) -> String {
        // A shorter sequence, if the weights fit.
        if weights + pass < available {
            var (low, high) = (0, tokens)
            while high - low > 1 {
                let middle = (low + high) / 2
                if weights + pass + Self.cache(configuration, keyValues, tokens: middle) <= available {
                    low = middle
                } else {
                    high = middle
                }
            }
            if low > 0 { return "A context of \(low) tokens would fit." }
        }
        for precision in [EnginePrecision.bf16, .int8, .int4] {
            let other = try MemoryNeed(
                configuration, plan: PrecisionPlan(precision, for: configuration), keyValues: keyValues, tokens: tokens,
                threads: threads)
            if other.total <= available && other.weights < weights {
                return "--precision \(precision.rawValue) would fit: it needs \(Self.text(other.total))."
            }
        }
        return "No precision of this model fits; a smaller model or a larger machine is needed."
    }

    static func text(_ bytes: Int) -> String {
        bytes < 1 << 30
            ? "\((bytes + (1 << 19)) >> 20) MiB" : String(format: "%.2f GiB", Double(bytes) / Double(1 << 30))
    }
}
