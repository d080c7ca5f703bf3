//  Normalisation form C of UTF-8 text, as the reference tokenizer does it (Unicode 9.0).
//
//  Nearly all text is in the form already. A quick check (UAX #15, section 9) finds the scalars that may break it, and
//  only the segment around such a scalar, from the last scalar that nothing can join or pass to the next one, is handed to
//  Foundation. A long text therefore costs one look at each scalar, and scalars younger than Unicode 9.0, whose
//  compositions Foundation may know and the reference does not, are never handed over.

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
            // The form may be broken here: normalise from the boundary to the next scalar that starts afresh.
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

    /// The form C of one segment.
    private func composed(_ segment: UnsafeBufferPointer<UInt8>) -> String.UTF8View {
        var scalars: [Unicode.Scalar] = []
        for scalar in String(decoding: segment, as: UTF8.self).unicodeScalars {
            // These three are starters whose decompositions are not, which swift-corelibs-foundation 6.3 does not reorder.
            switch scalar.value {
            case 0xf73: scalars += ["\u{f71}", "\u{f72}"]
            case 0xf75: scalars += ["\u{f71}", "\u{f74}"]
            case 0xf81: scalars += ["\u{f71}", "\u{f80}"]
            default: scalars.append(scalar)
            }
        }
        var text = String.UnicodeScalarView()
        text.append(contentsOf: Self.canonicallyOrdered(scalars))
        return String(text).precomposedStringWithCanonicalMapping.utf8
    }

    /// Sorts each run of combining marks by class, marks of one class staying in order; Foundation takes quadratic time.
    private static func canonicallyOrdered(_ scalars: [Unicode.Scalar]) -> [Unicode.Scalar] {
        var ordered: [Unicode.Scalar] = []
        var marks: [(key: Int, scalar: Unicode.Scalar)] = []
        func flush() {
            marks.sort { $0.key < $1.key }
            ordered.append(contentsOf: marks.lazy.map(\.scalar))
            marks.removeAll(keepingCapacity: true)
        }
        for (index, scalar) in scalars.enumerated() {
            let combiningClass = Int(combiningClass(Int(scalar.value)))
            if combiningClass == 0 {
                flush()
                ordered.append(scalar)
            } else {
                marks.append((combiningClass << 32 | index, scalar))
            }
        }
        flush()
        return ordered
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
