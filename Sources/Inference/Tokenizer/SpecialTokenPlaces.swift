//  Where in a text special tokens are sought.

/// Where special tokens written in a text become those tokens.
enum SpecialTokenPlaces {
    case everywhere
    case nowhere
    /// Where they touch none of these ranges of offsets, which ascend.
    case outside([Range<Int>])

    /// Whether a token may stand at `match`.
    func allow(_ match: Range<Int>) -> Bool {
        switch self {
        case .everywhere: return true
        case .nowhere: return false
        case .outside(let ranges):
            // The first range that ends behind the beginning of the match.
            var (low, high) = (0, ranges.count)
            while low < high {
                let middle = (low + high) / 2
                if ranges[middle].upperBound <= match.lowerBound { low = middle + 1 } else { high = middle }
            }
            return low == ranges.count || ranges[low].lowerBound >= match.upperBound
        }
    }

    /// The same places of a part of the text, with offsets that begin there.
    func within(_ part: Range<Int>) -> SpecialTokenPlaces {
        guard case .outside(let ranges) = self else { return self }
        return .outside(
            ranges.compactMap { range in
                let range = range.clamped(to: part)
                return range.isEmpty ? nil : range.lowerBound - part.lowerBound..<range.upperBound - part.lowerBound
            })
    }

    /// The same places when every offset becomes another one, in ascending order.
    func mapped(_ offset: (Int) -> Int) -> SpecialTokenPlaces {
        guard case .outside(let ranges) = self else { return self }
        return .outside(
            ranges.map { range in
                let start = offset(range.lowerBound)
                return start..<max(start, offset(range.upperBound))
            })
    }
}
