//  Memory for the numbers of a pass: aligned to cache lines, grown and never shrunk, not cleared
//  between uses.
//
//  Swift arrays would be zeroed at every pass and their pages faulted in anew; a prompt of 512
//  tokens at the 8B shape needs about 60 MB of them a layer.

import Foundation

/// A block of memory aligned to 64 bytes (blocks from 2 MiB on to 2 MiB, with huge pages where the
/// system has them).
package final class AlignedMemory: @unchecked Sendable {
    package private(set) var base: UnsafeMutableRawPointer
    private(set) var byteCount: Int
    private let account: MemoryAccount?

    /// - Parameter byteCount: at least 1 is taken.
    package convenience init(byteCount: Int) { self.init(byteCount: byteCount, account: nil) }

    /// - Parameter account: where the bytes are counted while they are held.
    init(byteCount: Int, account: MemoryAccount?) {
        self.byteCount = max(byteCount, 64)
        self.account = account
        base = Self.allocate(self.byteCount)
        account?.add(self.byteCount)
    }

    deinit {
        account?.add(-byteCount)
        free(base)
    }

    /// Makes room for at least `byteCount` bytes; the contents are lost when the block has to grow.
    func reserve(_ byteCount: Int) {
        guard byteCount > self.byteCount else { return }
        free(base)
        account?.add(byteCount - self.byteCount)
        self.byteCount = byteCount
        base = Self.allocate(byteCount)
    }

    /// Sets every byte to zero.
    func clear() { memset(base, 0, byteCount) }

    func copy() -> AlignedMemory { copy(byteCount: byteCount) }

    /// A block of `count` bytes that begins as this one does; what is behind this one's bytes is
    /// zero.
    func copy(byteCount count: Int) -> AlignedMemory {
        let other = AlignedMemory(byteCount: count, account: account)
        memcpy(other.base, base, min(count, byteCount))
        if count > byteCount { memset(other.base + byteCount, 0, count - byteCount) }
        return other
    }

    private static func allocate(_ byteCount: Int) -> UnsafeMutableRawPointer {
        let hugePage = 2 << 20
        let isLarge = byteCount >= hugePage
        let alignment = isLarge ? hugePage : 64
        // The end of a block is worth a huge page of its own only where that is little beside the
        // whole.
        let unit = byteCount >= 2 * hugePage ? hugePage : 64
        let size = (byteCount + unit - 1) / unit * unit
        var address: UnsafeMutableRawPointer?
        // The only documented failures are a bad alignment, which this is not, and no memory, on
        // which Swift's own allocations end the process too.
        guard posix_memalign(&address, alignment, size) == 0, let address else {
            preconditionFailure("no memory for \(size) bytes")
        }
        #if os(Linux)
            if isLarge { madvise(address, size, Int32(MADV_HUGEPAGE)) }
        #endif
        return address
    }
}

/// A growable buffer of numbers of one kind.
struct Buffer<Element: BitwiseCopyable>: Sendable {
    private let memory = AlignedMemory(byteCount: 64)

    var byteCount: Int { memory.byteCount }

    /// Room for `count` elements; nothing is said about what they hold.
    func pointer(_ count: Int) -> UnsafeMutablePointer<Element> {
        memory.reserve(count * MemoryLayout<Element>.stride)
        return memory.base.assumingMemoryBound(to: Element.self)
    }
}
