//  Tokens that are cut out of the text before anything else looks at it: `<|im_end|>`, `<think>`,
//  ...
//
//  Of the tokens that match at the earliest place the longest is taken, and the search goes on
//  behind it. Options of a token: it may swallow the white space before it (lstrip) and behind it
//  (rstrip), and it may refuse to be part of a word (single_word), in which case the search goes on
//  behind the refused match. Source: Hugging Face tokenizers 0.23, added_vocabulary.rs.

/// A token of the `added_tokens` list of tokenizer.json.
struct AddedToken: Equatable {
    var id: Int
    var content: String
    /// Marks structure rather than text; decoding can leave it out.
    var isSpecial = false
    /// Swallows the white space before it.
    var stripsLeft = false
    /// Swallows the white space behind it.
    var stripsRight = false
    /// Matches only where no word character touches it.
    var isSingleWord = false
    /// Is looked for in the normalised text instead of the text as given.
    var isNormalized = false
}

/// Finds added tokens in text.
struct AddedTokenMatcher {
    private struct Node {
        var children: [UInt8: Int] = [:]
        /// Index into `tokens`, -1 inside a token.
        var token = -1
    }

    private var nodes = [Node()]
    /// Whether a token starts with this byte.
    private var starts = [Bool](repeating: false, count: 256)
    private var tokens: [AddedToken] = []

    var isEmpty: Bool { tokens.isEmpty }

    /// Adds a token that is written `form` in the text it is looked for in; of two with one form
    /// the first is found.
    mutating func insert(_ token: AddedToken, form: some Collection<UInt8>) {
        guard let first = form.first else { return }
        starts[Int(first)] = true
        var node = 0
        for byte in form {
            if let child = nodes[node].children[byte] {
                node = child
            } else {
                nodes.append(Node())
                nodes[node].children[byte] = nodes.count - 1
                node = nodes.count - 1
            }
        }
        if nodes[node].token < 0 {
            nodes[node].token = tokens.count
            tokens.append(token)
        }
    }

    /// A stretch of the input: text between tokens, or a token.
    enum Segment {
        case text(Range<Int>)
        case token(Int)
    }

    /// Cuts the input into text and tokens, in order.
    ///
    /// - Parameter places: where special tokens are not text like any other.
    func split(_ input: UnsafeBufferPointer<UInt8>, _ places: SpecialTokenPlaces) -> [Segment] {
        var segments: [Segment] = []
        var done = 0
        var position = 0
        while let (match, found) = nextMatch(in: input, from: position) {
            position = match.upperBound
            if found.isSpecial && !places.allow(match) {
                // Another token may begin inside of what was none.
                if case .outside = places { position = match.lowerBound + 1 }
                continue
            }
            if found.isSingleWord && (endsInWord(input, match.lowerBound) || startsWithWord(input, match.upperBound)) {
                continue
            }
            var start = match.lowerBound
            var end = match.upperBound
            if found.stripsLeft { start = startOfSpace(input, before: start, notBefore: done) }
            if found.stripsRight { end = endOfSpace(input, from: end) }
            // A token that begins with white space can begin inside what the one before it
            // swallowed.
            if done < start { segments.append(.text(done..<start)) }
            segments.append(.token(found.id))
            done = max(done, end)
        }
        if done < input.count { segments.append(.text(done..<input.count)) }
        return segments
    }

    private func nextMatch(in input: UnsafeBufferPointer<UInt8>, from start: Int) -> (Range<Int>, AddedToken)? {
        if tokens.isEmpty { return nil }
        var position = start
        while position < input.count {
            if starts[Int(input[position])] {
                var node = 0
                var end = position
                var longest: (end: Int, token: Int)?
                while end < input.count, let child = nodes[node].children[input[end]] {
                    node = child
                    end += 1
                    if nodes[node].token >= 0 { longest = (end, nodes[node].token) }
                }
                if let longest { return (position..<longest.end, tokens[longest.token]) }
            }
            position += 1
        }
        return nil
    }

    private func scalar(_ input: UnsafeBufferPointer<UInt8>, before index: Int) -> (start: Int, Unicode.Scalar)? {
        guard index > 0 else { return nil }
        var start = index - 1
        while start > 0 && input[start] & 0xc0 == 0x80 { start -= 1 }
        return Unicode.Scalar(UInt32(input.scalar(at: start).value)).map { (start, $0) }
    }

    private func startOfSpace(_ input: UnsafeBufferPointer<UInt8>, before index: Int, notBefore limit: Int) -> Int {
        var start = index
        while start > limit, let (before, scalar) = scalar(input, before: start), scalar.properties.isWhitespace {
            start = before
        }
        return start
    }

    private func endOfSpace(_ input: UnsafeBufferPointer<UInt8>, from index: Int) -> Int {
        var end = index
        while end < input.count {
            let (length, value) = input.scalar(at: end)
            guard let scalar = Unicode.Scalar(UInt32(value)), scalar.properties.isWhitespace else { break }
            end += length
        }
        return end
    }

    private func endsInWord(_ input: UnsafeBufferPointer<UInt8>, _ index: Int) -> Bool {
        scalar(input, before: index).map { $0.1.isWord } ?? false
    }

    private func startsWithWord(_ input: UnsafeBufferPointer<UInt8>, _ index: Int) -> Bool {
        index < input.count && Unicode.Scalar(UInt32(input.scalar(at: index).value)).map(\.isWord) ?? false
    }
}

extension Unicode.Scalar {
    /// `\w`: alphabetic, marks, decimal digits, connector punctuation, joiners (UTS #18, annex C).
    fileprivate var isWord: Bool {
        if properties.isAlphabetic || properties.isJoinControl { return true }
        switch properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: return true
        default: return false
        }
    }
}
