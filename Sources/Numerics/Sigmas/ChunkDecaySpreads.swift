//  How the decays inside a chunk spread, besides the errors that the steps themselves bring.
//
//      segments      each partial sum of seg is rounded: ν seg² each
//      differences   ν seg² for the difference, and ν ℓ² for each addition of the running sums. Summed in order, those errors
//                    belong to the tokens between; summed as a tree, to the two ends. Both are counted,
//                    because the order is not known.
//
//  Additions of one and the same z round alike, time after time: their errors add. With n_g
//  additions of each different z, that makes ν seg² (sum of n_g²) / 4 of them, where all different
//  ones make ν seg² n / 3.

import DualityCore
import DualityReference

/// The decays between the tokens of one chunk.
struct ChunkDecaySpreads {
    private let arithmetic: KernelArithmetic
    /// ν of operations.
    private let operation: Double
    /// ℓ from the beginning of what the sequence has of the chunk up to and with each token,
    /// `[tokens]`.
    let sums: [Double]
    /// ν ℓ² where decays are differences, else 0; `[tokens]`.
    let ends: [Double]
    /// Which of the chunk's different z a token has, `[tokens]`; nil where no two are the same.
    private let kinds: [Int]?

    init(_ sequence: SpreadSequence, over chunk: Range<Int>, _ arithmetic: KernelArithmetic) {
        self.arithmetic = arithmetic
        let operation = arithmetic.operationVariance.relative
        self.operation = operation
        let lead = chunk.lowerBound == 0 ? sequence.lead : 0
        sums = sequence.logDecaySums(over: chunk)
        ends = sums.map { arithmetic.decaySums == .differences ? operation * ($0 + lead) * ($0 + lead) : 0 }
        var numbers: [Double: Int] = [:]
        let kinds = chunk.map { t in
            let number = numbers[sequence.logDecay[t]] ?? numbers.count
            numbers[sequence.logDecay[t]] = number
            return number
        }
        self.kinds = numbers.count < chunk.count ? kinds : nil
    }

    /// ln of the decay from token `i` to token `j` of the chunk.
    func segment(_ i: Int, _ j: Int) -> Double { sums[j] - sums[i] }

    /// For each token up to `j`, the relative variance of its decay to `j`.
    func variances(to j: Int) -> [Double] {
        var variances = [Double](repeating: 0, count: j + 1)
        var sum = 0.0  // of the additions
        var alike = Repetitions(kinds)
        for i in stride(from: j - 1, through: 0, by: -1) {
            let segment = segment(i, j)
            switch arithmetic.decaySums {
            case .segments:
                if i < j - 1 {
                    sum += operation * segment * segment
                    alike.count(i + 1)
                }
                variances[i] = max(sum, operation * segment * segment * alike.squares / 4)
            case .differences:
                variances[i] = operation * segment * segment + ends[i]
            }
            variances[i] += arithmetic.relativeVarianceOfExp(segment)
        }
        return variances
    }

    /// The relative variance of the decay of the entering state up to and with token `j`.
    func variance(entering j: Int) -> Double {
        var variance = arithmetic.relativeVarianceOfExp(sums[j])
        switch arithmetic.decaySums {
        case .segments:
            var alike = Repetitions(kinds)
            if kinds != nil { for i in 0..<j { alike.count(i) } }
            variance += operation * sums[j] * sums[j] * max(Double(j) / 3, alike.squares / 4)
        case .differences:
            variance += operation * sums[j] * sums[j]
        }
        return variance
    }
}

/// How often each different z has been added.
private struct Repetitions {
    private let kinds: [Int]?
    private var counts: [Double] = []
    /// The sum of the squares of the counts; 0 where no z repeats.
    private(set) var squares = 0.0

    init(_ kinds: [Int]?) {
        self.kinds = kinds
        if let kinds { counts = [Double](repeating: 0, count: kinds.count) }
    }

    @inline(__always)
    mutating func count(_ token: Int) {
        guard let kinds else { return }
        squares += 2 * counts[kinds[token]] + 1
        counts[kinds[token]] += 1
    }
}
