//  One head of a call of the family: the exact answer, its bound, and its sigma, by that of the
//  possible arithmetics in which the kernel's error is smallest. Of a backward pass it is the heads
//  that share keys, whose gradients are sums over them.

import DualityCore
import DualityNumerics
import DualityReference

/// A call as its judge reads it.
protocol FamilyOperands: Sendable {
    /// Those that are judged by themselves: heads, or heads of keys.
    var heads: Int { get }
    /// The tokens of each sequence.
    var sequences: [Range<Int>] { get }
    /// Tokens of all rows.
    var tokens: Int { get }
    /// `[T, H]`; nil where nothing decays.
    var gates: Tensor<Double>? { get }
}

/// Arithmetics, wide ones first: a kernel must be within what one of them allows, head by head.
struct FamilyChoices<Arithmetic: FormatTable>: Sendable {
    /// One of each sort, and then the same in chunks of other sizes.
    let all: [Arithmetic]
    /// How many there are of the former.
    let sorts: Int

    init(declared: Arithmetic) { self.init([declared], sorts: 1) }

    init(_ all: [Arithmetic], sorts: Int) { (self.all, self.sorts) = (all, sorts) }

    /// The narrowest of the proposed chunks.
    var narrowest: Arithmetic { all[sorts - 1] }
}

/// What is expected of a head.
protocol FamilyHead: Sendable {
    associatedtype Operands: FamilyOperands
    associatedtype Arithmetic: FormatTable

    /// The outputs in the order of the judge's.
    var outputs: [FamilyNumbers] { get }
    /// That of the bound and of sigma.
    var arithmetic: Arithmetic { get }

    /// The exact answer of head h.
    ///
    /// - Parameter isWide: whether it is evaluated in double-double.
    init(_ operands: Operands, _ h: Int, isWide: Bool)
    /// Adds bound and sigma of an arithmetic.
    mutating func add(_ operands: Operands, _ h: Int, _ arithmetic: Arithmetic)
}

extension FamilyHead {
    /// The numbers that were found, by output, with their formats.
    typealias Found = (tensors: [String: Tensor<Double>], formats: [String: NumberFormat])

    static func best(_ operands: Operands, _ h: Int, _ choices: FamilyChoices<Arithmetic>, _ found: Found) -> Self {
        let exact = Self(operands, h, isWide: choices.all.contains { $0.accumulate == .f64 })
        var best: (head: Self, fit: ErrorFit)?
        for (i, arithmetic) in choices.all.enumerated() {
            if i == choices.sorts, best?.fit.isHopeless ?? false { break }
            var candidate = exact
            candidate.add(operands, h, arithmetic)
            let fit = candidate.fit(heads: operands.heads, h, found)
            if best.map({ fit < $0.fit }) ?? true { best = (candidate, fit) }
            // The narrow ones come last: what a wide one allows needs no other.
            if fit.isGood { break }
        }
        return best?.head ?? exact
    }

    /// How large the errors of a head are by an arithmetic.
    static func fit(_ operands: Operands, _ h: Int, _ arithmetic: Arithmetic, _ found: Found) -> ErrorFit {
        var candidate = Self(operands, h, isWide: false)
        candidate.add(operands, h, arithmetic)
        return candidate.fit(heads: operands.heads, h, found)
    }

    private func fit(heads: Int, _ h: Int, _ found: Found) -> ErrorFit {
        var fit = ErrorFit()
        for numbers in outputs {
            guard let tensor = found.tensors[numbers.name], let format = found.formats[numbers.name] else { continue }
            for i in numbers.exact.indices {
                let place = numbers.place(i, in: tensor.shape, heads: heads, h)
                fit.add(tensor.elements[place], numbers.exact[i], error(numbers, i, as: format))
            }
        }
        return fit
    }

    /// What is allowed of a number of an output.
    func error(_ numbers: FamilyNumbers, _ i: Int, as format: NumberFormat) -> LayerError {
        if !numbers.judgesUnbounded, !numbers.bound[i].isFinite { return .nothingPromised }
        return .promised(
            numbers.exact[i], bound: numbers.bound[i], variance: numbers.variance[i], accumulate: arithmetic.accumulate,
            stored: numbers.name == "o" ? [arithmetic.output, format] : [format])
    }
}
