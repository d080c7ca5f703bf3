//  Normalisation form C of UTF-8 text, as the reference tokenizer does it (Unicode 9.0).
//
//  Nearly all text is in the form already. A quick check (UAX #15, section 9) finds the scalars
//  that may break it, and only the segment around such a scalar, from the last scalar that nothing
//  can join or pass to the next one, is taken apart, ordered and composed. A long text therefore
//  costs one look at each scalar.
//
//  Foundation is asked how one scalar decomposes and whether two compose, no more: its
//  normalisation of whole strings (swift-corelibs-foundation 6.3) misses some orders and Hangul
//  syllables, takes quadratic time for long runs of marks, and knows compositions younger than the
//  reference.

import Foundation

/// The normaliser `NFC` of tokenizer.json.
struct CanonicalComposition {
    private let classes: [UInt8]

    init(classes: [UInt8] = UnicodeClasses.table) {
        self.classes = classes
    }

    /// The text in form C, or nil when it is in that form already.
    ///
    /// - Parameter text: valid UTF-8.
    /// - Complexity: O(n), and O(m log m) for a run of m combining marks.
    func normalized(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
        var output: [UInt8] = []
        var copied = 0
        var position = 0
        var boundary = 0  // where the segment would start if the current scalar broke the form
        var lastCombiningClass: UInt8 = 0
        while position < text.count {
            if text[position] < 0x80 {
                boundary = position
                lastCombiningClass = 0
                position += 1
                continue
            }
            let (length, value) = text.scalar(at: position)
            let kind = kind(value)
            if kind.isDisjoint(with: [.reorders, .composes]) {
                // Nothing joins an inert scalar either, so that it is left out of the segment.
                boundary = kind.contains(.inert) ? position + length : position
                lastCombiningClass = 0
                position += length
                continue
            }
            if !kind.contains(.composes) {
                let combiningClass = Self.combiningClass(value)
                if combiningClass >= lastCombiningClass {
                    lastCombiningClass = combiningClass
                    position += length
                    continue
                }
            }
            // The form may be broken here: normalise from the boundary to the next scalar that
            // starts afresh.
            var end = position + length
            while end < text.count {
                let (length, value) = text.scalar(at: end)
                if self.kind(value).isDisjoint(with: [.reorders, .composes]) { break }
                end += length
            }
            output.append(contentsOf: text[copied..<boundary])
            output.append(contentsOf: composed(UnsafeBufferPointer(rebasing: text[boundary..<end])))
            copied = end
            position = end
            boundary = end
            lastCombiningClass = 0
        }
        if copied == 0 { return nil }
        output.append(contentsOf: text[copied...])
        return output
    }

    /// The form C of one segment: canonical decomposition, ordering, composition.
    private func composed(_ segment: UnsafeBufferPointer<UInt8>) -> String.UTF8View {
        var marks: [(key: Int, scalar: Unicode.Scalar)] = []
        var ordered: [(scalar: Unicode.Scalar, combiningClass: UInt8)] = []
        func flush() {
            marks.sort { $0.key < $1.key }
            for mark in marks { ordered.append((mark.scalar, UInt8(truncatingIfNeeded: mark.key >> 32))) }
            marks.removeAll(keepingCapacity: true)
        }
        for scalar in String(decoding: segment, as: UTF8.self).unicodeScalars {
            for part in Self.decomposition(scalar) {
                let combiningClass = Self.combiningClass(Int(part.value))
                if combiningClass == 0 {
                    flush()
                    ordered.append((part, 0))
                } else {
                    // Marks of one class keep their order.
                    marks.append((Int(combiningClass) << 32 | marks.count, part))
                }
            }
        }
        flush()

        var output: [Unicode.Scalar] = []
        var starter: Int?
        var lastClass: UInt8 = 0
        for (scalar, combiningClass) in ordered {
            // A mark reaches the starter unless one of its own class or higher stands between them.
            if let starter, lastClass == 0 || lastClass < combiningClass,
                let composite = composition(output[starter], scalar)
            {
                output[starter] = composite
                continue
            }
            if combiningClass == 0 { starter = output.count }
            lastClass = combiningClass
            output.append(scalar)
        }
        var text = String.UnicodeScalarView()
        text.append(contentsOf: output)
        return String(text).utf8
    }

    /// The full canonical decomposition of one scalar.
    private static func decomposition(_ scalar: Unicode.Scalar) -> [Unicode.Scalar] {
        scalar.isASCII ? [scalar] : Array(String(Character(scalar)).decomposedStringWithCanonicalMapping.unicodeScalars)
    }

    /// The scalar that is canonically equivalent to these two, if there is one to compose them to.
    private func composition(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
        guard kind(Int(second.value)).contains(.composes) else { return nil }
        // A Hangul syllable without a final consonant takes one: The Unicode Standard, section
        // 3.12.
        let syllable = Int(first.value) - 0xac00
        let final = Int(second.value) - 0x11a7
        if 0..<11172 ~= syllable, syllable % 28 == 0, 1..<28 ~= final {
            return Unicode.Scalar(first.value + UInt32(final))
        }
        let parts = Self.decomposition(first) + [second]
        var text = String.UnicodeScalarView()
        text.append(contentsOf: parts)
        let composed = String(text).precomposedStringWithCanonicalMapping.unicodeScalars
        // Foundation composes scalars beyond U+FFFF as if they were those of the lower 16 bits.
        guard composed.count == 1, let composite = composed.first, Self.decomposition(composite) == parts else {
            return nil
        }
        return composite
    }

    @inline(__always)
    private func kind(_ value: Int) -> ScalarClass {
        ScalarClass(rawValue: value < classes.count ? classes[value] : 0)
    }

    private static func combiningClass(_ value: Int) -> UInt8 {
        guard let scalar = Unicode.Scalar(UInt32(value)) else { return 0 }
        return scalar.properties.canonicalCombiningClass.rawValue
    }
}
