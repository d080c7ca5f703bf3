import DualityCore
import DualityNumerics
import DualityReference
import Testing

@testable import DualityVerify

/// The gated delta rule and attention backwards: right kernels pass, planted faults are rejected
/// and named, what does not fit is refused. Few and small cases; BackwardCampaignTests has the
/// others.
@Suite struct BackwardKernelTests {
    private static func delta(_ name: String, _ describe: (inout DeltaCase) -> Void) -> VectorCase {
        .delta("backward-\(name)", "", kind: .gatedDeltaGradients) {
            ($0.length, $0.heads, $0.keyHeads, $0.keyDim, $0.valueDim, $0.chunkSize) = (19, 2, 1, 4, 4, 8)
            describe(&$0)
        }
    }

    private static let deltas = [
        delta("shared") { _ in },
        delta("packed") { ($0.cuts, $0.decay) = ([3], 0.3) },
        delta("repeated") { ($0.keys, $0.beta, $0.decay, $0.normalizes) = (.repeated, 1...2, 1e-3, false) },
        delta("one") { ($0.length, $0.stateScale) = (1, 0) },
    ]

    private static func attention(
        _ name: String, length: Int = 11, cache: Int = 0, size: Double = 1, sinks: Bool = false,
        _ options: [String: String] = [:]
    ) -> VectorCase {
        VectorSuite.attention(
            "backward-\(name)", "", kind: .attentionGradients, length: length, cache: cache, heads: 4, shared: 2,
            width: 4, batch: 2, size: size, sinks: sinks, options)
    }

    private static let attentions = [
        attention("sinks", sinks: true), attention("window", cache: 5, ["window": "4", "sink_tokens": "1"]),
        attention("steep", size: 20), attention("one", length: 1),
    ]

    private static func verdict<Kernel: FamilyKernel>(
        _ kernel: Kernel, _ item: VectorCase, _ format: NumberFormat, _ precision: DeclaredPrecision = .inferred
    ) throws -> CaseReport {
        let inputs = try item.tensors(in: format)
        let outputs = try Kernel.table(kernel.outputs(inputs, item.options), format)
        return Verifier(precision: precision, diagnoses: false).verify(item.call, inputs: inputs, outputs: outputs)
    }

    @Test(arguments: [NumberFormat.f32, .bf16]) func rightKernelsPass(format: NumberFormat) throws {
        for (i, item) in Self.deltas.enumerated() {
            var kernels = [DeltaBackwardKernel(), DeltaBackwardKernel(chunk: 8)]
            if format == .bf16 { kernels.append(DeltaBackwardKernel(chunk: 8, isNarrow: true)) }
            let report = try Self.verdict(kernels[i % kernels.count], item, format)
            #expect(report.verdict == .pass, "\(item.name): \(report.lines) \(report.problems)")
        }
        for (i, item) in Self.attentions.enumerated() {
            let isNarrow = format == .bf16 && i % 2 == 0
            let kernel = AttentionBackwardKernel(block: i % 2 == 0 ? nil : 64, isNarrow: isNarrow)
            let report = try Self.verdict(kernel, item, format)
            #expect(report.verdict == .pass, "\(item.name): \(report.lines) \(report.problems)")
        }
    }

