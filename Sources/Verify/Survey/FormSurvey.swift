//  Every form in every precision on generated cases: error, error / bound, error / sigma, and the
//  case that was worst.
//
//      error    ||ŷ_h - y_h|| / ||y_h|| of the worst head (and of the states)
//      bound    max |ŷ - y| / bound      at most 1, or the form or the bound is wrong
//      sigma    max |ŷ - y| / sigma      a few; beyond 8 nothing random explains the difference. In float64 for information
//
//  y is that of the recurrent form in float64; that form itself is held against the oracle with
//  compensated sums. A precision is float64, float32, or bf16: then what is judged is the emulation
//  of a kernel that multiplies in bfloat16.

import DualityCore
import DualityNumerics
import DualityReference

/// A form in a precision.
package struct SurveyedForm: Sendable, Hashable {
    /// Such as `chunked Q = 64`, or `chunked` where Q is the case's own.
    package let name: String
    /// `f64`, `f32` or `bf16`.
    package let precision: String
    fileprivate let kind: Kind

    fileprivate enum Kind: Hashable {
        /// A form of the reference.
        case form(SSDForm)
        /// The chunked form with the chunk size of the case, a tree with its seed.
        case chunkedAsCase
        case associative
        /// The bfloat16 kernels of state-spaces/mamba, imitated.
        case chunkScan
        case stateUpdate
    }

    /// All that a survey covers.
    package static let all: [SurveyedForm] = {
        let forms: [(String, Kind)] = [
            ("recurrent", .form(.recurrent)), ("chunked", .chunkedAsCase),
            ("chunked Q = 16", .form(.chunked(size: 16))),
            ("chunked Q = 64", .form(.chunked(size: 64))), ("chunked Q = 256", .form(.chunked(size: 256))),
            ("quadratic", .form(.quadratic)), ("associative", .associative), ("convolution", .form(.convolution)),
        ]
        return ["f64", "f32"].flatMap { precision in
            forms.map { SurveyedForm(name: $0.0, precision: precision, kind: $0.1) }
        } + [
            SurveyedForm(name: "chunked", precision: "bf16", kind: .chunkScan),
            SurveyedForm(name: "recurrent", precision: "bf16", kind: .stateUpdate),
        ]
    }()

    /// The arithmetic this form has on a case; nil where it does not apply to it, or would repeat
    /// what another row says.
    func arithmetic(on item: SSDCase) -> KernelArithmetic? {
        let format: NumberFormat = precision == "f64" ? .f64 : .f32
        switch kind {
        case .form(.convolution): return item.still ? KernelArithmetic(format, form: .convolution) : nil
        case .form(.chunked(let size)):
            return size < item.length && size != item.chunkSize
                ? KernelArithmetic(format, form: .chunked(size: size)) : nil
        case .form(let form): return KernelArithmetic(format, form: form)
        case .chunkedAsCase: return KernelArithmetic(format, form: .chunked(size: item.chunkSize))
        case .associative:
            let tree: ScanTree = [.balanced, .left, .right, .random(seed: item.seed)][Int(item.seed % 4)]
            return KernelArithmetic(format, form: .associative(tree: tree, leaf: 1 + Int(item.seed / 4 % 7)))
        case .chunkScan: return item.isEmulated ? .mambaChunkScan(.bf16, chunkSize: item.chunkSize) : nil
        case .stateUpdate: return item.isEmulated ? .mambaStateUpdate(.bf16) : nil
        }
    }

    func outputs(
        _ arithmetic: KernelArithmetic, _ double: SSDInputs<Double>, _ single: SSDInputs<Float>
    ) throws(InputError) -> SSDOutputs<Double> {
        switch precision {
        case "f64": try arithmetic.form.evaluate(double)
        case "f32": try arithmetic.form.evaluate(single).widened
        default: try arithmetic.emulate(double)
        }
    }
}

extension SSDCase {
    private var updates: Int { batch * length * heads * headDim * stateDim }
    /// Emulations take ten times as long as the forms.
    fileprivate var isEmulated: Bool { updates <= 20_000 }
    /// The sigma of float64 takes the oracle with compensated sums.
    fileprivate var hasDoubleSigma: Bool { updates <= 5_000 }
}

/// What a survey found of one form.
package struct SurveyRow: Sendable {
    /// A largest value and the case it was met on.
    package struct Worst: Sendable {
        /// The largest value met; infinite once a NaN was among them.
        package fileprivate(set) var value = 0.0
        /// The line that reproduces the case; empty when none had an error.
        package fileprivate(set) var item = ""

        fileprivate mutating func take(_ value: Double, _ item: SSDCase) {
            if !(value <= self.value) { (self.value, self.item) = (value.isNaN ? .infinity : value, item.description) }
        }

        fileprivate mutating func take(_ other: Worst) { if other.value > value { self = other } }
    }

    /// The form and the precision that the row is about.
    package let form: SurveyedForm
    /// How many cases the form applied to.
    package fileprivate(set) var cases = 0
    /// The largest ||ŷ_h - y_h|| / ||y_h|| of a head of y or of the states.
    package fileprivate(set) var error = Worst()
    /// The largest |ŷ - y| / bound of a number.
    package fileprivate(set) var bound = Worst()
    /// The largest |ŷ - y| / sigma of a number.
    package fileprivate(set) var sigma = Worst()
    /// Of error / sigma, every element of every case.
    package fileprivate(set) var sigmas = RatioHistogram()
    /// The geometric mean of the error of the heads of y.
    package var typicalError: Double { errors == 0 ? 0 : .exp(logarithms / Double(errors)) }

    fileprivate var logarithms = 0.0
    fileprivate var errors = 0

    /// Whether the row's sigma decides too. In float64 the oracle errs as much as what is held
    /// against it, and its roundings repeat as theirs do: there the bound decides alone, and sigma
    /// is for information (docs/numerics.md, section 11).
    package var isJudgedBySigma: Bool { form.precision != "f64" }

    /// Whether error / bound, and error / sigma where that decides, are within `Limits`.
    package var passes: Bool { bound.value <= Limits.bound && (!isJudgedBySigma || sigma.value <= Limits.sigma) }

    fileprivate init(_ form: SurveyedForm) { self.form = form }

    fileprivate mutating func takeError(_ errors: [Double], _ item: SSDCase) {
        for error in errors {
            self.error.take(error, item)
            if error > 0, error.isFinite {
                logarithms += .log(error)
                self.errors += 1
            }
        }
    }

    fileprivate mutating func take(_ other: SurveyRow) {
        cases += other.cases
        error.take(other.error)
        bound.take(other.bound)
        sigma.take(other.sigma)
        sigmas.add(other.sigmas)
        logarithms += other.logarithms
        errors += other.errors
    }
}

