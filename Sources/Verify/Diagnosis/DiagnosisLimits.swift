//  The constants of the search for a cause: when a fault explains an error, when it is worth a
//  closer look, how much is tried. None of them decides a verdict (Verdict.swift does).
//
//  Squares are of (remainder / sigma), shares are of the squared error in those units. The values
//  were settled on the runs of MutationTests over the standard suite, float32 and bfloat16
//  (docs/verify.md, "How well the judge judges"): tighter ones leave planted faults without a name,
//  looser ones name faults that are not there.

import DualityCore
import DualityNumerics
import DualityReference

enum DiagnosisLimits {
    // MARK: When what is left is rounding

    /// Mean of the squares that is still rounding: the root of it is the limit of a verdict's mean.
    static let meanSquare = Limits.rms * Limits.rms
    /// A single square that is still rounding, where the mean is: at the limit of a FAIL.
    static let largestSquare = Limits.certainSigma * Limits.certainSigma
    /// A single square of a remainder that looks like that of a right kernel in every respect.
    static let usualSquare = Limits.sigma * Limits.sigma
    /// Mean of the squares of such a remainder: what sigma expects, no more.
    static let usualMeanSquare = 1.0
    /// Mean of the squares beside outliers that a fault brings back among the others.
    static let meanSquareBesideOutliers = 2.0

    // MARK: How much a fault must account for

    /// Share that a fault explains whose remainder is that of a right kernel.
    static let leastShareBesideUsual = 0.25
    /// Share that a fault explains whose remainder is still rounding; and share that makes a second
    /// run, on the magnitudes of its operands, worth its time.
    static let leastShare = 0.5
    /// Share at which a fault of precision is recognised by likeness: two kernels break a tie
    /// differently and differ from there on, so that an exact match is not to be had.
    static let likenessShare = 0.7
    /// Share that a fault of some heads or channels must explain.
    static let partialShare = 0.9
    /// How much nearer than the exact answer the faulty one must be in a head or channel that is
    /// said to have the fault, in mean squares.
    static let partialAdvantage = 0.5
    /// Share of some elements that makes a look at all of them worth its time.
    static let promisingShare = 0.3
    /// Mean of (faulty - exact)² / sigma² from which a fault changes anything here.
    static let change = 1e-6

    /// The share of the squared error that may be left when a fault is the explanation, because its
    /// intermediate results are larger than the right ones: (1e5 u)² in float32, scaled with the
    /// square of the format's u, and no more than `largestShareLeft`.
    static let shareLeftInFloat = 1e-10
    static let largestShareLeft = 0.003

    // MARK: Guards against single huge or tiny numbers

    /// Ceiling of a square, so that one infinity does not drown everything else: 1e8 sigma.
    static let ceiling = 1e16
    /// Ceiling of sigma over the sum of magnitudes of an element.
    static let largestUnit = 0.1
    /// Ceiling of how much larger (squared) than the right ones a faulty kernel's numbers may be.
    static let largestGrowth = 1e12
    /// A number that a fault puts in place of a copied one is computed: it has this many units of
    /// rounding of float32.
    static let unitsOfComputed = 4.0

    // MARK: Which finding comes first

    /// Two findings are tied whose mean squares differ by this share of the better one …
    static let tieShare = 0.02
    /// … and by this many squares in all: the spread of a mean of n squares is of the order of 1/n.
    static let tieSquares = 20.0
    /// Pairs of faults begin with so many single ones, those that leave least.
    static let pairSeeds = 6
    /// So many pairs are reported.
    static let pairsReported = 3
    /// Chunk sizes that are tried where the proposed one explains nothing.
    static let chunkSizes = [16, 32, 64, 128, 256]
    /// Chunk size where a call proposes none: that of the public kernels.
    static let usualChunk = 256
    static let usualGradientChunk = 64
    /// So many states that are all exact in a narrow format were stored in it; fewer may be chance.
    static let narrowStates = 16

    // MARK: A tile

    /// Fewest numbers of a tile; one or two may be anything.
    static let tileCount = 4
    /// The largest square in a tile is beyond this (100 sigma): a stale number is far off.
    static let tileSquare = 1e4
    /// A tile is at least so much filled, 1 / of its box …
    static let tileFilling = 2
    /// … its box at most 1 / of the output …
    static let tileShare = 8
    /// … and, in sequences longer than `tileTokens`, at most 1 / `tileFilling` of the tokens.
    static let tileTokens = 8

    // MARK: Rows that were not written

    /// So much of such a row is wrong; the rest is right by chance.
    static let foreignShare = 0.9
    /// The cosine between a row and the right one below which they have nothing to do with each
    /// other: a wrong scale or a lost term leaves more. Chosen, not measured.
    static let foreignCosine = 0.5

    // MARK: What the error looks like, in words

    /// More indices than these are counted, not listed.
    static let listedIndices = 24
    /// A scale that differs from 1 by more is told.
    static let scale = 0.05
    /// Errors are said to lean to a side when their sum is this share of the sum of magnitudes.
    static let leaning = 0.5
    /// Rank correlation with the decays of the heads from which it is told.
    static let correlation = 0.7

    /// The smallest unit roundoff with which a fault's own numbers are stored.
    static let leastStorage = NumberFormat.f32.unitRoundoff
}

