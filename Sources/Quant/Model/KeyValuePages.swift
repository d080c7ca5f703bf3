//  Keys and values of one attention layer, in pages that never move.
//
//      page s / 128 holds token s          keys and values of all key/value heads, in the order the kernels read (DualityKernels.h)
//
//  Growing by a token touches the last page only, whatever the length. Pages that a sliding window
//  has passed are let go. Copies of the cache share
//  pages; a page that two copies share is copied before one of them writes to it. Pages come out of
//  blocks of up to 2 MiB, which the system can hold as one huge page each: reading all pages for
//  every token is what attention's time goes to, and small pages cost a tenth of it.

import DualityCore
import DualityKernels
import Foundation
import Synchronization

/// The number format in which keys and values are kept.
public enum KeyValueFormat: String, Sendable, CaseIterable, Codable {
    /// float32.
    case f32
    /// bfloat16.
    case bf16
    /// With a scale for each head and token.
    case int8

    var kernelFormat: dk_kv_format {
        switch self {
        case .f32: DK_KV_F32
        case .bf16: DK_KV_BF16
        case .int8: DK_KV_INT8
        }
    }
}

/// A growing cache of keys and values.
struct KeyValuePages: @unchecked Sendable {
    let pageBytes: Int
    /// Nil for a page that the window has passed.
    private var pages: [Page?] = []
    /// The addresses of `pages`, which kernels take as an array; those of passed pages are not
    /// read.
    private var addresses: [UnsafeMutableRawPointer] = []
    /// Where the next pages come from; copies of the cache take from the same block, never the same
    /// page.
    private var block: PageBlock?
    /// A page that the window has passed and nobody else has.
    private var spare: Page?
    /// Where pages come from and are counted instead, in a server.
    private let memory: CacheMemory?

    static let pageTokens = Int(DK_KV_PAGE)
    /// A huge page.
    fileprivate static let largestBlock = 2 << 20

    init(_ shape: dk_attention_shape, _ memory: CacheMemory? = nil) {
        var shape = shape
        pageBytes = Int(dk_kv_page_bytes(&shape))
        self.memory = memory
    }

    var byteCount: Int { (pages.count - passed) * pageBytes }

    /// Pages in front that the window has passed.
    private var passed = 0

    /// Tokens stored so far, those that have been let go among them: the next one's place.
    private(set) var count = 0

    /// Makes the pages of the next `added` tokens present and this cache's own.
    ///
    /// - Parameter window: tokens that one sees, itself among them; what the first of the new
    ///   tokens does not see is let go. Nil for all.
    mutating func prepareToWrite(_ added: Int, window: Int? = nil) {
        if let window { letGo(before: count - window + 1) }
        let last = (count + added + Self.pageTokens - 1) / Self.pageTokens
        for index in count / Self.pageTokens..<max(last, count / Self.pageTokens) {
            if index == pages.count {
                let page = newPage()
                memset(page.base, 0, pageBytes)
                pages.append(page)
                addresses.append(page.base)
            } else if !isKnownUniquelyReferenced(&pages[index]), let shared = pages[index] {
                let page = newPage()
                memcpy(page.base, shared.base, pageBytes)
                pages[index] = page
                addresses[index] = page.base
            }
        }
    }

    /// Counts tokens that have been written.
    mutating func advance(by added: Int) { count += added }

    /// Lets go of the pages that hold no token from `token` on. One of them, if no copy of the
    /// cache has it, is the next new page.
    private mutating func letGo(before token: Int) {
        while (passed + 1) * Self.pageTokens <= token, passed < pages.count {
            if var page = pages[passed].take(), isKnownUniquelyReferenced(&page) { spare = page }
            passed += 1
        }
    }

