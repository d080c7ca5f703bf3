import Testing

@testable import DualityInference

/// The pinned Unicode data and the normaliser, against Hugging Face tokenizers 0.23 on every
/// scalar.
@Suite struct NormalizationTests {
    private func normalized(_ text: String) -> String {
        withUTF8(text) { utf8 in
            CanonicalComposition().normalized(utf8).map { String(decoding: $0, as: UTF8.self) } ?? text
        }
    }

    /// FNV-1a, as the answers of the reference were summed up.
    private struct Checksum {
        var value: UInt64 = 0xcbf2_9ce4_8422_2325

        mutating func add(_ bytes: some Sequence<UInt8>) {
            for byte in bytes { value = (value ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        }
    }

    /// One byte a scalar below U+40000: 1 for `\p{L}`, 2 for `\p{N}`, 4 for `\s`.
    @Test func classesAreThoseOfOniguruma() {
        var checksum = Checksum()
        let table = UnicodeClasses.table
        checksum.add((0..<0x40000).map { $0 < table.count ? table[$0] & 7 : 0 })
        #expect(checksum.value == 0xe518_d105_05dc_9257, "got \(String(checksum.value, radix: 16))")
    }

    @Test func everyScalarNormalizesAsInTheReference() {
        var checksum = Checksum()
        for scalar in (UInt32(0)..<0x40000).compactMap(Unicode.Scalar.init) {
            checksum.add(normalized(String(Character(scalar))).utf8)
        }
        #expect(checksum.value == 0xa764_0739_f3ec_12b9, "got \(String(checksum.value, radix: 16))")
    }

    @Test func everyScalarAmongMarksNormalizesAsInTheReference() {
        var checksum = Checksum()
        for scalar in (UInt32(0)..<0x33480).compactMap(Unicode.Scalar.init) {
            for text in ["a\u{345}\(scalar)\u{334}", "\(scalar)\u{301}", "\(scalar)\u{323}\u{308}"] {
                checksum.add(normalized(text).utf8)
            }
        }
        #expect(checksum.value == 0x5771_88fa_5c63_46b4, "got \(String(checksum.value, radix: 16))")
    }

    /// Where Foundation's own normalisation goes wrong, and the limits of the pinned version.
    @Test(
        arguments: [
            ("\u{ac00}\u{11a8}", "\u{ac01}"), ("\u{ac01}\u{11a8}", "\u{ac01}\u{11a8}"),
            ("\u{10057}\u{308}", "\u{10057}\u{308}"), ("\u{f0041}\u{323}\u{301}", "\u{f0041}\u{323}\u{301}"),
            ("a\u{345}\u{f73}\u{334}", "a\u{334}\u{f71}\u{f72}\u{345}"), ("\u{cca}\u{cd5}", "\u{ccb}"),
            ("\u{11099}\u{110ba}", "\u{1109a}"), ("\u{11935}\u{11930}", "\u{11935}\u{11930}"),
            ("\u{105d2}\u{307}", "\u{105d2}\u{307}"), ("a\u{898}\u{323}", "a\u{898}\u{323}"),
            ("e\u{302}\u{323}x", "\u{1ec7}x"), ("\u{344}", "\u{308}\u{301}"), ("\u{301}", "\u{301}"), ("", ""),
        ])
    func difficultTextNormalizesAsInTheReference(text: String, expected: String) {
        let found = normalized(text)
        #expect(isExactly(found, expected), "\(escaped(found))")
    }

    @Test func aLongRunOfMarksIsOrdered() {
        let count = 20_000
        let text = "a" + String(repeating: "\u{301}\u{323}", count: count)
        let expected =
            "\u{1ea1}" + String(repeating: "\u{323}", count: count - 1) + String(repeating: "\u{301}", count: count)
        #expect(isExactly(normalized(text), expected))
    }
}
