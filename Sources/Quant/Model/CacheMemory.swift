//  The memory of many caches, counted: what several of them share counts once, for it is there
//  once.

import DualityCore
import DualityKernels
import Synchronization

/// Where the caches of a server live.
package final class CacheMemory: Sendable {
    let arena: PageArena?
    /// Bytes of states and of pages outside the arena.
    let account = MemoryAccount()

    /// - Parameter bytes: how many keys and values may take.
    package init(for model: QuantModel, bytes: Int) {
        let shape = QuantCache.Shape(model.configuration, model.keyValueFormat)
        arena =
            shape.keyValues.contains { $0 != nil }
            ? PageArena(
                pageBytes: KeyValuePages(dk_attention_shape(model.configuration, model.keyValueFormat)).pageBytes,
                bytes: bytes)
            : nil
    }

    /// Bytes that caches hold.
    package var byteCount: Int { account.byteCount + (arena?.usedBytes ?? 0) }
    /// Bytes that nobody holds and that are kept for the next.
    package var idleBytes: Int { arena?.idleBytes ?? 0 }

    /// Hands idle memory back to the system, all but `bytes` of it.
    package func trim(keeping bytes: Int) {
        if let arena { arena.trim(keeping: bytes / arena.pageBytes) }
    }
}

/// A sum of bytes.
final class MemoryAccount: Sendable {
    private let bytes = Atomic<Int>(0)

    var byteCount: Int { bytes.load(ordering: .relaxed) }
    func add(_ count: Int) { bytes.add(count, ordering: .relaxed) }
}

extension QuantModel {
    /// The cache of an empty sequence, in memory that is counted.
    package func makeCache(in memory: CacheMemory) -> QuantCache {
        QuantCache(cacheConfiguration, keyValues: keyValueFormat, of: stage?.layers, memory: memory)
    }

    /// The bytes of a sequence beside its keys and values.
    package var stateBytes: Int { makeCache().stateBytes }

    /// The bytes of the pages that hold the same 128 tokens in all layers; more than there are
    /// where layers have a window.
    package var pageSetBytes: Int {
        makeCache().layers.reduce(0) { $0 + ($1.keyValues?.pageBytes ?? 0) + ($1.fading?.pageBytes ?? 0) }
    }

    /// The bytes of a sequence of `tokens` tokens.
    package func cacheBytes(tokens: Int) -> Int {
        MemoryNeed.cache(configuration, keyValueFormat, tokens: tokens)
    }

    /// The bytes of a pass of as many rows as one may have.
    package func workspaceBytes(rows: Int) throws(InputError) -> Int {
        try MemoryNeed(
            configuration, plan: plan, keyValues: keyValueFormat, tokens: rows, threads: threadCount
        ).pass
    }
}

extension QuantCache {
    /// Tokens of a page of keys and values.
    package static var pageTokens: Int { KeyValuePages.pageTokens }

    /// A cache of nothing, for where one has been moved from.
    package static var none: QuantCache { QuantCache(moved: ()) }

    /// The bytes beside keys and values.
    package var stateBytes: Int {
        layers.reduce(0) { $0 + ($1.scan?.byteCount ?? 0) + ($1.matrix?.byteCount ?? 0) }
    }

    /// A copy to keep: it has no room to grow, and where a chunk of the scan has just ended, none
    /// for the operands of the next.
    package func snapshot() -> QuantCache {
        var copy = self
        for i in copy.layers.indices {
            copy.layers[i].keyValues?.leaveRoom()
            copy.layers[i].fading?.leaveRoom()
            copy.layers[i].scan?.leaveOpenChunk()
        }
        return copy
    }

    /// The pages held, each with the bytes of all pages that are held and let go together with it.
    package func forEachPage(_ body: (ObjectIdentifier, Int) -> Void) {
        var counted: [KeyValueLayout] = []
        for i in layers.indices {
            guard let layout = shape.keyValues[i], layers[i].keyValues != nil, !counted.contains(layout) else {
                continue
            }
            counted.append(layout)
            let alike = layers.indices.count { shape.keyValues[$0] == layout && layers[$0].keyValues != nil }
            layers[i].keyValues?.forEachPage { body($0, $1 * alike) }
            layers[i].fading?.forEachPage { body($0, $1 * alike) }
        }
    }
}
