import DualityCore
import DualityNumerics
import Foundation
import TestSupport
import Testing

@testable import DualityReference
@testable import DualityVerify

/// The gated delta rule: its forms agree, right kernels pass, faults are rejected and named.
@Suite struct DeltaTests {
    /// Cases that debug builds compute in no time.
    static let small = VectorSuite.delta.filter { item in
        !item.name.contains("width") && !item.name.contains("wide")
    }

    static func table(_ outputs: [String: Tensor<Double>], _ format: NumberFormat) throws -> TensorTable {
        var table = TensorTable(place: "kernel")
        for (name, output) in outputs { try table.add(name, output, as: name == "o" ? format : .f32) }
        return table
    }

    static func operands(_ item: VectorCase, _ table: TensorTable) throws -> DeltaOperands<Double> {
        try DeltaJudge(item.call, inputs: table, precision: .inferred).operands
    }

    private static func difference(_ a: Tensor<Double>, _ b: Tensor<Double>) -> Double {
        let size = a.elements.map(\.magnitude).max() ?? 0
        let largest = zip(a.elements, b.elements).map { ($0 - $1).magnitude }.max() ?? 0
        return largest / max(size, 1e-300)
    }

    @Test func theChunkedFormIsTheRecurrence() throws {
        for item in Self.small where !item.name.contains("step") {
            let operands = try Self.operands(item, item.tensors(in: .f32))
            let (o, state) = operands.evaluate(.recurrent)
            for size in [5, 32] {
                let other = operands.evaluate(.chunked(size: size))
                let largest = max(Self.difference(o, other.o), Self.difference(state, other.state))
                #expect(largest < 1e-11, "\(item.name), chunks of \(size): \(largest)")
            }
        }
    }

    /// The certificate: in twice the precision the same numbers come out, to the bound of float64.
    @Test func doubleDoubleCertifiesTheOracle() throws {
        for item in Self.small where ["aligned", "huge", "length-33", "long"].contains(where: item.name.contains) {
            let operands = try Self.operands(item, item.tensors(in: .f32))
            let (o, state) = operands.evaluate(.recurrent)
            let wide = operands.converted(to: DoubleDouble.self).evaluate(.recurrent)
            let largest = max(Self.difference(o, wide.o.converted()), Self.difference(state, wide.state.converted()))
            #expect(largest < 1e-13, "\(item.name): \(largest)")
        }
    }

    @Test func theLayersRuleIsTheOperator() throws {
        let item = try #require(Self.small.first { $0.name == "delta-state-none" })
        let operands = try Self.operands(item, item.tensors(in: .f32))
        let (length, width) = (operands.v.shape[0], operands.heads * operands.valueDim)
        let rule = GatedDeltaRule(
            q: try operands.q.reshaped([length, width]), k: try operands.k.reshaped([length, width]),
            v: try operands.v.reshaped([length, width]), beta: operands.beta, logDecay: operands.logDecay,
            headDim: operands.valueDim)
        var state = Tensor(repeating: 0.0, shape: [operands.heads, operands.keyDim, operands.valueDim])
        let o = rule.evaluate(.recurrent, state: &state)
        let exact = operands.evaluate(.recurrent)
        #expect(Self.difference(exact.o, o) < 1e-13 && Self.difference(exact.state, state) < 1e-13)
    }

    @Test(arguments: [NumberFormat.f32, .bf16]) func rightKernelsPass(format: NumberFormat) throws {
        for (i, item) in Self.small.enumerated() {
            let inputs = try item.tensors(in: format)
            var kernels = [DeltaKernel()]
            if item.kind == .gatedDelta { kernels.append(DeltaKernel(chunk: 16)) }
            if item.kind == .gatedDelta, format == .bf16 { kernels.append(DeltaKernel(chunk: 32, isNarrow: true)) }
            let kernel = kernels[i % kernels.count]
            let outputs = try Self.table(kernel(inputs, item.options), format)
            let report = Verifier(diagnoses: false).verify(item.call, inputs: inputs, outputs: outputs)
            #expect(report.verdict == .pass, "\(item.name), \(kernel): \(report.lines)")
        }
    }

    @Test func aDeclaredArithmeticJudges() throws {
        let item = try #require(Self.small.first { $0.name == "delta-length-64" })
        let inputs = try item.tensors(in: .bf16)
        let outputs = try Self.table(DeltaKernel(chunk: 64, isNarrow: true)(inputs, item.options), .bf16)
        func verdict(_ name: String) throws -> Verdict {
            Verifier(precision: try DeclaredPrecision(parsing: name), diagnoses: false).verify(
                item.call, inputs: inputs, outputs: outputs
            ).verdict
        }
        #expect(try verdict("fla_gated_delta") == .pass)
        #expect(try verdict("fla_gated_delta_recurrent") == .fail)
        let report = Verifier(precision: try DeclaredPrecision(parsing: "ggml"), diagnoses: false).verify(
            item.call, inputs: inputs, outputs: outputs)
        #expect(report.problems.contains { $0.contains("gated_delta") }, "\(report.problems)")
    }

