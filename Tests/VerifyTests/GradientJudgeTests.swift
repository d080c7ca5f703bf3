import DualityCore
import TestSupport
import Testing

@testable import DualityReference
@testable import DualityVerify

/// Right backward passes pass, whichever of the right ways they take; wrong ones do not.
@Suite struct GradientJudgeTests {
    static func table(_ gradients: [String: Tensor<Double>]) throws -> TensorTable {
        var table = TensorTable(place: "kernel")
        for (name, gradient) in gradients { try table.add(name, gradient, as: .f32) }
        return table
    }

    static func report(
        _ item: VectorCase, _ gradients: [String: Tensor<Double>], declared: String? = nil
    ) throws -> CaseReport {
        let precision =
            try declared.map { text throws(InputError) in try DeclaredPrecision(parsing: text) } ?? .inferred
        return try Verifier(precision: precision).verify(
            item.call, inputs: item.tensors(in: .f32), outputs: table(gradients))
    }

    @Test(arguments: ["grad-fast", "grad-everything"]) func formsInFloatPass(name: String) throws {
        let item = try #require(VectorSuite.gradients.first { $0.name == name })
        let judge = try GradientJudge(item.call, inputs: item.tensors(in: .f32), precision: .inferred)
        for form in [SSDForm.recurrent, .chunked(size: 64)] {
            let upstream = SSDUpstream<Float>(
                y: judge.upstream.y?.converted(), finalState: judge.upstream.finalState?.converted())
            let found = try form.gradients(of: judge.inputs.converted(), upstream: upstream)
            let gradients = Dictionary(
                uniqueKeysWithValues: found.named.map { ("grad_\($0.name)", $0.gradient.converted(to: Double.self)) })
            for declared in [nil, "float32,sums=segments"] {
                let report = try Self.report(item, gradients, declared: declared)
                #expect(report.verdict == .pass, "\(form), \(declared ?? "nothing declared"): \(report)")
            }
        }
    }

    /// λ_t as the sum over the rest of the sequence of g·y - x̄·∂x̄, in float32: right, and no
    /// better than the sums it is taken of.
    @Test func differencesOfSumsPassUnlessTheKernelSaysItHasNone() throws {
        let item = try #require(VectorSuite.gradients.first { $0.name == "grad-fast" })
        let judge = try GradientJudge(item.call, inputs: item.tensors(in: .f32), precision: .inferred)
        let (inputs, headDim, heads) = (judge.inputs, judge.inputs.headDim, judge.inputs.heads)
        #expect(inputs.z == nil && inputs.batch == 1 && inputs.x.shape[2] == heads, "one gradient of x a head")
        let narrow: SSDInputs<Float> = try SSDInputs<Double>(
            x: inputs.x, dt: inputs.dt, a: inputs.a, b: inputs.b, c: inputs.c, dtBias: inputs.dtBias,
            initialState: inputs.initialState, headMap: inputs.headMap, dtSoftplus: inputs.dtSoftplus
        ).converted()
        let upstream = SSDUpstream<Float>(
            y: judge.upstream.y?.converted(), finalState: judge.upstream.finalState?.converted())
        let (outputs, own) = try (
            SSDForm.recurrent.evaluate(narrow), SSDForm.recurrent.gradients(of: narrow, upstream: upstream)
        )
        let (pull, ending) = (try #require(upstream.y), try #require(upstream.finalState))
        let (steps, slopes) = (narrow.effectiveSteps(), narrow.effectiveStepDerivatives())
        var found = try GradientParts(inputs, judge.upstream).assembled(nil)
        var (dt, a) = (narrow.dt, narrow.a.map { _ in Float.zero })
        var bias = a
        for h in 0..<heads {
            let size = headDim * inputs.stateDim
            var sum = (h * size..<(h + 1) * size).reduce(Float.zero) {
                $0 + ending.elements[$1] * outputs.finalState.elements[$1]
            }
            for t in (0..<inputs.length).reversed() {
                let i = t * heads + h
                var (read, direct) = (Float.zero, Float.zero)
                for j in i * headDim..<(i + 1) * headDim {
                    read += pull.elements[j] * outputs.y.elements[j]
                    direct += narrow.x.elements[j] * own.x.elements[j] / steps.elements[i]
                }
                sum += read
                let crossing = sum - steps.elements[i] * direct
                sum = crossing
                dt.elements[i] = (direct + narrow.a.elements[h] * crossing) * slopes.elements[i]
                a.elements[h] += steps.elements[i] * crossing
                bias.elements[h] += dt.elements[i]
            }
        }
        found["grad_dt"] = dt.converted()
        found["grad_A"] = a.converted()
        found["grad_dt_bias"] = bias.converted()
        let report = try Self.report(item, found)
        #expect(report.verdict == .pass, "\(report)")
        let strict = try Self.report(item, found, declared: "float32,sums=segments")
        #expect(strict.verdict == .fail, "\(strict)")
    }

    @Test(arguments: GradientJudge.faults.map(\.name)) func aFaultIsNamed(fault: String) throws {
        var named = false
        for item in VectorSuite.gradients where !named {
            let judge = try GradientJudge(item.call, inputs: item.tensors(in: .f32), precision: .inferred)
            let parts = try GradientParts(judge.inputs, judge.upstream, ignoresGate: fault == "grad-gate-ignored")
            let isAboutState = fault == "grad-final-state-ignored"
            let other = isAboutState ? try GradientParts(judge.inputs, SSDUpstream(y: judge.upstream.y)) : parts
            guard let found = try? other.assembled(fault) else { continue }
            let report = try Self.report(item, found)
            named = report.verdict == .fail && report.diagnosis.names.contains(fault)
        }
        #expect(named)
    }
}
