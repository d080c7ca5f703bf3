//  The bytes every token stands for, one after the other in one array, and the way back from bytes
//  to a token.

import DualityCore

/// The tokens of a byte-level vocabulary.
struct Vocabulary {
    /// An identifier no token has.
    static let none = UInt32.max

    /// The bytes of all tokens, in the order they were added.
    private var bytes: [UInt8] = []
    /// Where a token's bytes lie, indexed by identifier; the length is -1 where there is no such
    /// token.
    private var places: [(start: UInt32, length: Int32)] = []
    /// Open addressing with linear probing over identifiers; a power of two, at most half full.
    private var slots: [UInt32]

    /// - Parameter expectedCount: how many tokens will be added, about.
    init(expectedCount: Int = 0) {
        slots = [UInt32](repeating: Self.none, count: max(64, (expectedCount * 2).nextPowerOfTwo))
        places.reserveCapacity(expectedCount)
    }

    /// One more than the largest identifier.
    var limit: Int { places.count }

    private(set) var count = 0

    func contains(_ id: Int) -> Bool { id >= 0 && id < places.count && places[id].length >= 0 }

    /// The bytes of a token that the vocabulary contains.
    @inline(__always)
    func bytes(of id: Int) -> ArraySlice<UInt8> {
        let place = places[id]
        return bytes[Int(place.start)..<Int(place.start) + Int(place.length)]
    }

    /// Adds a token. When two tokens stand for the same bytes, the first is the one that is found
    /// by them.
    ///
    /// - Parameter isFound: whether the token can be found by its bytes.
    /// - Returns: false when the identifier is taken.
    mutating func insert(_ token: UnsafeBufferPointer<UInt8>, id: Int, isFound: Bool = true) -> Bool {
        if id < places.count {
            if places[id].length >= 0 { return false }
        } else {
            places.append(contentsOf: repeatElement((start: 0, length: -1), count: id + 1 - places.count))
        }
        places[id] = (UInt32(bytes.count), Int32(token.count))
        bytes.append(contentsOf: token)
        count += 1
        if !isFound { return true }
        if count * 2 > slots.count { grow() }
        var slot = hash(of: token) & (slots.count - 1)
        while slots[slot] != Self.none {
            if isEqual(Int(slots[slot]), token) { return true }
            slot = (slot + 1) & (slots.count - 1)
        }
        slots[slot] = UInt32(id)
        return true
    }

    /// The token that stands for exactly these bytes, or `none`.
    func id(of token: UnsafeBufferPointer<UInt8>) -> UInt32 {
        var slot = hash(of: token) & (slots.count - 1)
        while slots[slot] != Self.none {
            if isEqual(Int(slots[slot]), token) { return slots[slot] }
            slot = (slot + 1) & (slots.count - 1)
        }
        return Self.none
    }

    private func isEqual(_ id: Int, _ token: UnsafeBufferPointer<UInt8>) -> Bool {
        let place = places[id]
        guard Int(place.length) == token.count else { return false }
        let start = Int(place.start)
        for index in 0..<token.count where bytes[start + index] != token[index] { return false }
        return true
    }

    private mutating func grow() {
        let old = slots
        slots = [UInt32](repeating: Self.none, count: old.count * 2)
        for id in old where id != Self.none {
            var slot = bytes(of: Int(id)).withUnsafeBufferPointer { hash(of: $0) } & (slots.count - 1)
            while slots[slot] != Self.none { slot = (slot + 1) & (slots.count - 1) }
            slots[slot] = id
        }
    }
}

/// A hash of a few bytes; fast, and only for tables that live and die with the process.
@inline(__always)
func hash(of bytes: UnsafeBufferPointer<UInt8>) -> Int {
    var state: UInt64 = 0x9e37_79b9_7f4a_7c15 ^ UInt64(truncatingIfNeeded: bytes.count)
    var index = 0
    if let base = bytes.baseAddress {
        let raw = UnsafeRawPointer(base)
        while index + 8 <= bytes.count {
            state = fold(state ^ raw.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            index += 8
        }
        var rest: UInt64 = 0
        while index < bytes.count {
            rest = rest << 8 | UInt64(bytes[index])
            index += 1
        }
        state = fold(state ^ rest)
    }
    return Int(truncatingIfNeeded: state >> 1)
}

/// Mixes 64 bits: the two halves of a product, folded together.
@inline(__always)
func fold(_ value: UInt64) -> UInt64 {
    let product = value.multipliedFullWidth(by: 0xa076_1d64_78bd_642f)
    return product.high ^ product.low
}

extension Int {
    /// The smallest power of two that is at least this, and at least 1.
    var nextPowerOfTwo: Int {
        self <= 1 ? 1 : 1 << (Int.bitWidth - (self - 1).leadingZeroBitCount)
    }
}