    @Test func plantedFaultsAreRejectedAndNamed() throws {
        let names = ["delta-length-64", "delta-packed", "delta-shared-keys", "delta-keys-repeated", "delta-step-many"]
        var (total, named, missed) = (0, 0, [String]())
        for (i, plant) in (DeltaKernel.plants + DeltaKernel.chunkPlants).enumerated() {
            for item in Self.small where names.contains(item.name) {
                let isOfChunks = i >= DeltaKernel.plants.count
                guard item.kind == .gatedDelta || !isOfChunks else { continue }
                let inputs = try item.tensors(in: .f32)
                guard !plant.contains("transposed") || item.name != "delta-shared-keys" else { continue }
                let chunk = isOfChunks ? 32 : nil
                let right = try DeltaKernel(chunk: chunk)(inputs, item.options)
                let wrong = try DeltaKernel(chunk: chunk, plant: plant)(inputs, item.options)
                let effect =
                    wrong.map { name, tensor in
                        right[name].map { Self.difference($0, tensor) } ?? 0
                    }.max() ?? 0
                guard !(effect < 1e-4) else { continue }
                let report = Verifier().verify(item.call, inputs: inputs, outputs: try Self.table(wrong, .f32))
                #expect(report.verdict == .fail, "\(plant) on \(item.name): \(report.lines)")
                total += 1
                let found = report.diagnosis.names
                if found.first == plant { named += 1 } else { missed.append("\(plant) on \(item.name): \(found)") }
            }
        }
        let share = Double(named) / Double(max(total, 1))
        #expect(share >= 0.95, "\(named) of \(total) named first; not \(missed.joined(separator: "; "))")
    }

    @Test func whatDoesNotFitIsRefused() throws {
        let item = try #require(Self.small.first { $0.name == "delta-packed" })
        let good = try item.tensors(in: .f32)
        let outputs = try Self.table(DeltaKernel()(good, item.options), .f32)
        func problems(_ change: (inout TensorTable) throws -> Void, _ options: [String: String] = [:]) throws -> Bool {
            var table = good
            try change(&table)
            var call = item.call
            call.options.merge(options) { $1 }
            return !Verifier().verify(call, inputs: table, outputs: outputs).problems.isEmpty
        }
        let shape = try good.info("q").shape
        #expect(try problems { try $0.add("q", Tensor(repeating: 0, shape: shape.dropLast() + [3]), as: .f32) })
        #expect(try problems { try $0.add("v", Tensor(repeating: 0, shape: []), as: .f32) })
        #expect(try problems { try $0.add("q", Tensor(repeating: .nan, shape: shape), as: .f32) })
        #expect(try problems { try $0.add("g", Tensor(repeating: 1, shape: [1, 97, 2]), as: .f32) })
        #expect(try problems { try $0.add("cu_seqlens", Tensor(shape: [3], unchecked: [0, 98, 40])) })
        #expect(try problems { try $0.add("cu_seqlens", Tensor(shape: [2], unchecked: [0, 40])) })
        #expect(try problems { try $0.add("initial_state", Tensor(repeating: 0, shape: [1, 2, 16, 16]), as: .f32) })
        for options in [["l2norm_epsilon": "-1"], ["scale": "nan"], ["chunk_size": "0"]] {
            #expect(try problems({ _ in }, options), "\(options)")
        }
    }

    /// Keys that are too long and huge values overflow: nothing is promised, and nothing traps.
    @Test func numbersThatGrowWithoutBoundsDoNotTrap() throws {
        let item = try #require(Self.small.first { $0.name == "delta-keys-long" })
        var inputs = try item.tensors(in: .f32)
        let k: Tensor<Double> = try inputs.tensor("k")
        try inputs.add("k", k.map { $0 * 1e6 }, as: .f32)
        let outputs = try Self.table(DeltaKernel(chunk: 32)(inputs, item.options), .f32)
        let report = Verifier().verify(item.call, inputs: inputs, outputs: outputs)
        #expect(report.outputs.count == 2)
        let empty = try Self.table(["o": Tensor(repeating: 0, shape: [1, 0, 2, 16])], .f32)
        for name in ["q", "k", "v"] { try inputs.add(name, Tensor(repeating: 0, shape: [1, 0, 2, 16]), as: .f32) }
        for name in ["g", "beta"] { try inputs.add(name, Tensor(repeating: 0, shape: [1, 0, 2]), as: .f32) }
        #expect(Verifier().verify(item.call, inputs: inputs, outputs: empty).verdict == .unchecked)
    }
}
