//  Which arithmetics a kernel of Gated KalmaNet may have where it declares none: float32 inside,
//  token by token, in chunks as the call proposes them, or as public kernels have them.
//
//  Whatever is narrow inside is for the kernel to declare: a solution in bfloat16 may be off by a
//  large part of the answer, and nothing that is wrong would show beside it.

import DualityCore
import DualityNumerics
import DualityReference

extension FamilyChoices<KalmanArithmetic> {
    /// - Parameter sizes: of chunks, the proposed one first.
    init(inputs: NumberFormat, output: NumberFormat, sizes: [Int]) {
        let isWide = inputs == .f64 || output == .f64
        var recurrent = KalmanArithmetic(isWide ? .f64 : .f32, form: .recurrent)
        recurrent.output = output
        if !isWide { recurrent.exponential = .fast }
        let chunked = sizes.map { size in
            var chunked = recurrent
            chunked.form = .chunked(size: size)
            return chunked
        }
        self.init([recurrent] + chunked, sorts: min(2, 1 + chunked.count))
    }
}
