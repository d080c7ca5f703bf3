//  Ends a stream of text in front of the first of several strings, wherever the pieces of the
//  stream are cut.
//
//  Text that may be the beginning of a stop string is held back until it is certain that it is not
//  one. The string that is complete first ends the stream; of two that are complete with the same
//  byte, the one that began first. Each string is followed with the failure function of Knuth,
//  Morris and Pratt, on bytes: two spellings of one character are different.

/// A filter for streamed text.
package struct StopStrings: Sendable {
    private struct Pattern: Sendable {
        let text: String
        let bytes: [UInt8]
        /// failures[n]: the length of the longest proper beginning of the first n bytes that also
        /// ends them.
        let failures: [Int]
        /// How many bytes of the string the stream ends with.
        var matched = 0

        init(_ text: String) {
            self.text = text
            bytes = Array(text.utf8)
            var failures = [0, 0]
            var length = 0
            for index in bytes.indices.dropFirst() {
                while length > 0 && bytes[index] != bytes[length] { length = failures[length] }
                if bytes[index] == bytes[length] { length += 1 }
                failures.append(length)
            }
            self.failures = failures
        }

        /// Takes the next byte of the stream; returns whether the string is complete.
        mutating func advance(_ byte: UInt8) -> Bool {
            while matched > 0 && bytes[matched] != byte { matched = failures[matched] }
            if bytes[matched] == byte { matched += 1 }
            return matched == bytes.count
        }
    }

    private var patterns: [Pattern]
    /// Text not given out yet: as much as the longest beginning of a stop string that it ends with.
    private var held: [UInt8] = []

    /// The stop string that ended the stream.
    package private(set) var matched: String?

    /// - Parameter strings: empty ones are left out, for they would end every text before it
    ///   begins.
    package init(_ strings: [String]) {
        patterns = strings.filter { !$0.isEmpty }.map(Pattern.init)
    }

    /// Takes the next piece of the stream and returns the text that is certain not to belong to a
    /// stop string.
    ///
    /// Once `matched` is set the stream is over and nothing more is returned.
    package mutating func push(_ text: String) -> String {
        if patterns.isEmpty { return text }
        if matched != nil { return "" }
        for byte in text.utf8 {
            held.append(byte)
            var longest: Pattern?
            for index in patterns.indices where patterns[index].advance(byte) {
                if patterns[index].bytes.count > longest?.bytes.count ?? 0 { longest = patterns[index] }
            }
            if let longest {
                matched = longest.text
                held.removeLast(longest.bytes.count)
                return release(keeping: 0)
            }
        }
        return release(keeping: patterns.reduce(0) { max($0, $1.matched) })
    }

    /// The text that was held back, when the stream ends without a stop string.
    package mutating func finish() -> String {
        release(keeping: 0)
    }

    /// Gives out all held text but the last `count` bytes, which begin a character because a stop
    /// string does.
    private mutating func release(keeping count: Int) -> String {
        let text = String(decoding: held.dropLast(count), as: UTF8.self)
        held.removeFirst(held.count - count)
        return text
    }
}
