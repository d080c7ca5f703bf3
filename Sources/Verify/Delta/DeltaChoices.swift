//  Which arithmetics a kernel of the gated delta rule may have where it declares none: what tensors
//  do not show at its loosest among careful kernels, chunks as the call proposes them and as public
//  kernels have them.

import DualityCore
import DualityNumerics
import DualityReference

extension FamilyChoices<DeltaArithmetic> {
    /// - Parameters:
    ///   - sizes: of chunks, the proposed one first; none for kernels that go token by token.
    ///   - normalizes: whether the kernel normalises q and k.
    init(inputs: NumberFormat, output: NumberFormat, sizes: [Int], normalizes: Bool) {
        let isWide = inputs == .f64 || output == .f64
        var recurrent = DeltaArithmetic(isWide ? .f64 : .f32, form: .recurrent)
        recurrent.output = output
        if !isWide { recurrent.exponential = .fast }
        let isNarrow = !isWide && !inputs.holds(.f32)
        var all = [recurrent]
        if isNarrow && normalizes { all.append(Self.torch(recurrent, inputs)) }
        func chunked(_ size: Int) -> [DeltaArithmetic] {
            var plain = recurrent
            plain.form = .chunked(size: size)
            guard isNarrow else { return [plain] }
            var narrow = plain
            (narrow.normalized, narrow.products, narrow.merge, narrow.inverse) = (inputs, inputs, .tf32, inputs)
            (narrow.values, narrow.chunkStates) = (inputs, inputs)
            return [plain] + (normalizes ? [Self.torch(plain, inputs)] : []) + [narrow]
        }
        if let first = sizes.first { all += chunked(first) }
        let sorts = all.count
        self.init(all + sizes.dropFirst().flatMap(chunked), sorts: sorts)
    }

    /// Norms taken step by step in the format of the operands.
    private static func torch(_ arithmetic: DeltaArithmetic, _ inputs: NumberFormat) -> DeltaArithmetic {
        var arithmetic = arithmetic
        (arithmetic.normalized, arithmetic.norms) = (inputs, inputs)
        return arithmetic
    }
}
