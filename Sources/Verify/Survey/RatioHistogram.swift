//  A running picture of many ratios: their largest, and their median to within a few percent, in
//  constant memory.
//
//  Ratios fall into bins of a sixteenth of an octave from 2^-24 to 2^16; zeros and what is smaller
//  share the lowest.

import DualityCore

/// Counts of ratios by size.
package struct RatioHistogram: Sendable, Equatable {
    private static let lowest = -24.0
    private static let perOctave = 16.0
    private var bins = [Int](repeating: 0, count: 641)

    /// How many ratios have been taken.
    package private(set) var count = 0
    /// The largest of them; infinite once a NaN was among them.
    package private(set) var largest = 0.0

    package init() {}

    /// Takes a ratio. A NaN makes `largest` infinite and lies in the highest bin.
    package mutating func add(_ ratio: Double) {
        count += 1
        if !(ratio <= largest) { largest = ratio.isNaN ? .infinity : ratio }
        bins[Self.bin(ratio)] += 1
    }

    /// Takes the ratios of another histogram too.
    package mutating func add(_ other: RatioHistogram) {
        count += other.count
        largest = max(largest, other.largest)
        for i in bins.indices { bins[i] += other.bins[i] }
    }

    /// The ratio that a fraction of all ratios does not exceed, to within 2 %; 0 when there are
    /// none.
    package func quantile(_ fraction: Double) -> Double {
        let target = Int((Double(count) * fraction).rounded(.up))
        var seen = 0
        for (i, bin) in bins.enumerated() {
            seen += bin
            if seen >= target, seen > 0 { return i == 0 ? 0 : Self.center(i) }
        }
        return 0
    }

    /// The middle one.
    package var median: Double { quantile(0.5) }

    private static func bin(_ ratio: Double) -> Int {
        guard ratio < 0x1p16 else { return 640 }  // NaN too
        guard ratio > 0x1p-24 else { return 0 }
        return min(max(Int((Double.log(ratio) / ln2 - lowest) * perOctave) + 1, 1), 640)
    }

    private static func center(_ bin: Int) -> Double {
        .exp(((Double(bin) - 0.5) / perOctave + lowest) * ln2)
    }

    private static let ln2 = 0.6931471805599453
}

/// Only the bins that something lies in.
extension RatioHistogram: Portable {
    package func write(to bytes: inout PortableWriter) {
        let filled = bins.indices.filter { bins[$0] > 0 }
        bytes.add(each: count, largest, filled, filled.map { bins[$0] })
    }

    package init(from bytes: inout PortableReader) throws(InputError) {
        self.init()
        (count, largest) = (try bytes.next(), try bytes.next())
        let (filled, counts): ([Int], [Int]) = (try bytes.next(), try bytes.next())
        guard filled.count == counts.count, filled.allSatisfy(bins.indices.contains) else {
            throw bytes.malformed("a count for each of some bins", "\(counts.count) of \(filled.count)")
        }
        for (bin, count) in zip(filled, counts) { bins[bin] = count }
    }
}