    /// Right in bfloat16, but not by a kernel that is float32 inside.
    @Test func aDeclaredArithmeticJudges() throws {
        func verdict<Kernel: FamilyKernel>(_ kernel: Kernel, _ item: VectorCase, _ name: String) throws -> Verdict {
            try Self.verdict(kernel, item, .bf16, DeclaredPrecision(parsing: name)).verdict
        }
        let (delta, attention) = (Self.deltas[1], Self.attentions[0])
        let narrow = DeltaBackwardKernel(chunk: 16, isNarrow: true)
        #expect(try verdict(narrow, delta, "fla_gated_delta,form=chunked:16") == .pass)
        #expect(
            try verdict(narrow, delta, "transformers_gated_delta,form=chunked:16,normalized=f32,norms=f32") == .fail)
        #expect(try verdict(AttentionBackwardKernel(isNarrow: true), attention, "eager_attention") == .pass)
        #expect(try verdict(AttentionBackwardKernel(isNarrow: true), attention, "sdpa_math") == .fail)
        #expect(!(try Self.verdict(narrow, delta, .bf16, DeclaredPrecision(parsing: "ggml")).problems.isEmpty))
    }

    /// In twice the precision the same numbers come out, to what float64 rounds.
    @Test func doubleDoubleCertifiesTheOracle() throws {
        for item in [Self.deltas[1], Self.deltas[2], Self.attentions[0], Self.attentions[2]] {
            let inputs = try item.tensors(in: .f32)
            let judge = try Verifier().judge(item.call, inputs)
            let (double, rounded) = try #require(judge as? any PreciseJudge).precise()
            for (name, tensor) in double {
                let size = tensor.elements.map(\.magnitude).max() ?? 0
                let other = try #require(rounded[name]).elements
                let largest = zip(tensor.elements, other).map { ($0 - $1).magnitude }.max() ?? 0
                #expect(largest <= 1e-13 * size, "\(item.name), \(name): \(largest / size)")
            }
            // A kernel in float64 is held to the bound of float64.
            var table = TensorTable(place: "float64")
            for (name, tensor) in rounded { try table.add(name, tensor, as: .f64) }
            #expect(Verifier(diagnoses: false).verify(item.call, inputs: inputs, outputs: table).verdict == .pass)
        }
    }

    /// One planted kernel of some, on operands on one of which it changes something.
    private static func judge<Kernel: BackwardKernel>(
        _ planted: [Kernel], _ items: [VectorCase], _ step: Int
    ) throws -> [FamilyOutcome] {
        let few = stride(from: 0, to: planted.count, by: step).map { planted[$0] }
        let outcomes = try Kernel.outcomes(few, on: items, .f32)
        let visible = outcomes.filter { $0.effect >= 1e-4 }
        let unseen = Set(few.map(\.plant)).subtracting(visible.map(\.plant))
        #expect(unseen.isEmpty, "changed nothing: \(unseen)")
        return visible
    }

    @Test func plantedFaultsAreRejectedAndNamed() throws {
        let visible =
            try Self.judge(DeltaBackwardKernel.planted, [Self.deltas[1]], 15)
            + Self.judge(
                AttentionBackwardKernel.planted.filter { $0.block == nil }, Array(Self.attentions.prefix(2)), 9)
        let missed = visible.filter { $0.verdict != .fail }
        #expect(missed.isEmpty, "\(missed.map(\.words))")
        #expect(visible.shareNamed >= 0.95, "\(visible.named.count) of \(visible.count); not \(visible.unnamed)")
    }

    /// A fault in the table that changes nothing would never be found.
    @Test func everyFaultChangesSomething() throws {
        func changes(_ judge: any KindJudge, _ attempt: [String: Tensor<Double>]?) throws -> Bool {
            guard let attempt else { return false }
            let (exact, _) = try #require(judge as? any PreciseJudge).precise()
            return exact.contains { name, tensor in
                let size = tensor.elements.map(\.magnitude).max() ?? 0
                let pairs = zip(tensor.elements, attempt[name]?.elements ?? [])
                return pairs.contains { !(($0 - $1).magnitude <= 1e-7 * size) }
            }
        }
        let tiled = Self.delta("tiled") { ($0.heads, $0.keyHeads, $0.length) = (4, 2, 3) }
        let deltas = try (Self.deltas + [tiled]).map { item in
            try DeltaGradientJudge(item.call, inputs: item.tensors(in: .f32), precision: .inferred)
        }
        for fault in DeltaGradientFault.allCases where !fault.isOfPrecision {
            for i in fault.variants.indices {
                let found = try deltas.contains { try changes($0, $0.attempts(fault, 8)[i].outputs()) }
                #expect(found, "\(fault.name), variant \(i)")
            }
        }
        let attentions = try (Self.attentions + [Self.attention("blocks", length: 70)]).map { item in
            try AttentionGradientJudge(item.call, inputs: item.tensors(in: .f32), precision: .inferred)
        }
        for fault in AttentionGradientFault.allCases where !fault.isOfPrecision {
            for i in fault.variants.indices {
                let found = try attentions.contains { try changes($0, $0.attempts(fault)[i].outputs()) }
                #expect(found, "\(fault.name), variant \(i)")
            }
        }
    }

    @Test func whatDoesNotFitIsRefused() throws {
        func problems(_ item: VectorCase, _ change: (inout TensorTable) throws -> Void) throws -> [String] {
            let good = try item.tensors(in: .f32)
            var table = good
            try change(&table)
            return Verifier(diagnoses: false).verify(item.call, inputs: table, outputs: good).problems
        }
        for (item, names) in [
            (Self.deltas[1], ["dout", "dfinal_state", "q", "g"]), (Self.attentions[0], ["dout", "v", "sinks"]),
        ] {
            for name in names {
                for shape in [[3], [], [0, 0, 0, 0], nil] {
                    let found = try problems(item) { table in
                        let filled = Tensor(
                            repeating: shape == nil ? Double.nan : 0, shape: try shape ?? table.info(name).shape)
                        try table.add(name, filled, as: .f32)
                    }
                    #expect(!found.isEmpty, "\(item.name): \(name) of \(shape ?? [])")
                }
            }
            // What the loss says is asked for.
            let good = try item.tensors(in: .f32)
            var table = TensorTable(place: "inputs")
            for name in good.names where !["dout", "dfinal_state", "cu_seqlens", "initial_state"].contains(name) {
                try table.add(name, good.tensor(name) as Tensor<Double>, as: .f32)
            }
            let report = Verifier(diagnoses: false).verify(item.call, inputs: table, outputs: good)
            #expect(report.problems.contains { $0.contains("gradient of a loss") }, "\(report.problems)")
        }
    }

    /// Numbers that overflow, tokens that are none, and NaN: a verdict, and no trap.
    @Test func numbersThatGrowWithoutBoundsDoNotTrap() throws {
        let item = Self.deltas[2]
        var inputs = try item.tensors(in: .f32)
        let k: Tensor<Double> = try inputs.tensor("k")
        try inputs.add("k", k.map { $0 * 1e6 }, as: .f32)
        let outputs = try DeltaBackwardKernel.table(DeltaBackwardKernel(chunk: 8)(inputs, item.options), .f32)
        #expect(!Verifier().verify(item.call, inputs: inputs, outputs: outputs).outputs.isEmpty)
        for (item, kernel) in [(Self.deltas[0], "grad_g"), (Self.attentions[0], "grad_sinks")] {
            let inputs = try item.tensors(in: .f32)
            let right =
                kernel == "grad_g"
                ? try DeltaBackwardKernel()(inputs, item.options) : try AttentionBackwardKernel()(inputs, item.options)
            var broken = try DeltaBackwardKernel.table(right, .f32)
            try broken.add(kernel, try #require(right[kernel]).map { _ in .nan }, as: .f32)
            #expect(Verifier().verify(item.call, inputs: inputs, outputs: broken).verdict == .fail)
            var empty = TensorTable(place: "empty")
            for name in inputs.names {
                var shape = try inputs.info(name).shape
                if ["q", "k", "v", "g", "beta", "dout"].contains(name) { shape[1] = 0 }
                try empty.add(name, Tensor(repeating: 0, shape: shape), as: .f32)
            }
            let none = Tensor(repeating: 0.0, shape: try empty.info("q").shape)
            var nothing = TensorTable(place: "nothing")
            try nothing.add("grad_q", none, as: .f32)
            #expect(Verifier().verify(item.call, inputs: empty, outputs: nothing).verdict == .unchecked)
        }
    }
}
