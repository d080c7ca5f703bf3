//  Which arithmetics a kernel of Gated KalmaNet may have where it declares none: float32 inside,
//  token by token, in chunks as the call proposes them, or as public kernels have them.
//
//  Whatever is narrow inside is for the kernel to declare: a solution in bfloat16 may be off by a
//  large part of the answer, and nothing that is wrong would show beside it.

import DualityCore
import DualityNumerics
import DualityReference

/// Arithmetics: a kernel must be within what one of them allows, head by head.
struct KalmanChoices: Sendable {
    /// One of each sort, and then the same in chunks of other sizes.
    let all: [KalmanArithmetic]
    /// How many there are of the former.
    let sorts: Int

    init(declared: KalmanArithmetic) { (all, sorts) = ([declared], 1) }

    /// - Parameter sizes: of chunks, the proposed one first.
    init(inputs: NumberFormat, output: NumberFormat, sizes: [Int]) {
        let isWide = inputs == .f64 || output == .f64
        var recurrent = KalmanArithmetic(isWide ? .f64 : .f32, form: .recurrent)
        recurrent.output = output
        if !isWide { recurrent.exponential = .fast }
        all =
            [recurrent]
            + sizes.map { size in
                var chunked = recurrent
                chunked.form = .chunked(size: size)
                return chunked
            }
        sorts = min(2, all.count)
    }
}
