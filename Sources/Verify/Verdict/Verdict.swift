//  When a kernel passes: every threshold of a verdict, the rule, and how verdicts add up.
//
//  A number is held against what a right kernel of the declared precision may do:
//
//      error / bound    the worst case of every rounding; a right kernel never exceeds 1
//      error / sigma    the standard deviation of those roundings; a right kernel peaks at a few
//
//  | an output with                                                       | is        |
//  |----------------------------------------------------------------------|-----------|
//  | no number, or none that its declared formats promise anything about  | UNCHECKED |
//  | a NaN or an infinity where the exact answer is none                  | FAIL      |
//  | a number beyond its bound, or beyond 32 sigma                        | FAIL      |
//  | a number beyond 8 sigma, or a root mean square beyond 3 sigma        | SUSPECT   |
//  | none of these                                                        | PASS      |
//
//  A single number has no root mean square.
//
//  A case is as bad as its worst output, and at least SUSPECT where another run of it left other
//  bits; a report is as bad as its worst case. What cannot be used is
//  a problem, and a problem is a FAIL. Where nothing was judged the verdict is UNCHECKED, which is
//  no PASS: no outputs, no cases, all absent, a suite held against itself.

import DualityCore

/// A verdict on an output, a case or a whole run. In this order the largest decides.
public enum Verdict: String, Sendable, Comparable, CaseIterable {
    /// Nothing was judged: says neither right nor wrong, and anything that was judged outweighs it.
    case unchecked = "UNCHECKED"
    /// Every number is where a right kernel may have it.
    case pass = "PASS"
    /// Within the bound, and further off than right kernels are.
    case suspect = "SUSPECT"
    /// No right kernel of the declared precision does this.
    case fail = "FAIL"

    public static func < (a: Verdict, b: Verdict) -> Bool { a.rank < b.rank }

    private var rank: Int {
        switch self {
        case .unchecked: 0
        case .pass: 1
        case .suspect: 2
        case .fail: 3
        }
    }

    /// What parts make of a whole: the worst of them, FAIL where there is a problem, UNCHECKED
    /// where there are no parts.
    ///
    /// - Parameters:
    ///   - parts: the verdicts of outputs, or of cases.
    ///   - problems: what could not be used.
    static func adding(_ parts: [Verdict], problems: [String]) -> Verdict {
        max(parts.max() ?? .unchecked, problems.isEmpty ? .unchecked : .fail)
    }

    /// The exit status of a command that ends with this verdict: 0 PASS, 1 SUSPECT and FAIL, 2
    /// UNCHECKED, since what was not judged is a mistake in the call.
    public var exitStatus: Int32 {
        switch self {
        case .pass: 0
        case .suspect, .fail: 1
        case .unchecked: 2
        }
    }
}

/// The limits of a verdict, in units of what a right kernel does. No other place decides.
public enum Limits {
    /// The largest |error| / bound of anything but a FAIL. The bound is a certificate: it counts
    /// every rounding at its worst, so that 1 leaves no room for luck.
    public static let bound = 1.0

    /// The largest |error| / sigma of a PASS. Of 10,000 right kernels of nine kinds
    /// (docs/verify.md, "How well the judge judges") the worst number lay at 4 to 6 sigma; 10^9
    /// normal errors reach 6.1. Two more sigma are left for what sigma idealises: roundings that
    /// repeat along a state.
    public static let sigma = 8.0

    /// The largest |error| / sigma of a SUSPECT: four times the limit of a PASS. A kernel with an
    /// order of sums that nobody thought of may reach 8 to 15; the mildest planted fault that moves
    /// anything but a few numbers reaches 40.
    public static let certainSigma = 32.0

    /// The largest root of the mean of (error / sigma)² of a PASS. Right kernels lie at 0.5 to 1.2,
    /// those whose sums drift to one side (all terms of one sign) at up to 2.
    public static let rms = 3.0

    /// The fewest numbers that have a root mean square: a single one lies beyond 3 sigma once in
    /// 370 times, and one right kernel in 10,000 did (a state of one number, 3.7 sigma). It is held
    /// to the limit of single numbers.
    public static let rmsCount = 2
}

/// What a verdict on one output rests on.
struct VerdictFigures {
    /// Numbers of the output, and those of them that something is promised about.
    var count = 0
    var judged = 0
    /// NaN or infinite where the exact answer is neither and the formats do not overflow.
    var nonFinite = 0
    /// Finite where even float64 overflows; a kernel in float64 may go another way.
    var finite = 0
    var isWide = false
    /// Numbers beyond their bound.
    var overBound = 0
    /// The largest error / bound; nil where no bound was evaluated.
    var largestOverBound: Double?
    var largestOverSigma = 0.0
    /// The root of the mean of (error / sigma)².
    var rmsOverSigma = 0.0
}

/// A verdict on one output and the reason for it, in a few words.
struct Judgement {
    let verdict: Verdict
    let reason: String

    /// The rule.
    init(_ figures: VerdictFigures) {
        let place = figures.largestOverBound == nil ? "up to" : "within the bound, but"
        if figures.judged == 0 {
            (verdict, reason) = (
                .unchecked,
                figures.count == 0
                    ? "there is no number in it"
                    : "the declared formats may overflow on every number, so that nothing is promised about any"
            )
        } else if figures.nonFinite > 0 {
            (verdict, reason) = (.fail, "\(figures.nonFinite) of \(figures.count) numbers are NaN or infinite")
        } else if figures.finite > 0 && !figures.isWide {
            (verdict, reason) = (
                .fail, "\(figures.finite) of \(figures.count) numbers are finite where even float64 overflows"
            )
        } else if figures.overBound > 0 {
            let largest = figure(figures.largestOverBound ?? .nan)
            (verdict, reason) = (
                .fail, "\(figures.overBound) of \(figures.count) numbers are outside the bound, by up to \(largest)x"
            )
        } else if figures.largestOverSigma > Limits.certainSigma {
            (verdict, reason) = (.fail, "\(place) \(figure(figures.largestOverSigma)) sigma from the exact answer")
        } else if figures.largestOverSigma > Limits.sigma {
            (verdict, reason) = (.suspect, "\(place) \(figure(figures.largestOverSigma)) sigma from the exact answer")
        } else if figures.finite > 0 {
            (verdict, reason) = (
                .suspect, "\(figures.finite) of \(figures.count) numbers are finite where the reference overflows"
            )
        } else if figures.judged >= Limits.rmsCount && figures.rmsOverSigma > Limits.rms {
            (verdict, reason) = (.suspect, "errors are \(figure(figures.rmsOverSigma)) sigma on average")
        } else {
            (verdict, reason) = (.pass, "every number is within its bound and \(figure(Limits.sigma)) sigma")
        }
    }
}
