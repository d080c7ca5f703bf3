//  SHA-256, by which a report says on which vectors it rests.
//
//  Source: FIPS 180-4, sections 4.1.2, 5 and 6.2. The constants are the first 32 bits of the
//  fractional parts of the square and cube roots of the first primes, computed here in integers.

/// The SHA-256 digest of `bytes` in hexadecimal.
///
/// - Complexity: O(bytes), some 200 MB/s.
package func sha256(_ bytes: UnsafeRawBufferPointer) -> String {
    var state = SHA256State()
    var whole = 0
    while whole + 64 <= bytes.count {
        state.absorb(UnsafeRawBufferPointer(rebasing: bytes[whole..<whole + 64]))
        whole += 64
    }
    var tail = Array(bytes[whole...]) + [0x80]
    while tail.count % 64 != 56 { tail.append(0) }
    withUnsafeBytes(of: UInt64(bytes.count * 8).bigEndian) { tail.append(contentsOf: $0) }
    tail.withUnsafeBytes { tail in
        for first in stride(from: 0, to: tail.count, by: 64) {
            state.absorb(UnsafeRawBufferPointer(rebasing: tail[first..<first + 64]))
        }
    }
    return state.hash.map { word in
        let digits = String(word, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }.joined()
}

private struct SHA256State {
    var hash: [UInt32] = primes.prefix(8).map { root($0, 2) }
    private var schedule = [UInt32](repeating: 0, count: 64)

    mutating func absorb(_ block: UnsafeRawBufferPointer) {
        for i in 0..<16 {
            schedule[i] = UInt32(bigEndian: block.loadUnaligned(fromByteOffset: 4 * i, as: UInt32.self))
        }
        for i in 16..<64 {
            let (a, b) = (schedule[i - 15], schedule[i - 2])
            let s0 = a.rotated(7) ^ a.rotated(18) ^ (a >> 3)
            let s1 = b.rotated(17) ^ b.rotated(19) ^ (b >> 10)
            schedule[i] = schedule[i - 16] &+ s0 &+ schedule[i - 7] &+ s1
        }
        var (a, b, c, d) = (hash[0], hash[1], hash[2], hash[3])
        var (e, f, g, h) = (hash[4], hash[5], hash[6], hash[7])
        for i in 0..<64 {
            let first =
                h &+ (e.rotated(6) ^ e.rotated(11) ^ e.rotated(25)) &+ ((e & f) ^ (~e & g)) &+ roundConstants[i]
                &+ schedule[i]
            let second = (a.rotated(2) ^ a.rotated(13) ^ a.rotated(22)) &+ ((a & b) ^ (a & c) ^ (b & c))
            (h, g, f, e, d, c, b, a) = (g, f, e, d &+ first, c, b, a, first &+ second)
        }
        for (i, word) in [a, b, c, d, e, f, g, h].enumerated() { hash[i] &+= word }
    }
}

private let primes: [UInt64] = {
    var primes: [UInt64] = []
    var candidate: UInt64 = 2
    while primes.count < 64 {
        if primes.allSatisfy({ candidate % $0 != 0 }) { primes.append(candidate) }
        candidate += 1
    }
    return primes
}()

private let roundConstants: [UInt32] = primes.map { root($0, 3) }

/// The first 32 bits of the fraction of the square or cube root of a small number: the largest r
/// with r^k <= n 2^(32 k).
private func root(_ number: UInt64, _ k: Int) -> UInt32 {
    var low: UInt64 = 0
    var high: UInt64 = 1 << 40
    func fits(_ r: UInt64) -> Bool {
        // r < 2^36 for the numbers of interest, so that r^3 < 2^108 is compared in two halves.
        let square = r.multipliedFullWidth(by: r)
        if k == 2 {  // n 2^64
            return square.high < number || (square.high == number && square.low == 0)
        }
        let low = square.low.multipliedFullWidth(by: r)
        let middle = square.high &* r &+ low.high  // r^3 / 2^64, and n 2^96 / 2^64 = n 2^32
        return middle < number << 32 || (middle == number << 32 && low.low == 0)
    }
    while low + 1 < high {
        let middle = low + (high - low) / 2
        if fits(middle) { low = middle } else { high = middle }
    }
    return UInt32(truncatingIfNeeded: low)
}

extension UInt32 {
    @inline(__always)
    fileprivate func rotated(_ n: UInt32) -> UInt32 { (self >> n) | (self << (32 - n)) }
}
