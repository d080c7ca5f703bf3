//  How the decays inside a chunk spread, besides the errors that the steps themselves bring.
//
//      segments      each partial sum of seg is rounded: ν seg² each
//      differences   ν seg² for the difference, and ν ℓ² for each addition of the running sums. Summed in order, those errors
//                    belong to the tokens between; summed as a tree, to the two ends. Both are counted,
//                    because the order is not known.
//
//  Additions of one and the same z round alike, time after time: their errors add.

import DualityCore

/// The decays between the tokens of one chunk.
struct ChunkDecaySpreads {
    private let arithmetic: KernelArithmetic
    /// ν of operations.
    private let operation: Double
    /// ℓ from the beginning of what the sequence has of the chunk up to and with each token, `[tokens]`.
    let sums: [Double]
    /// ν ℓ² where decays are differences, else 0; `[tokens]`.
    let ends: [Double]
    /// Whether a token has the step of the next, `[tokens]`.
    private let repeats: [Bool]

    init(_ sequence: SpreadSequence, over chunk: Range<Int>, _ arithmetic: KernelArithmetic) {
        self.arithmetic = arithmetic
        let operation = arithmetic.operationVariance.relative
        self.operation = operation
        let lead = chunk.lowerBound == 0 ? sequence.lead : 0
        sums = sequence.logDecaySums(over: chunk)
        ends = sums.map { arithmetic.decaySums == .differences ? operation * ($0 + lead) * ($0 + lead) : 0 }
        repeats = chunk.map { $0 + 1 < sequence.length && sequence.step[$0] == sequence.step[$0 + 1] }
    }

    /// ln of the decay from token `i` to token `j` of the chunk.
    func segment(_ i: Int, _ j: Int) -> Double { sums[j] - sums[i] }

    /// For each token up to `j`, the relative variance of its decay to `j`.
    func variances(to j: Int) -> [Double] {
        var variances = [Double](repeating: 0, count: j + 1)
        var (sum, repeated) = (0.0, 0.0)  // of the additions; of those that are one and the same
        for i in stride(from: j - 1, through: 0, by: -1) {
            let segment = segment(i, j)
            switch arithmetic.decaySums {
            case .segments:
                if i < j - 1 {
                    let before = repeats[i + 1] ? repeated : 0
                    repeated = before + (operation * segment * segment).squareRoot()
                    sum += repeated * repeated - before * before
                }
                variances[i] = sum
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
            let additions = Double(j)
            let alike = repeats[..<j].allSatisfy { $0 }
            variance += operation * sums[j] * sums[j] * (alike ? additions * additions / 4 : additions / 3)
        case .differences:
            variance += operation * sums[j] * sums[j]
        }
        return variance
    }
}