/// How much is computed, so that a large call takes seconds and not minutes. Units: updates of one
/// number of a state, B L H P N in all.
enum WorkLimits {
    /// Beyond this the bound is evaluated only where error / sigma leaves the verdict open, and one
    /// arithmetic of each sort is tried. A layer of 2048 tokens has 10^9.
    static let largeCall = 200_000_000
    /// A diagnosis looks at as many heads and channels as have this many updates.
    static let diagnosis = 12_000_000
    /// So many heads at most where channels are left out.
    static let diagnosisHeads = 6
    /// So many channels of the worst head are looked at first.
    static let screenChannels = 4
    /// Up to this many columns (a channel of a head) there is no first look.
    static let unscreenedColumns = 2 * screenChannels

    /// An error beyond so many limits of sigma is wrong in any order of sums: other orders are not
    /// tried, but for one of each sort, which says where the error begins.
    static let hopelessLimits = 100.0
    /// Exception: below this share of the largest operand an error may be an underflow of decays
    /// that are multiplied before they meet a state. Some orders do that and some do not.
    static let underflowShare = 0x1p-100
    /// Another order of sums is tried where an error is above this share of the limit of sigma: all
    /// of them in a small call, and in a large one only when the limit is near.
    static let otherOrdersShare = 0.5
    static let otherOrdersShareOfLargeCall = 0.9
    /// A large call gets its bound where an error is above this share of the limit of sigma.
    static let boundShareOfLargeCall = 0.75
    /// Tokens around a token over which sigma is widened, where chunks may begin anywhere: the
    /// longest chunk of the public kernels.
    static let windowOfChunks = 256

    /// Faults of gradients inside chunks are tried up to so many operations on pairs of tokens, B L
    /// Q H (P + N): half a second per fault.
    static let gradientPairs = 500_000_000

    /// Cases of a suite on which two faults at once are sought: if a kernel has two, most cases
    /// show both.
    static let casesForPairs = 4
    /// The smallest cases show little, and the largest take long: the first 1 / of them is skipped.
    static let casesSkippedForPairs = 3

    /// The most numbers of an operand, output or state of the family's kinds, axes of length 0
    /// counted as 1: 16 GiB in float64. A file that holds no numbers may declare any shape.
    static let numbersOfTensor = 1 << 31
    /// The most numbers of an operand of a suite for one's own shape: 2 GiB in float64.
    static let numbersOfOperand = 1 << 28
}

/// The constants of the judges of the gated delta rule and of attention.
enum FamilyLimits {
    // MARK: What is promised of a number

    /// The standard deviation of a number whose squares are beyond float64, or which the imitated
    /// kernel overflows at, as a share of the number: so wide that whatever a kernel near the end
    /// of its format rounds is within, so narrow that a zero is beyond every limit.
    static let shareBeyondSquares = 1 / (2 * Limits.certainSigma)
    /// A number overflows where it is so many sigma from the largest of its format.
    static let sigmasBelowOverflow = Limits.certainSigma
    /// Standard deviations by which a number is larger than the exact one when it is stored.
    static let sigmasOfStored = 4.0
    /// The smallest sigma: that of a number which is exact. Above it squares do not vanish.
    static let leastSigma = 1e-150

    // MARK: The gated delta rule

    /// Tokens in a chunk where a call proposes none: those of the public kernels.
    static let usualChunk = 64
    /// Tokens in a chunk that are tried beside the proposed ones: the chunks of public kernels and
    /// the blocks their inverse is put together of.
    static let chunkSizes = [64, 32, 16, 128]
    /// The most tokens in a chunk, whose triangular inverse takes the third power of them.
    static let largestChunk = 4096
    /// Runs of random roundings that make a variance.
    static let samples = 12
    /// The same in a call of more updates of the state than `manyUpdates`, all heads together, so
    /// that a layer does not take a dozen times its own work.
    static let fewSamples = 4
    static let manyUpdates = 100_000_000
    /// Likewise in a call of more products in the solver of a Gram matrix.
    static let manyProducts = 1e9
    /// Tokens whose gates' gradients are one row, of which a mean is taken. Chosen.
    static let tokensOfGates = 4

    /// What a gradient may lose where a number on the way is below the smallest of a format, times
    /// what it is multiplied with: the largest numbers of operands, to a ceiling beyond which it
    /// would count beside gradients of operands that are small. Chosen.
    static func lostBelow(_ format: NumberFormat, _ operands: [Tensor<Double>?]) -> Double {
        let product = operands.compactMap { $0 }.reduce(1.0) { product, tensor in
            product * (1 + tensor.elements.reduce(0) { max($0, $1.magnitude) })
        }
        return format.smallestNormal * min(product, ceilingOfLost)
    }
    static let ceilingOfLost = 1e12

    /// Of the imitations of head h: the first rounds to the nearest, the others at random.
    static func seeds(_ h: Int, isLarge: Bool) -> [UInt64?] {
        [nil] + (1...(isLarge ? fewSamples : samples)).map { UInt64($0) &* 7919 &+ UInt64(h) }
    }
    /// How much larger the variance is taken than that of the runs, which are few. Chosen.
    static let factorOfSamples = 1.2
    /// The share of the squared error of the one imitation to the nearest in the mean of its row;
    /// each number has all of its own beside it. Chosen.
    static let shareOfNearest = 0.5

    // MARK: Its diagnosis

    /// Mean of (error / sigma)² from which the errors fit a narrow arithmetic: further below it
    /// they are not its roundings. Chosen.
    static let leastMeanOfNarrower = 0.003
    /// Share of the mean of (error / sigma)² that a narrow arithmetic may leave.
    static let shareLeftByNarrower = 0.25
    /// The share of the error that may be left of numbers that have grown beyond all rounding.
    static let shareLeftOfGrown = 0.01
    /// Ceiling of a square of a remainder relative to its row, below which sums do not overflow.
    static let ceilingOfGrown = 1e200
}
