//  Keys and values of one attention layer, in pages that never move.
//
//      page s / 128 holds token s          keys and values of all key/value heads, in the order the kernels read (DualityKernels.h)
//
//  Growing by a token touches the last page only, whatever the length. Copies of the cache share pages; a page that two copies
//  share is copied before one of them writes to it.

import DualityCore
import DualityKernels

/// The number format in which keys and values are kept.
public enum KeyValueFormat: String, Sendable, CaseIterable, Codable {
    case f32
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
    private var pages: [AlignedMemory] = []
    /// The addresses of `pages`, which kernels take as an array.
    private var addresses: [UnsafeMutableRawPointer] = []

    static let pageTokens = Int(DK_KV_PAGE)

    init(_ shape: dk_attention_shape) {
        var shape = shape
        pageBytes = Int(dk_kv_page_bytes(&shape))
    }

    var byteCount: Int { pages.count * pageBytes }

    /// Makes the pages of tokens `position ..< position + count` present and this cache's own.
    mutating func prepareToWrite(position: Int, count: Int) {
        let last = (position + count + Self.pageTokens - 1) / Self.pageTokens
        for index in position / Self.pageTokens..<max(last, position / Self.pageTokens) {
            if index == pages.count {
                let page = AlignedMemory(byteCount: pageBytes)
                page.clear()
                pages.append(page)
                addresses.append(page.base)
            } else if !isKnownUniquelyReferenced(&pages[index]) {
                pages[index] = pages[index].copy()
                addresses[index] = pages[index].base
            }
        }
    }

    func withAddresses<Result>(_ body: (UnsafePointer<UnsafeMutableRawPointer>) -> Result) -> Result {
        addresses.withUnsafeBufferPointer { body($0.baseAddress ?? Self.none) }
    }

    /// For a cache without pages, of which nothing is read.
    private static nonisolated(unsafe) let none = UnsafePointer(
        UnsafeMutablePointer<UnsafeMutableRawPointer>.allocate(capacity: 1))
}
