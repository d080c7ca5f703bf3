import DualityCore
import DualityInference
import TestSupport
import Testing

@Suite struct StopStringsTests {
    /// Feeds pieces one by one; returns the text that came out and the string that ended it.
    private func run(_ pieces: [String], _ stops: [String]) -> (text: String, matched: String?) {
        var filter = StopStrings(stops)
        var text = ""
        for piece in pieces { text += filter.push(piece) }
        if filter.matched == nil { text += filter.finish() }
        return (text, filter.matched)
    }

    /// The definition: the stop string that is complete first, the longest of those that are.
    private func slow(_ text: String, _ stops: [String]) -> (text: String, matched: String?) {
        let bytes = Array(text.utf8)
        for end in 0...bytes.count {
            let found = stops.filter { !$0.isEmpty && bytes[..<end].reversed().starts(with: $0.utf8.reversed()) }
            if let longest = found.max(by: { $0.utf8.count < $1.utf8.count }) {
                return (String(decoding: bytes[..<(end - longest.utf8.count)], as: UTF8.self), longest)
            }
        }
        return (text, nil)
    }

    @Test func theResultIsTheSameHoweverTheTextIsCut() {
        var random = RandomSource(seed: 8)
        // Few letters, so that beginnings repeat inside the strings; bytes in common, so that
        // characters can be cut.
        let alphabets = [["a", "b"], ["a", "b", "é", "e\u{301}", "\n", "😀"]]
        for round in 0..<4000 {
            let letters = alphabets[round % 2]
            func word(_ range: ClosedRange<Int>) -> String {
                (0..<random.integer(in: range)).map { _ in letters[random.integer(in: 0...letters.count - 1)] }.joined()
            }
            let text = word(0...40)
            let stops = (0..<random.integer(in: 0...3)).map { _ in word(1...9) }
            let scalars = text.unicodeScalars.map { String($0) }
            let expected = slow(text, stops)
            for pieces in [[text], scalars] {
                let found = run(pieces, stops)
                #expect(isExactly(found.text, expected.text) && found.matched == expected.matched, "\(text), \(stops)")
            }
        }
    }

    /// Every string of up to seven letters a and b, behind every beginning of itself.
    @Test func aStringIsFoundBehindItsOwnBeginnings() {
        for length in 1...7 {
            for bits in 0..<(1 << length) {
                let stop = (0..<length).map { bits >> $0 & 1 == 0 ? "a" : "b" }.joined()
                for count in 0..<length {
                    let text = stop.prefix(count) + stop
                    let found = run([String(text)], [stop])
                    #expect(found == slow(String(text), [stop]), "\(stop) in \(text)")
                }
            }
        }
    }

    @Test func textIsHeldBackOnlyWhileItMayBeAStopString() {
        var filter = StopStrings(["</end>"])
        #expect(filter.push("Hi</") == "Hi")
        #expect(filter.push("en") == "")
        #expect(filter.push("<") == "</en")
        #expect(filter.push("/end>more") == "")
        #expect(filter.matched == "</end>")
        #expect(filter.push("more") == "" && filter.finish() == "")
    }

    @Test func aStreamThatEndsGivesBackWhatWasHeld() {
        var filter = StopStrings(["stop"])
        #expect(filter.push("non-sto") == "non-")
        #expect(filter.finish() == "sto")
        #expect(filter.matched == nil)
    }

    @Test func anEmptyStopStringIsNone() {
        #expect(run(["a", "b"], [""]).text == "ab")
    }
}