    private mutating func newPage() -> Page {
        // A copy of this cache may have taken the same one.
        if isKnownUniquelyReferenced(&spare), let page = spare.take() { return page }
        spare = nil
        if let memory {
            if let arena = memory.arena, arena.pageBytes == pageBytes, let page = Page(arena) { return page }
            return Page(AlignedMemory(byteCount: pageBytes, account: memory.account), offset: 0)
        }
        if let page = block?.takePage() { return page }
        // As many pages as there are already, so that a short sequence stays small.
        let count = min(max(pages.count - passed, 1), max(Self.largestBlock / pageBytes, 1))
        let fresh = PageBlock(pages: count, pageBytes: pageBytes)
        block = fresh
        return fresh.takePage() ?? Page(AlignedMemory(byteCount: pageBytes), offset: 0)
    }

    /// Lets go of what the next pages would be taken from.
    mutating func leaveRoom() { (block, spare) = (nil, nil) }

    /// The bytes of the pages that are held, in order.
    var parts: [UnsafeRawBufferPointer] {
        pages.compactMap { $0 }.map { UnsafeRawBufferPointer(start: $0.base, count: pageBytes) }
    }

    /// Takes the bytes of the last pages of `tokens` tokens; returns whether they are whole pages,
    /// not too many, and all that the next token sees.
    mutating func fill(from bytes: UnsafeRawBufferPointer, tokens: Int, window: Int?) -> Bool {
        let all = (tokens + Self.pageTokens - 1) / Self.pageTokens
        guard bytes.count % pageBytes == 0, bytes.count / pageBytes <= all else { return false }
        let firstSeen = window.map { max(tokens - $0 + 1, 0) / Self.pageTokens } ?? 0
        guard all - bytes.count / pageBytes <= firstSeen else { return false }
        passed = all - bytes.count / pageBytes
        count = tokens
        for index in 0..<all {
            guard index >= passed else {
                pages.append(nil)
                // Not read.
                addresses.append(UnsafeMutableRawPointer(mutating: UnsafeRawPointer(Self.none)))
                continue
            }
            let page = newPage()
            if let source = bytes.baseAddress { memcpy(page.base, source + (index - passed) * pageBytes, pageBytes) }
            pages.append(page)
            addresses.append(page.base)
        }
        return true
    }

    func forEachPage(_ body: (ObjectIdentifier, Int) -> Void) {
        for page in pages { page.map { body(ObjectIdentifier($0), pageBytes) } }
    }

    func withAddresses<Result>(_ body: (UnsafePointer<UnsafeMutableRawPointer>) -> Result) -> Result {
        addresses.withUnsafeBufferPointer { body($0.baseAddress ?? Self.none) }
    }

    /// For a cache without pages, of which nothing is read.
    private static nonisolated(unsafe) let none = UnsafePointer(
        UnsafeMutablePointer<UnsafeMutableRawPointer>.allocate(capacity: 1))
}

/// One page; how many caches share it is the number of references to it.
private final class Page: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
    private let owner: Owner

    private enum Owner {
        case block(AlignedMemory)
        case arena(PageArena, index: Int32)
    }

    init(_ memory: AlignedMemory, offset: Int) {
        owner = .block(memory)
        base = memory.base + offset
    }

    /// Nil when the arena is full.
    init?(_ arena: PageArena) {
        guard let page = arena.take() else { return nil }
        owner = .arena(arena, index: page.index)
        base = page.base
    }

    deinit {
        if case .arena(let arena, let index) = owner { arena.giveBack(index) }
    }
}

/// Memory for several pages, each given out once.
private final class PageBlock: Sendable {
    private let memory: AlignedMemory
    private let pageBytes, count: Int
    private let taken = Atomic<Int>(0)

    init(pages count: Int, pageBytes: Int) {
        self.count = count
        self.pageBytes = pageBytes
        // A block that is nearly a huge page becomes one.
        let (bytes, huge) = (count * pageBytes, KeyValuePages.largestBlock)
        memory = AlignedMemory(byteCount: bytes > huge / 2 ? (bytes + huge - 1) / huge * huge : bytes)
    }

    /// A page that no one else has; nil when all are given out.
    func takePage() -> Page? {
        let index = taken.wrappingAdd(1, ordering: .relaxed).oldValue
        return index < count ? Page(memory, offset: index * pageBytes) : nil
    }
}
