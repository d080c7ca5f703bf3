import DualityCore
import DualityNumerics
import DualityReference
import TestSupport
import Testing

@testable import DualityVerify

/// What the suites ask for, and what they refuse to be asked for.
@Suite struct SuiteTests {
    private var standard: [VectorCase] { VectorSuite.standard.cases }

    @Test func namesAreUnique() {
        for suite in VectorSuite.allCases {
            let names = suite.cases.map(\.name)
            #expect(Set(names).count == names.count)
        }
    }

    @Test func theWidthsThatModelsHaveAreThere() throws {
        var (heads, states): (Set<Int>, Set<Int>) = ([], [])
        for item in standard where item.kind == .scan {
            let table = try item.tensors(in: .f32)
            heads.insert(try table.info("x").shape[3])
            states.insert(try table.info("B").shape[3])
        }
        for width in [64, 80, 96, 128, 160, 192, 256] {
            #expect(heads.contains(width), "no head of \(width)")
            #expect(states.contains(width), "no state of \(width)")
        }
    }

    @Test func convolutionsAreCalledForFewerTokensThanTaps() throws {
        var short: Set<[Int]> = []
        var isPacked = false
        for item in standard where item.kind == .convolution {
            let table = try item.tensors(in: .f32)
            let (length, width) = (try table.info("x").shape[1], try table.info("weight").shape[2])
            guard length < width, table.contains("initial_window") else { continue }
            short.insert([width, length])
            isPacked = isPacked || table.contains("seq_idx")
        }
        #expect(short == [[2, 1], [3, 1], [3, 2], [4, 1], [4, 2], [4, 3]] && isPacked, "\(short)")
    }

    @Test func gradientsAreAskedForAtLengthsAroundTheChunk() throws {
        var lengths: Set<Int> = []
        for item in standard where item.kind == .gradients && item.options["chunk_size"] == "32" {
            lengths.insert(try item.tensors(in: .f32).info("x").shape[1])
        }
        #expect(lengths.isSuperset(of: [1, 31, 32, 33]), "\(lengths)")
    }

    @Test func aShapeIsThatOfEveryCase() throws {
        var shape = SuiteShape()
        for (name, size) in [("heads", 6), ("x_heads", 3), ("groups", 2), ("head_dim", 5), ("state", 7), ("chunk", 4)] {
            try shape.set(name, to: size)
        }
        let cases = try shape.cases()
        #expect(Set(cases.map(\.kind)) == [.scan, .step, .gradients] && Set(cases.map(\.name)).count == cases.count)
        for item in cases {
            let table = try item.tensors(in: .bf16)
            let (x, b, dt) = (try table.info("x").shape, try table.info("B").shape, try table.info("dt").shape)
            #expect(x[2...] == [3, 5] && b[2...] == [2, 7] && dt[2] == 6, "\(item.name): \(x) \(b) \(dt)")
            #expect(try !Verifier().judge(item.call, table).outputs.isEmpty, "\(item.name)")
        }
        #expect(cases.contains { $0.options["chunk_size"] == "4" })
    }

    @Test(arguments: [1, 2, 3]) func anyChunkHasAShape(chunk: Int) throws {
        var shape = SuiteShape()
        (shape.chunk, shape.headDim, shape.stateDim) = (chunk, 2, 2)
        for length in [nil, 1, 2] as [Int?] {
            shape.length = length
            for item in try shape.cases() { _ = try item.tensors(in: .f32) }
        }
    }

    @Test func shapesThatDoNotFitAreRefused() {
        for (name, size) in [("heads", 0), ("state", -1), ("chunk", 1 << 20), ("width", 4), ("groups", 3)] {
            #expect(throws: InputError.self, "\(name) = \(size)") {
                var shape = SuiteShape()
                try shape.set(name, to: size)
                _ = try shape.cases()
            }
        }
        #expect(throws: InputError.self) {
            var shape = SuiteShape()
            for name in ["heads", "head_dim", "state", "length"] { try shape.set(name, to: 65_536) }
            _ = try shape.cases()
        }
    }

    @Test func optionsOfOtherKindsAndMisspeltOnesAreRefused() throws {
        let scan = CallDescription(name: "call", kind: .scan)
        try scan.requireKnown(["dt_softplus", "chunk_size", "kind"], in: "options")
        for (name, word) in [("dt_sofplus", "dt_softplus"), ("epsilon", "gated_norm"), ("nonsense", "chunk_size")] {
            let error = #expect(throws: InputError.self) { try scan.requireKnown([name], in: "options") }
            #expect(error?.description.contains(word) == true, "\(error as Any)")
        }
        try scan.requireNoMisspeltOperand(["x", "dt", "foreign", "dt_bias"], in: "inputs")
        #expect(throws: InputError.self) { try scan.requireNoMisspeltOperand(["x", "dt_biass"], in: "inputs") }
    }

    /// The reference passes everything that the suite asks of scans, in every format that it comes
    /// in.
    @Test(arguments: [NumberFormat.f32, .bf16]) func theReferencePassesTheNewCases(format: NumberFormat) throws {
        let cases = VectorSuite.widths.filter { $0.kind != .gradients }
        let reports = try parallelMap(cases.count) { i in
            Result {
                let table = try cases[i].tensors(in: format)
                let judge = try ScanJudge(cases[i].call, inputs: table, precision: .inferred)
                let outputs = ScanResult(try SSDForm.recurrent.evaluate(judge.inputs))
                return try Verifier().verify(
                    cases[i].call, inputs: table, outputs: outputs.table("right", y: format, packed: false))
            }
        }.map { try $0.get() }
        for report in reports { #expect(report.verdict == .pass, "\(report.name): \(report.lines)") }
    }
}
