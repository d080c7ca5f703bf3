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

/// A backward pass with a fault.
struct GradientAttempt<Fault: GradientFault>: FamilyAttempt {
    let fault: Fault
    let run: @Sendable () -> [String: Tensor<Double>]?

    func outputs() -> [String: Tensor<Double>]? { run() }
}
