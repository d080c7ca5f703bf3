import DualityCore
import DualityNumerics
import TestSupport
import Testing

@testable import DualityReference
@testable import DualityVerify

/// Softmax attention: the expectation is the layer's, right kernels pass, planted faults are
/// rejected and named.
@Suite struct AttentionTests {
    static let small = VectorSuite.attention.filter { !$0.name.contains("width") }

    static func table(_ o: Tensor<Double>, _ format: NumberFormat) throws -> TensorTable {
        var table = TensorTable(place: "kernel")
        try table.add("o", o, as: format)
        return table
    }

    @Test func theExpectationIsTheLayersAttention() throws {
        for name in ["attn-cache", "attn-window-cache", "attn-one-head-of-keys"] {
            let item = try #require(Self.small.first { $0.name == name })
            let inputs = try item.tensors(in: .f32)
            let call = try AttentionJudge(item.call, inputs: inputs, precision: .inferred).call
            let (length, count, heads, shared) = (call.length, call.keyCount, call.heads, call.k.shape[2])
            var cache = KeyValueCache<Double>(heads: shared, headDim: call.valueDim)
            cache.append(
                keys: try call.k.reshaped([count, shared * call.valueDim]),
                values: try call.v.reshaped([count, shared * call.valueDim]))
            let set = AttendedSet(
                queries: try call.q.reshaped([length, heads * call.valueDim]), cache: cache,
                visible: { t in
                    let seen = (0..<count).filter { call.sees(t, $0) }
                    return (seen.first ?? 0)..<(seen.last ?? -1) + 1
                })
            let o = attend([set], headDim: call.valueDim)
            let found = try Self.table(o.reshaped([1, length, heads, call.valueDim]), .f64)
            let exact = try AttentionJudge(item.call, inputs: inputs, precision: .inferred)
                .expect(["o": found.tensor("o")], formats: ["o": .f64]).outputs[0].exact
            let largest = zip(exact.elements, o.elements).map { ($0 - $1).magnitude }.max() ?? 1
            #expect(largest < 1e-13, "\(name): \(largest)")
        }
    }

    @Test(arguments: [NumberFormat.f32, .bf16]) func rightKernelsPass(format: NumberFormat) throws {
        for (i, item) in Self.small.enumerated() {
            let inputs = try item.tensors(in: format)
            var kernels = [AttentionKernel(), AttentionKernel(block: 64), AttentionKernel(block: 16)]
            if format == .bf16 {
                kernels += [AttentionKernel(isNarrow: true), AttentionKernel(block: 64, isNarrow: true)]
            }
            let kernel = kernels[i % kernels.count]
            let outputs = try Self.table(kernel(inputs, item.options), format)
            let report = Verifier(diagnoses: false).verify(item.call, inputs: inputs, outputs: outputs)
            #expect(report.verdict == .pass, "\(item.name), \(kernel): \(report.lines)")
        }
    }

    @Test func aDeclaredArithmeticJudges() throws {
        let item = try #require(Self.small.first { $0.name == "attn-length-64" })
        let inputs = try item.tensors(in: .bf16)
        let outputs = try Self.table(AttentionKernel(isNarrow: true)(inputs, item.options), .bf16)
        func verdict(_ name: String) throws -> Verdict {
            Verifier(precision: try DeclaredPrecision(parsing: name), diagnoses: false).verify(
                item.call, inputs: inputs, outputs: outputs
            ).verdict
        }
        #expect(try verdict("eager_attention") == .pass)
        #expect(try verdict("sdpa_math") == .fail)
        #expect(try verdict("fla_gated_delta") == .fail)
    }

    @Test(arguments: [NumberFormat.f32, .bf16]) func plantedFaultsAreRejectedAndNamed(format: NumberFormat) throws {
        var names = ["attn-cache", "attn-length-130", "attn-sink-tokens", "attn-sinks", "attn-overflow"]
        if format == .f32 { names += ["attn-window", "attn-scale"] }
        let chosen = names
        let kernels = AttentionKernel.planted.filter { kernel in
            format == .f32 || !AttentionKernel.usualInBFloat16.contains(kernel.plant)
        }
        let outcomes = try AttentionKernel.outcomes(kernels, on: Self.small.filter { chosen.contains($0.name) }, format)
        let visible = outcomes.filter { format == .f32 ? $0.effect >= 1e-4 : $0.certainEffect > Limits.certainSigma }
        let missed = visible.filter { $0.verdict != .fail }
        #expect(missed.isEmpty, "\(missed.map(\.words))")
        let unseen = Set(kernels.map(\.plant)).subtracting(visible.map(\.plant))
        #expect(unseen.isEmpty, "changed nothing: \(unseen)")
        #expect(visible.shareNamed >= 0.95, "\(visible.named.count) of \(visible.count); not \(visible.unnamed)")
    }

