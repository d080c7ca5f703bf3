import DualityCore
import DualityNumerics
import DualityReference
import Foundation
import TestSupport
import Testing

@testable import DualityVerify

/// What calls of Gated KalmaNet may be handed in, and what the conformance model leaves.
@Suite struct KalmanInputTests {
    private static func item() throws -> VectorCase { try #require(KalmanTests.chosen("packed").first) }

    @Test func whatDoesNotFitIsRefused() throws {
        let item = try Self.item()
        let good = try item.tensors(in: .f32)
        let outputs = try KalmanTests.table(KalmanKernel()(good, item.options), .f32)
        func problems(_ change: (inout TensorTable) throws -> Void, _ options: [String: String] = [:]) throws -> Bool {
            var table = good
            try change(&table)
            var call = item.call
            call.options.merge(options) { $1 }
            let report = Verifier().verify(call, inputs: table, outputs: outputs)
            return report.verdict == .fail && !report.problems.isEmpty
        }
        #expect(try !problems { _ in })
        let shape = try good.info("q").shape
        for name in ["q", "k", "v"] {
            #expect(try problems { try $0.add(name, Tensor(repeating: 0, shape: shape.dropLast() + [3]), as: .f32) })
            #expect(try problems { try $0.add(name, Tensor(repeating: 0, shape: []), as: .f32) })
            #expect(try problems { try $0.add(name, Tensor(repeating: 0, shape: [1, 9, 3, 4]), as: .f32) })
        }
        for name in good.names where name != "cu_seqlens" {
            let shape = try good.info(name).shape
            for number in [Double.nan, .infinity] {
                #expect(try problems { try $0.add(name, Tensor(repeating: number, shape: shape), as: .f32) }, "\(name)")
            }
            #expect(try problems { try $0.add(name, Tensor(repeating: 0, shape: shape + [1]), as: .f32) }, "\(name)")
        }
        #expect(try problems { try $0.add("g", Tensor(repeating: 1, shape: [1, 9, 2]), as: .f32) })
        #expect(try problems { try $0.add("cu_seqlens", Tensor(shape: [3], unchecked: [0, 10, 4])) })
        #expect(try problems { try $0.add("cu_seqlens", Tensor(shape: [2], unchecked: [0, 4])) })
        for options in [
            ["l2norm_epsilon": "-1"], ["scale": "nan"], ["chunk_size": "0"], ["num_iter": "-1"],
            ["num_iter": "1000000"], ["num_iter": "3.5"], ["ridge_strength": "-0.1"], ["ridge_strength": "inf"],
            ["use_forgetting_gate_kk": "perhaps"],
        ] {
            #expect(try problems({ _ in }, options), "\(options)")
        }
    }

    /// Tensors without numbers may declare any size; states would have numbers all the same.
    @Test func sizesThatNothingHoldsAreRefused() throws {
        let huge = 1 << 40
        for shape in [
            [huge, 0, 2, 4], [0, 2, huge, 4], [0, 2, 2, huge], [1, 0, huge, huge], [1, 0, Int.max, Int.max],
        ] {
            var table = TensorTable(place: "t")
            for name in ["q", "k", "v"] { try table.add(name, Tensor(shape: shape, unchecked: [Double]()), as: .f32) }
            let call = CallDescription(name: "c", kind: .kalman)
            let report = Verifier().verify(call, inputs: table, outputs: TensorTable(place: "o"))
            #expect(report.problems.contains { $0.contains("q") }, "\(shape): \(report.problems)")
        }
    }

    /// Empty calls, and numbers beyond all formats.
    @Test func nothingAndHugeNumbersDoNotTrap() throws {
        let item = try Self.item()
        var inputs = try item.tensors(in: .f32)
        for name in ["q", "k", "v", "initial_gram", "initial_memory"] {
            let tensor: Tensor<Double> = try inputs.tensor(name)
            try inputs.add(name, tensor.map { $0 * 1e37 }, as: .f32)
        }
        var call = item.call
        call.options["use_qk_l2norm_in_kernel"] = "false"
        for chunk in [nil, 4] {
            let outputs = try KalmanTests.table(KalmanKernel(chunk: chunk)(inputs, call.options), .f32)
            let report = Verifier().verify(call, inputs: inputs, outputs: outputs)
            #expect(report.outputs.count == 3 && report.verdict != .pass, "\(report.lines)")
        }
        var empty = TensorTable(place: "t")
        for name in ["q", "k", "v"] { try empty.add(name, Tensor(repeating: 0, shape: [1, 0, 2, 4]), as: .f32) }
        var outputs = TensorTable(place: "o")
        try outputs.add("o", Tensor(repeating: 0, shape: [1, 0, 2, 4]), as: .f32)
        let nothing = CallDescription(name: "c", kind: .kalman)
        #expect(Verifier().verify(nothing, inputs: empty, outputs: outputs).verdict == .unchecked)
        // A gram that is none: not symmetric, and with a negative eigenvalue.
        var odd = try item.tensors(in: .f32)
        let gram: Tensor<Double> = try odd.tensor("initial_gram")
        let wrong = Tensor(shape: gram.shape, unchecked: gram.elements.indices.map { Double($0 % 5) - 2 })
        try odd.add("initial_gram", wrong, as: .f32)
        let right = try KalmanTests.operands(item, odd).evaluate(.recurrent)
        let report = try Verifier().verify(
            item.call, inputs: odd,
            outputs: KalmanTests.table(
                ["o": right.o.reshaped([1, 9, 2, 4]), "final_gram": right.gram, "final_memory": right.memory], .f32))
        #expect(report.verdict == .pass, "\(report.lines)")
    }

    /// A key of zeros before any other: x is 0, and so is o.
    @Test func aKeyOfZerosSolvesToNothing() throws {
        let item = try #require(KalmanTests.chosen("bare").first)
        var inputs = try item.tensors(in: .f32)
        var k: Tensor<Double> = try inputs.tensor("k")
        for i in 0..<8 { k.elements[i] = 0 }
        try inputs.add("k", k, as: .f32)
        let outputs = try KalmanKernel()(inputs, item.options)
        #expect(outputs["o"]?.elements[..<8].allSatisfy { $0 == 0 } == true)
        let report = try Verifier().verify(item.call, inputs: inputs, outputs: KalmanTests.table(outputs, .f32))
        #expect(report.verdict == .pass, "\(report.lines)")
    }
}
