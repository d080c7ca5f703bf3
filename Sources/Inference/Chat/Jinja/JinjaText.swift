//  A string of a template program: UTF-8 bytes, and which of them came from the conversation.
//
//  A prompt is made of the template's own text and of what people wrote. Both may hold the markers
//  that separate turns, and only those of the template mean anything. So every string carries the
//  byte ranges that are content, and every operation on strings keeps them: what is cut, joined or
//  stripped keeps its origin.

/// A string and the origin of its bytes.
struct JinjaText {
    private(set) var bytes: [UInt8]
    /// Byte ranges that came from the conversation: ascending, not empty, not touching.
    private(set) var content: [Range<Int>]
    /// Whether the string counts as escaped HTML (`safe`): joining another to it escapes the other.
    var isMarkup = false

    init() {
        bytes = []
        content = []
    }

    init(_ string: String, isContent: Bool = false) {
        self.init(Array(string.utf8), isContent: isContent)
    }

    init(_ bytes: [UInt8], isContent: Bool = false) {
        self.bytes = bytes
        content = isContent && !bytes.isEmpty ? [0..<bytes.count] : []
    }

    var string: String { String(decoding: bytes, as: UTF8.self) }
    var isEmpty: Bool { bytes.isEmpty }
    /// Whether any byte came from the conversation.
    var hasContent: Bool { !content.isEmpty }

    /// Takes over a result that was computed byte by byte elsewhere; it is content when `self` has
    /// some.
    func replaced(by string: String) -> JinjaText {
        JinjaText(string, isContent: hasContent)
    }

    mutating func append(_ other: JinjaText) {
        let offset = bytes.count
        bytes += other.bytes
        for range in other.content { addContent(range.lowerBound + offset..<range.upperBound + offset) }
    }

    mutating func append(_ string: String) {
        bytes += string.utf8
    }

    mutating func append(_ other: JinjaText, _ range: Range<Int>) {
        let offset = bytes.count - range.lowerBound
        bytes += other.bytes[range]
        for part in other.content where part.overlaps(range) {
            let part = part.clamped(to: range)
            addContent(part.lowerBound + offset..<part.upperBound + offset)
        }
    }

    private mutating func addContent(_ range: Range<Int>) {
        if let last = content.last, last.upperBound == range.lowerBound {
            content[content.count - 1] = last.lowerBound..<range.upperBound
        } else {
            content.append(range)
        }
    }

    /// The bytes of a range with their origin. The range must begin and end at characters.
    subscript(range: Range<Int>) -> JinjaText {
        if range == bytes.indices { return self }
        var part = JinjaText()
        part.append(self, range)
        part.isMarkup = isMarkup
        return part
    }
}

// MARK: - Characters

extension JinjaText {
    /// The number of Unicode scalars, which Python counts as characters. O(bytes).
    var count: Int {
        var count = 0
        for byte in bytes where byte & 0xC0 != 0x80 { count += 1 }
        return count
    }

    /// Byte offsets at which characters begin, and the end.
    var boundaries: [Int] {
        var offsets: [Int] = []
        offsets.reserveCapacity(bytes.count + 1)
        for (offset, byte) in bytes.enumerated() where byte & 0xC0 != 0x80 { offsets.append(offset) }
        offsets.append(bytes.count)
        return offsets
    }

    /// The byte offset of the character `index` behind the one at `start`; the end at most.
    func offset(_ index: Int, from start: Int = 0) -> Int {
        var position = start
        var left = index
        while position < bytes.count {
            if bytes[position] & 0xC0 != 0x80 {
                if left == 0 { return position }
                left -= 1
            }
            position += 1
        }
        return bytes.count
    }

    /// The byte range of every character.
    var characterRanges: [Range<Int>] {
        let boundaries = boundaries
        return (0..<boundaries.count - 1).map { boundaries[$0]..<boundaries[$0 + 1] }
    }

    var scalars: [Unicode.Scalar] { Array(string.unicodeScalars) }

    func scalar(at range: Range<Int>) -> Unicode.Scalar {
        String(decoding: bytes[range], as: UTF8.self).unicodeScalars.first ?? "\u{FFFD}"
    }
}