    /// Products beyond float64: the reference has no answer, and no kernel of numbers passes.
    @Test func whatFloat64CannotHoldIsNoPass() throws {
        let item = try #require(Self.small.first { $0.name == "attn-length-63" })
        var inputs = try item.tensors(in: .f32)
        for name in ["q", "k", "v"] {
            let tensor: Tensor<Double> = try inputs.tensor(name)
            try inputs.add(name, tensor.map { name == "v" ? $0 : $0 * 1e200 }, as: .f64)
        }
        let shape = try inputs.info("q").shape
        func report(_ value: Double) throws -> CaseReport {
            Verifier(diagnoses: false).verify(
                item.call, inputs: inputs, outputs: try Self.table(Tensor(repeating: value, shape: shape), .f64))
        }
        #expect(try report(0).verdict == .suspect)
        #expect(try report(.nan).verdict == .unchecked)
        // Scores that only float32 cannot hold: NaN is allowed, another number is not.
        var large = try item.tensors(in: .f32)
        for name in ["q", "k"] {
            let tensor: Tensor<Double> = try large.tensor(name)
            try large.add(name, tensor.map { $0 * 1e25 }, as: .f32)
        }
        func verdict(_ value: Double) throws -> Verdict {
            Verifier(diagnoses: false).verify(
                item.call, inputs: large, outputs: try Self.table(Tensor(repeating: value, shape: shape), .f32)
            ).verdict
        }
        #expect(try verdict(0) == .fail)
        #expect(try verdict(.nan) != .fail)
    }

    /// The only weight of a value that counts is e^-117: 1.5e-51 is the answer, and 0 is right in
    /// float32.
    @Test func weightsBelowTheSmallestNumberMayBeZero() throws {
        var inputs = TensorTable(place: "tiny")
        let shape = [1, 2, 1, 1]
        try inputs.add("q", Tensor(shape: [1, 1, 1, 1], unchecked: [1.0]), as: .f32)
        try inputs.add("k", Tensor(shape: shape, unchecked: [0.0, -117]), as: .f32)
        try inputs.add("v", Tensor(shape: shape, unchecked: [0.0, 1000]), as: .f32)
        let call = CallDescription(name: "tiny", kind: .attention, options: ["scale": "1"])
        for (value, expected) in [(0, Verdict.pass), (1.5e-48, .pass), (1e-33, .fail)] {
            let outputs = try Self.table(Tensor(shape: [1, 1, 1, 1], unchecked: [value]), .f32)
            let report = Verifier(diagnoses: false).verify(call, inputs: inputs, outputs: outputs)
            #expect(report.verdict == expected, "\(value): \(report.lines)")
        }
    }

    /// `out` is what a kernel stores before somebody widens it; a key that nothing reads is
    /// refused.
    @Test func declaredKeysWorkOrAreRefused() throws {
        let item = try #require(Self.small.first { $0.name == "attn-length-64" })
        let inputs = try item.tensors(in: .f32)
        let rounded = try AttentionKernel()(inputs, item.options).map { NumberFormat.bf16.round($0) }
        func verdict(_ text: String) throws -> Verdict {
            Verifier(precision: try DeclaredPrecision(parsing: text), diagnoses: false).verify(
                item.call, inputs: inputs, outputs: try Self.table(rounded, .f32)
            ).verdict
        }
        #expect(try verdict("products=f32,weights=f32,out=bf16") == .pass)
        #expect(try verdict("products=f32,weights=f32") == .fail)
        for text in ["weights=bf16,inputs=bf16", "flash_attention_2,wieghts=f32", "fla_gated_delta,inverze=f32"] {
            let error = #expect(throws: InputError.self) { try DeclaredPrecision(parsing: text) }
            let key = text.split(separator: ",").last.map { String($0.split(separator: "=")[0]) } ?? ""
            #expect("\(error.map { "\($0)" } ?? "")".contains("found \"\(key)\""), "\(text): \(error as Any)")
        }
    }

    @Test func whatDoesNotFitIsRefused() throws {
        let item = try #require(Self.small.first { $0.name == "attn-cache" })
        let good = try item.tensors(in: .f32)
        let outputs = try Self.table(AttentionKernel()(good, item.options), .f32)
        for (name, shape) in [
            ("q", [1, 80, 4, 16]), ("k", [1, 79, 3, 16]), ("v", [1, 78, 2, 16]), ("q", [4]), ("sinks", [3]),
        ] {
            var table = good
            try table.add(name, Tensor(repeating: 0, shape: shape), as: .f32)
            #expect(!Verifier().verify(item.call, inputs: table, outputs: outputs).problems.isEmpty, "\(name) \(shape)")
        }
        // Shapes that hold no numbers and would fill any machine.
        for (name, shape) in [("q", [0, 1, 1 << 40, 16]), ("v", [1, 79, 2, 1 << 40])] {
            var table = good
            for other in ["q", "k", "v"] { try table.add(other, Tensor(repeating: 0, shape: [0, 1, 2, 16]), as: .f32) }
            try table.add(name, Tensor(repeating: 0, shape: [0] + shape.dropFirst()), as: .f32)
            #expect(!Verifier().verify(item.call, inputs: table, outputs: outputs).problems.isEmpty, "\(shape)")
        }
        var call = item.call
        call.options["window"] = "-3"
        #expect(!Verifier().verify(call, inputs: good, outputs: outputs).problems.isEmpty)
    }
}
