//  Pages for the keys and values of many sequences: one range of addresses, a page of which is
//  anybody's who takes it and free again when its last holder lets go.
//
//  Addresses are reserved and cost nothing until they are written. Pages that are free keep their
//  memory for the next taker until `trim` hands it back to the system; so sequences that come and
//  go neither fault pages in anew nor leave holes.

import Foundation
import Synchronization

/// A pool of pages of one size.
final class PageArena: Sendable {
    let pageBytes: Int
    private let base: UInt
    private let reservedBytes: Int
    private let capacity: Int
    private let state = Mutex(State())

    private struct State {
        /// Pages that were never taken, or were handed back, begin here or lie in `released`.
        var untouched = 0
        var released: [Int32] = []
        /// Free pages that have memory.
        var idle: [Int32] = []
        var used = 0
    }

    /// - Parameter bytes: how many may be taken; nil when the system does not give the addresses.
    init?(pageBytes: Int, bytes: Int) {
        self.pageBytes = pageBytes
        capacity = min(max(bytes / max(pageBytes, 1), 1), Int(Int32.max))
        let (size, overflows) = capacity.multipliedReportingOverflow(by: pageBytes)
        guard pageBytes > 0, !overflows else { return nil }
        let huge = 2 << 20
        reservedBytes = size + huge
        #if os(Linux)
            let flags = MAP_PRIVATE | Int32(MAP_ANONYMOUS) | Int32(MAP_NORESERVE)
        #else
            let flags = MAP_PRIVATE | MAP_ANON
        #endif
        guard let memory = mmap(nil, reservedBytes, PROT_READ | PROT_WRITE, flags, -1, 0), memory != MAP_FAILED else {
            return nil
        }
        base = UInt(bitPattern: memory)
        #if os(Linux)
            madvise(memory, reservedBytes, Int32(MADV_HUGEPAGE))
        #endif
    }

    deinit { munmap(UnsafeMutableRawPointer(bitPattern: base), reservedBytes) }

    private var first: UInt { (base + UInt(2 << 20) - 1) / UInt(2 << 20) * UInt(2 << 20) }

    private func address(_ index: Int32) -> UnsafeMutableRawPointer? {
        UnsafeMutableRawPointer(bitPattern: first + UInt(index) * UInt(pageBytes))
    }

    /// A page, with whatever is in it; nil when all are taken.
    func take() -> (index: Int32, base: UnsafeMutableRawPointer)? {
        let index = state.withLock { state -> Int32? in
            let index: Int32
            if let page = state.idle.popLast() {
                index = page
            } else if let page = state.released.popLast() {
                index = page
            } else if state.untouched < capacity {
                index = Int32(state.untouched)
                state.untouched += 1
            } else {
                return nil
            }
            state.used += 1
            return index
        }
        guard let index, let base = address(index) else { return nil }
        return (index, base)
    }

    func giveBack(_ index: Int32) {
        state.withLock {
            $0.used -= 1
            $0.idle.append(index)
        }
    }

    /// Bytes of the pages that somebody holds.
    var usedBytes: Int { state.withLock { $0.used } * pageBytes }
    /// Bytes of free pages that have memory.
    var idleBytes: Int { state.withLock { $0.idle.count } * pageBytes }

    /// Hands the memory of free pages back to the system, all but `count` of them.
    func trim(keeping count: Int) {
        state.withLock { state in
            while state.idle.count > max(count, 0), let index = state.idle.popLast() {
                if let address = address(index) { madvise(address, pageBytes, Int32(MADV_DONTNEED)) }
                state.released.append(index)
            }
        }
    }
}