/// The forms held against their bounds on case after case.
package struct FormSurvey: Sendable {
    /// One row for each of `SurveyedForm.all`, in that order.
    package private(set) var rows: [SurveyRow] = SurveyedForm.all.map { SurveyRow($0) }
    /// How many cases were taken.
    package private(set) var cases = 0

    package init() {}

    /// Whether every row passes.
    package var passes: Bool { rows.allSatisfy(\.passes) }

    /// Runs every form on one case.
    ///
    /// - Throws: `InputError` when the case does not fit together.
    package mutating func take(_ item: SSDCase) throws {
        let double: SSDInputs<Double> = try item.inputs()
        let single: SSDInputs<Float> = try item.inputs()
        let exact = try SSDForm.recurrent.evaluate(double)
        for i in rows.indices {
            guard let arithmetic = rows[i].form.arithmetic(on: item) else { continue }
            let found = try rows[i].form.outputs(arithmetic, double, single)
            let bound = try arithmetic.errorBound(for: double)
            let sigma =
                rows[i].form.precision == "f64" && !item.hasDoubleSigma
                ? nil : try arithmetic.roundingSigma(for: double)
            let isOracle = arithmetic == KernelArithmetic(.f64, form: .recurrent) && sigma != nil
            let reference = isOracle ? try double.oracle(summation: .compensated) : exact
            rows[i].cases += 1
            rows[i].take(found.y, exact: reference.y, bound: bound.y, sigma: sigma?.y, of: item, headAxis: 2)
            rows[i].take(
                found.sequenceStates, exact: reference.sequenceStates, bound: bound.sequenceStates,
                sigma: sigma?.sequenceStates, of: item,
                headAxis: 1)
        }
        cases += 1
    }

    /// What another survey found, of other cases.
    package mutating func take(_ other: FormSurvey) {
        cases += other.cases
        for i in rows.indices { rows[i].take(other.rows[i]) }
    }
}

extension SurveyRow {
    /// One tensor of the result.
    fileprivate mutating func take(
        _ found: Tensor<Double>, exact: Tensor<Double>, bound: Tensor<Double>, sigma: Tensor<Double>?,
        of item: SSDCase, headAxis: Int
    ) {
        let heads = exact.shape[headAxis]
        let width = exact.shape[(headAxis + 1)...].reduce(1, *)
        var (differences, norms) = ([Double](repeating: 0, count: heads), [Double](repeating: 0, count: heads))
        var (ofBound, ofSigma) = (0.0, 0.0)
        for i in exact.elements.indices {
            // Where a format may overflow nothing is promised, and what was never anything has no
            // ratio.
            guard bound.elements[i] < .infinity else { continue }
            let error = (found.elements[i] - exact.elements[i]).magnitude
            let head = i / width % heads
            differences[head] += error * error
            norms[head] += exact.elements[i] * exact.elements[i]
            if error == 0 && exact.elements[i] == 0 { continue }
            let ratio = error == 0 ? 0 : error / bound.elements[i]
            if !(ratio <= ofBound) { ofBound = ratio.isNaN ? .infinity : ratio }
            guard let sigma else { continue }
            let deviations = error / sigma.elements[i]
            sigmas.add(deviations)
            if !(deviations <= ofSigma) { ofSigma = deviations.isNaN ? .infinity : deviations }
        }
        takeError(zip(differences, norms).map { $1 == 0 ? 0 : ($0 / $1).squareRoot() }, item)
        self.bound.take(ofBound, item)
        self.sigma.take(ofSigma, item)
    }
}

extension SurveyRow.Worst: Portable {
    package func write(to bytes: inout PortableWriter) {
        bytes.add(each: value, item)
    }

    package init(from bytes: inout PortableReader) throws(InputError) {
        (value, item) = (try bytes.next(), try bytes.next())
    }
}

extension FormSurvey: Portable {
    package func write(to bytes: inout PortableWriter) {
        bytes.add(cases)
        for row in rows {
            bytes.add(each: row.cases, row.error, row.bound, row.sigma, row.sigmas, row.logarithms, row.errors)
        }
    }

    package init(from bytes: inout PortableReader) throws(InputError) {
        self.init()
        cases = try bytes.next()
        for i in rows.indices {
            (rows[i].cases, rows[i].error, rows[i].bound) = (try bytes.next(), try bytes.next(), try bytes.next())
            (rows[i].sigma, rows[i].sigmas) = (try bytes.next(), try bytes.next())
            (rows[i].logarithms, rows[i].errors) = (try bytes.next(), try bytes.next())
        }
    }
}
