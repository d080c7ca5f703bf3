//  Faults of backward passes: a mistake in one or several variants, each a change of how the parts
//  of a pass are taken.

import DualityCore
import DualityReference

/// A known mistake of a backward pass.
protocol GradientFault: FamilyFault {
    associatedtype Choice

    var name: String { get }
    /// The ways in which kernels have it; none of a fault of precision, whose numbers are its own.
    var variants: [@Sendable (inout Choice) -> Void] { get }
}

extension GradientFault {
    var rawValue: String { name }
    var isOfPrecision: Bool { variants.isEmpty }

    init?(rawValue: String) {
        guard let fault = Self.allCases.first(where: { $0.name == rawValue }) else { return nil }
        self = fault
    }
}

/// A number that is multiplied in once, not at all, or twice.
enum FactorUse: Sendable {
    case right, missing, twice

    /// What comes of multiplying by a number.
    func factor(_ number: Double) -> Double {
        switch self {
        case .right: number
        case .missing: 1
        case .twice: number * number
        }
    }
}

/// Of which heads that share keys the gradients are added up.
enum HeadsUse: Sendable {
    case sum, first, last, mean

    /// What the gradients of one of `count` heads are multiplied with.
    func share(of rank: Int, among count: Int) -> Double {
        switch self {
        case .sum: 1
        case .first: rank == 0 ? 1 : 0
        case .last: rank == count - 1 ? 1 : 0
        case .mean: 1 / Double(count)
        }
    }
}

/// A backward pass with a fault.
struct GradientAttempt<Fault: GradientFault>: FamilyAttempt {
    let fault: Fault
    let run: @Sendable () -> [String: Tensor<Double>]?

    func outputs() -> [String: Tensor<Double>]? { run() }
}
