//  How much filler makes a context of a length.
//
//  Units of filler are tokenized once each; their counts, summed, say how many fit, and the whole
//  text is then tokenized to make sure.

import DualityCore
import DualityInference

/// A context that is being made: filler with insertions at depths between 0 and 1.
struct ContextFitter {
    let tokenizer: Tokenizer
    /// Before the filler.
    var before = ""
    /// After it: the question, and what begins the answer.
    var after = ""
    /// Facts with their depths, each a unit of its own; equal depths stay in order.
    var insertions: [(depth: Double, text: String)] = []
    var separator = " "

    /// The text with n units of filler.
    func text(_ n: Int, _ unit: (Int) -> String) -> String {
        let places = insertions.enumerated()
            .map { (place: Int($0.element.depth * Double(n + 1)), order: $0.offset) }
            .sorted { ($0.place, $0.order) < ($1.place, $1.order) }
        var units: [String] = []
        units.reserveCapacity(n + insertions.count)
        var next = 0
        for i in 0...n {
            while next < places.count, min(places[next].place, n) == i {
                units.append(insertions[places[next].order].text)
                next += 1
            }
            if i < n { units.append(unit(i)) }
        }
        return before + units.joined(separator: separator)
    }

    /// The longest text of at most `limit` tokens together with `after`.
    ///
    /// - Parameters:
    ///   - name: the task, for messages.
    ///   - most: how many units there are; nil where they never end.
    /// - Throws: `InputError` (`.value`) where not even the facts alone fit.
    func fitted(_ limit: Int, name: String, most: Int? = nil, unit: (Int) -> String) throws(InputError) -> String {
        func count(_ text: String) -> Int { tokenizer.encode(text + after).count }
        let bare = count(text(0, unit))
        guard bare <= limit else {
            throw InputError(
                .value, in: "--length of \(name)", expected: "at least \(bare) tokens for the facts and the question",
                found: "\(limit) beside the answer", remedy: "Ask for a longer context.")
        }
        var known: [String: Int] = [:]
        var (n, tokens) = (0, bare)
        while n < most ?? .max {
            let next = unit(n)
            let width: Int
            if let before = known[next] {
                width = before
            } else {
                width = tokenizer.encode(separator + next).count
                known[next] = width
            }
            if tokens + width > limit { break }
            (n, tokens) = (n + 1, tokens + width)
        }
        // Joints may cost or save a token each: the whole text decides, a few times at most.
        let width = n > 0 ? max(Double(tokens - bare) / Double(n), 1) : 1
        var best = text(0, unit)
        var isFitted = false
        for _ in 0..<12 {
            let whole = text(n, unit)
            let total = count(whole)
            if total <= limit {
                (best, isFitted) = (whole, true)
                let more = min(Int(Double(limit - total) / width), (most ?? .max) - n)
                if more <= 0 { break }
                n += more
            } else {
                if isFitted { break }
                n = max(n - max(1, Int((Double(total - limit) / width).rounded(.up))), 0)
            }
        }
        return best
    }
}
