//  Float and Double, as FFTW and LAPACK know them: the same routines under two names each.

#if Analysis
    import CFFTW
    import CLAPACK
    import DualityCore

    /// A number that FFTW and LAPACK compute with: Float or Double. Not for conformances elsewhere.
    public protocol AnalysisNumber: RealNumber {
        /// A plan for the transform of `length` real numbers to length / 2 + 1 complex ones, each a
        /// pair of numbers.
        static func _forwardPlan(
            length: Int, _ signal: UnsafeMutablePointer<Self>, _ spectrum: UnsafeMutablePointer<Self>
        ) -> OpaquePointer?
        /// A plan for its inverse, without the factor 1 / length. It overwrites the spectrum.
        static func _inversePlan(
            length: Int, _ spectrum: UnsafeMutablePointer<Self>, _ signal: UnsafeMutablePointer<Self>
        ) -> OpaquePointer?
        static func _execute(_ plan: OpaquePointer)
        static func _destroy(_ plan: OpaquePointer)
        /// Numbers as FFTW wants them aligned, for `_free`.
        static func _allocate(_ count: Int) -> UnsafeMutablePointer<Self>?
        static func _free(_ numbers: UnsafeMutablePointer<Self>)
        /// LAPACK's `gesdd` for singular values alone: `a` is column-major, `rows` x `columns`, and
        /// is overwritten.
        static func _singularValues(
            _ a: UnsafeMutablePointer<Self>, rows: Int32, columns: Int32, _ values: UnsafeMutablePointer<Self>,
            work: UnsafeMutablePointer<Self>, workCount: Int32, integers: UnsafeMutablePointer<Int32>
        ) -> Int32
    }

    extension Double: AnalysisNumber {
        public static func _forwardPlan(
            length: Int, _ signal: UnsafeMutablePointer<Double>, _ spectrum: UnsafeMutablePointer<Double>
        ) -> OpaquePointer? {
            spectrum.withMemoryRebound(to: fftw_complex.self, capacity: length / 2 + 1) {
                fftw_plan_dft_r2c_1d(Int32(length), signal, $0, planning)
            }
        }

        public static func _inversePlan(
            length: Int, _ spectrum: UnsafeMutablePointer<Double>, _ signal: UnsafeMutablePointer<Double>
        ) -> OpaquePointer? {
            spectrum.withMemoryRebound(to: fftw_complex.self, capacity: length / 2 + 1) {
                fftw_plan_dft_c2r_1d(Int32(length), $0, signal, planning)
            }
        }

        public static func _execute(_ plan: OpaquePointer) { fftw_execute(plan) }
        public static func _destroy(_ plan: OpaquePointer) { fftw_destroy_plan(plan) }
        public static func _allocate(_ count: Int) -> UnsafeMutablePointer<Double>? { fftw_alloc_real(count) }
        public static func _free(_ numbers: UnsafeMutablePointer<Double>) { fftw_free(numbers) }

        public static func _singularValues(
            _ a: UnsafeMutablePointer<Double>, rows: Int32, columns: Int32, _ values: UnsafeMutablePointer<Double>,
            work: UnsafeMutablePointer<Double>, workCount: Int32, integers: UnsafeMutablePointer<Int32>
        ) -> Int32 {
            var (m, n, one, count, info) = (rows, columns, Int32(1), workCount, Int32(0))
            var (u, v) = (0.0, 0.0)  // not wanted, never written
            dgesdd_("N", &m, &n, a, &m, values, &u, &one, &v, &one, work, &count, integers, &info)
            return info
        }
    }

    extension Float: AnalysisNumber {
        public static func _forwardPlan(
            length: Int, _ signal: UnsafeMutablePointer<Float>, _ spectrum: UnsafeMutablePointer<Float>
        ) -> OpaquePointer? {
            spectrum.withMemoryRebound(to: fftwf_complex.self, capacity: length / 2 + 1) {
                fftwf_plan_dft_r2c_1d(Int32(length), signal, $0, planning)
            }
        }

        public static func _inversePlan(
            length: Int, _ spectrum: UnsafeMutablePointer<Float>, _ signal: UnsafeMutablePointer<Float>
        ) -> OpaquePointer? {
            spectrum.withMemoryRebound(to: fftwf_complex.self, capacity: length / 2 + 1) {
                fftwf_plan_dft_c2r_1d(Int32(length), $0, signal, planning)
            }
        }

        public static func _execute(_ plan: OpaquePointer) { fftwf_execute(plan) }
        public static func _destroy(_ plan: OpaquePointer) { fftwf_destroy_plan(plan) }
        public static func _allocate(_ count: Int) -> UnsafeMutablePointer<Float>? { fftwf_alloc_real(count) }
        public static func _free(_ numbers: UnsafeMutablePointer<Float>) { fftwf_free(numbers) }

        public static func _singularValues(
            _ a: UnsafeMutablePointer<Float>, rows: Int32, columns: Int32, _ values: UnsafeMutablePointer<Float>,
            work: UnsafeMutablePointer<Float>, workCount: Int32, integers: UnsafeMutablePointer<Int32>
        ) -> Int32 {
            var (m, n, one, count, info) = (rows, columns, Int32(1), workCount, Int32(0))
            var (u, v): (Float, Float) = (0, 0)  // not wanted, never written
            sgesdd_("N", &m, &n, a, &m, values, &u, &one, &v, &one, work, &count, integers, &info)
            return info
        }
    }

    /// Chosen by rules and not by timing, so that the same length is transformed in the same way on
    /// every run.
    private let planning = UInt32(FFTW_ESTIMATE)
#endif
