import DualityCore
import DualityNumerics
import DualityReference
import Testing

@testable import DualityVerify

/// A few hundred of the generated cases that `duality check --exhaustive` runs by the ten thousand.
@Suite struct FormSurveyTests {
    @Test func everyFormIsInsideItsBoundAndItsSigma() throws {
        var survey = FormSurvey()
        for item in SSDCaseGenerator(seed: 20, budget: 8_000).prefix(300) { try survey.take(item) }
        #expect(survey.cases == 300)
        for row in survey.rows {
            let name = "\(row.form.name) in \(row.form.precision)"
            #expect(row.bound.value <= 1, "\(name): error / bound \(row.bound.value) on \(row.bound.item)")
            #expect(row.sigma.value <= 8, "\(name): error / sigma \(row.sigma.value) on \(row.sigma.item)")
            if row.form.precision == "f32", row.cases > 100 {
                let median = row.sigmas.median
                #expect((0.2...1.5).contains(median), "\(name): median error / sigma \(median)")
                #expect(row.bound.value > 0.1, "\(name): a bound that nothing comes near, \(row.bound.value)")
            }
        }
    }

    @Test func surveysOfPartsAddUp() throws {
        let items = Array(SSDCaseGenerator(seed: 4, budget: 1_000).prefix(8))
        var (whole, left, right) = (FormSurvey(), FormSurvey(), FormSurvey())
        for (i, item) in items.enumerated() {
            try whole.take(item)
            if i < 5 { try left.take(item) } else { try right.take(item) }
        }
        left.take(right)
        #expect(left.cases == whole.cases)
        for (a, b) in zip(left.rows, whole.rows) {
            #expect(a.sigma.value == b.sigma.value && a.bound.item == b.bound.item && a.sigmas == b.sigmas)
            #expect(a.cases == b.cases && (a.typicalError - b.typicalError).magnitude <= 1e-12 * b.typicalError)
        }
    }

    @Test func theHistogramKnowsItsMedian() {
        var random = RandomSource(seed: 1)
        var (histogram, values) = (RatioHistogram(), [Double]())
        for _ in 0..<2001 {
            let value = Double.exp(3 * random.normal())
            histogram.add(value)
            values.append(value)
        }
        values.sort()
        #expect((histogram.median / values[1000] - 1).magnitude < 0.05, "\(histogram.median) for \(values[1000])")
        #expect((histogram.quantile(0.9) / values[1800] - 1).magnitude < 0.05)
        #expect(histogram.largest == values[2000])
        histogram.add(.nan)
        #expect(histogram.largest == .infinity && histogram.count == 2002)
        #expect(RatioHistogram().median == 0)
    }
}

/// The forms in double-double: the same source with 32 digits, against which Double has nothing but
/// its own roundings to show.
@Suite struct DoubleCertificationTests {
    @Test func doubleErrsByItsOwnRoundingsAlone() throws {
        var worst = 0.0
        for item in SSDCaseGenerator(seed: 31, budget: 600).prefix(60) {
            let narrow: SSDInputs<Double> = try item.inputs()
            let wide: SSDInputs<DoubleDouble> = try item.inputs()
            let exact = try SSDForm.recurrent.evaluate(wide)
            let magnitudes = try narrow.magnitudes()
            var forms: [SSDForm] = [
                .recurrent, .chunked(size: item.chunkSize), .quadratic, .associative(tree: .balanced, leaf: 2),
            ]
            if item.still { forms.append(.convolution) }
            for form in forms {
                // Between themselves the wide forms agree to 27 digits of the terms of their sums.
                let found = try form.evaluate(wide)
                for i in exact.y.elements.indices {
                    let difference = (found.y.elements[i] - exact.y.elements[i]).magnitude.double
                    #expect(
                        difference <= 1e-27 * magnitudes.y.elements[i] + 1e-280, "\(form): \(difference) on \(item)")
                }
                // And Double is from them what one rounding bound allows; `errorBound` adds that of
                // the oracle.
                let double = try form.evaluate(narrow)
                let bound = try KernelArithmetic(.f64, form: form).errorBound(for: narrow)
                for (found, exact, bound) in [
                    (double.y, exact.y, bound.y), (double.sequenceStates, exact.sequenceStates, bound.sequenceStates),
                ] {
                    for i in exact.elements.indices where bound.elements[i] < .infinity {
                        let error = (DoubleDouble(found.elements[i]) - exact.elements[i]).magnitude.double
                        worst = max(worst, error == 0 ? 0 : error / bound.elements[i])
                    }
                }
                #expect(worst <= 1, "\(form): error / bound \(worst) on \(item)")
            }
        }
        #expect(worst > 0.01, "nothing was measured: \(worst)")
    }
}
