//  Cuts text into the pieces that byte-level BPE never merges across: the Qwen2 pre-tokenizer.
//
//      (?i:'s|'t|'re|'ve|'m|'ll|'d)          a contraction
//      |[^\r\n\p{L}\p{N}]?\p{L}+             a word, with one leading sign or space
//      |\p{N}                                one digit
//      | ?[^\s\p{L}\p{N}]+[\r\n]*            signs, with a leading space and trailing line ends
//      |\s*[\r\n]+                           white space up to its last line end
//      |\s+(?!\S)                            white space but for the one before a word
//      |\s+
//
//  A scanner by hand instead of a regular expression: the first alternative that matches at a place
//  wins, each is greedy, and only the three places where the expression backtracks need a thought
//  (they are marked). Every scalar is a letter, a number, a space or a sign, so that the pieces
//  cover the text.
//
//  Source: Qwen2 tokenizer.json. Ignoring case, `s` is also U+017F (long s); no other scalar folds
//  to these letters.

/// The pieces of a text, in order, as ranges of its UTF-8 bytes.
struct QwenPretokenizer: IteratorProtocol, Sequence {
    /// The pattern this scanner implements, as tokenizer.json writes it.
    static let pattern =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

    private let text: UnsafeBufferPointer<UInt8>
    private let classes: UnsafeBufferPointer<UInt8>
    private var position = 0

    /// - Parameters:
    ///   - text: valid UTF-8, normalised.
    ///   - classes: `UnicodeClasses.table`.
    init(_ text: UnsafeBufferPointer<UInt8>, classes: UnsafeBufferPointer<UInt8>) {
        self.text = text
        self.classes = classes
    }

    mutating func next() -> Range<Int>? {
        let start = position
        guard start < text.count else { return nil }
        position = end(ofPieceAt: start)
        return start..<position
    }

    private func end(ofPieceAt start: Int) -> Int {
        if text[start] == UInt8(ascii: "'"), let end = end(ofContractionAt: start) { return end }

        let (length, kind) = kind(at: start)
        let second = start + length
        if kind.contains(.letter) { return end(ofLettersAt: second) }
        if kind.contains(.number) { return second }
        // The optional sign or space before a word: given up again when no letter follows.
        if !isLineEnd(at: start), second < text.count, self.kind(at: second).kind.contains(.letter) {
            return end(ofLettersAt: second)
        }

        // The optional space before signs: given up again when no sign follows.
        let sign = text[start] == UInt8(ascii: " ") ? second : start
        var end = end(ofSignsAt: sign)
        if end > sign {
            while end < text.count, isLineEnd(at: end) { end += 1 }
            return end
        }
        return self.end(ofSpaceAt: start)
    }

    private func end(ofContractionAt start: Int) -> Int? {
        let remaining = text.count - start
        guard remaining >= 2 else { return nil }
        func letter(_ offset: Int) -> UInt8 { text[start + offset] | 0x20 }
        switch letter(1) {
        case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"):
            return start + 2
        case UInt8(ascii: "r"), UInt8(ascii: "v"):
            return remaining >= 3 && letter(2) == UInt8(ascii: "e") ? start + 3 : nil
        case UInt8(ascii: "l"):
            return remaining >= 3 && letter(2) == UInt8(ascii: "l") ? start + 3 : nil
        default:
            // U+017F is C5 BF.
            return remaining >= 3 && text[start + 1] == 0xc5 && text[start + 2] == 0xbf ? start + 3 : nil
        }
    }

    private func end(ofLettersAt start: Int) -> Int {
        var end = start
        while end < text.count {
            let (length, kind) = kind(at: end)
            if !kind.contains(.letter) { break }
            end += length
        }
        return end
    }

    private func end(ofSignsAt start: Int) -> Int {
        var end = start
        while end < text.count {
            let (length, kind) = kind(at: end)
            if !kind.isDisjoint(with: [.letter, .number, .space]) { break }
            end += length
        }
        return end
    }

    /// The last three alternatives, which all look at the whole run of white space and differ in
    /// how much they give back.
    private func end(ofSpaceAt start: Int) -> Int {
        var end = start
        var last = start
        var afterLineEnd: Int?
        while end < text.count {
            let (length, kind) = kind(at: end)
            if !kind.contains(.space) { break }
            if isLineEnd(at: end) { afterLineEnd = end + 1 }
            last = end
            end += length
        }
        if let afterLineEnd { return afterLineEnd }
        // A word follows: the last space belongs to it, unless that would leave nothing.
        return end < text.count && last > start ? last : end
    }

    @inline(__always)
    private func isLineEnd(at index: Int) -> Bool {
        text[index] == UInt8(ascii: "\n") || text[index] == UInt8(ascii: "\r")
    }

    @inline(__always)
    private func kind(at index: Int) -> (length: Int, kind: ScalarClass) {
        let (length, value) = text.scalar(at: index)
        return (length, ScalarClass(rawValue: value < classes.count ? classes[value] : 0))
    }
}