// MARK: - Searching

extension JinjaText: Equatable {
    /// Equal when the bytes are; the origin does not count.
    static func == (a: JinjaText, b: JinjaText) -> Bool { a.bytes == b.bytes }

    /// The first place of `pattern` that lies in `range`, as a byte offset.
    func find(_ pattern: JinjaText, in range: Range<Int>) -> Int? {
        let pattern = pattern.bytes
        guard let first = pattern.first else { return range.lowerBound }
        return bytes.withUnsafeBufferPointer { text in
            pattern.withUnsafeBufferPointer { pattern in
                var position = range.lowerBound
                while position + pattern.count <= range.upperBound {
                    if text[position] == first {
                        var length = 1
                        while length < pattern.count, text[position + length] == pattern[length] { length += 1 }
                        if length == pattern.count { return position }
                    }
                    position += 1
                }
                return nil
            }
        }
    }

    /// The last place of `pattern` that lies in `range`, as a byte offset.
    func findLast(_ pattern: JinjaText, in range: Range<Int>) -> Int? {
        var position = range.upperBound - pattern.bytes.count
        while position >= range.lowerBound {
            if bytes[position...].starts(with: pattern.bytes) { return position }
            position -= 1
        }
        return nil
    }

    func contains(_ pattern: JinjaText) -> Bool { find(pattern, in: bytes.indices) != nil }

    func hasPrefix(_ prefix: JinjaText) -> Bool { bytes.starts(with: prefix.bytes) }

    func hasSuffix(_ suffix: JinjaText) -> Bool {
        bytes.count >= suffix.bytes.count && bytes[(bytes.count - suffix.bytes.count)...].elementsEqual(suffix.bytes)
    }

    /// All places of `pattern` that do not overlap, from the left, `limit` at most.
    func places(of pattern: JinjaText, limit: Int = .max) -> [Range<Int>] {
        var places: [Range<Int>] = []
        var start = 0
        while places.count < limit, let place = find(pattern, in: start..<bytes.count) {
            places.append(place..<place + pattern.bytes.count)
            start = place + pattern.bytes.count
        }
        return places
    }
}

// MARK: - Putting together

extension JinjaText {
    /// Without the characters at either end for which `isStripped` holds.
    func stripped(
        leading: Bool = true, trailing: Bool = true, where isStripped: (Unicode.Scalar) -> Bool
    ) -> JinjaText {
        var range = bytes.indices
        while leading, !range.isEmpty {
            let next = offset(1, from: range.lowerBound)
            guard isStripped(scalar(at: range.lowerBound..<next)) else { break }
            range = next..<range.upperBound
        }
        while trailing, !range.isEmpty {
            var last = range.upperBound - 1
            while bytes[last] & 0xC0 == 0x80 { last -= 1 }
            guard isStripped(scalar(at: last..<range.upperBound)) else { break }
            range = range.lowerBound..<last
        }
        return self[range]
    }

    /// With every place of a range list replaced by another text. The ranges ascend.
    func replacing(_ places: [Range<Int>], by replacement: JinjaText) -> JinjaText {
        var result = JinjaText()
        var position = 0
        for place in places {
            result.append(self, position..<place.lowerBound)
            result.append(replacement)
            position = place.upperBound
        }
        result.append(self, position..<bytes.count)
        result.isMarkup = isMarkup
        return result
    }

    /// With the characters that HTML gives a meaning written as entities.
    var escapedForHTML: JinjaText {
        var result = JinjaText()
        var start = 0
        for (index, byte) in bytes.enumerated() {
            let entity: String
            switch byte {
            case UInt8(ascii: "&"): entity = "&amp;"
            case UInt8(ascii: "<"): entity = "&lt;"
            case UInt8(ascii: ">"): entity = "&gt;"
            case UInt8(ascii: "'"): entity = "&#39;"
            case UInt8(ascii: "\""): entity = "&#34;"
            default: continue
            }
            result.append(self, start..<index)
            result.append(entity)
            start = index + 1
        }
        result.append(self, start..<bytes.count)
        result.isMarkup = true
        return result
    }
}
