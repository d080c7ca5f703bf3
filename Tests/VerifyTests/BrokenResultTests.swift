import DualityCore
import DualityReference
import Foundation
import TestSupport
import Testing

@testable import DualityVerify

/// Whatever a result file is, the case and the tensor are named and the rest is judged.
@Suite struct BrokenResultTests {
    let directory: URL

    init() throws { directory = try Fixtures.temporaryDirectory() }

    private func path(_ name: String) -> String { directory.appendingPathComponent(name).path }

    /// A suite with right results of every scan.
    private func prepare() throws -> SuiteDirectory {
        let scans = VectorSuite.smoke.cases.filter { [.scan, .step].contains($0.kind) }
        try SuiteDirectory.write(scans, called: "smoke", in: .f32, to: path("suite"))
        let suite = try SuiteDirectory(path: path("suite"))
        try FileManager.default.createDirectory(atPath: path("results"), withIntermediateDirectories: true)
        for entry in suite.entries {
            let inputs = try SafetensorsFile(path: "\(suite.path)/\(entry.file)")
            let judge = try ScanJudge(entry.call, inputs: inputs, precision: .inferred)
            let outputs = try SSDForm.recurrent.evaluate(judge.inputs)
            try write(ScanResult(outputs).table("r", y: .f32, packed: judge.inputs.packing != nil), entry.file)
        }
        return suite
    }

    private func write(_ table: TensorTable, _ file: String) throws {
        var writer = SafetensorsWriter()
        for name in table.names { try writer.add(name, from: table) }
        try writer.write(to: path("results/\(file)"))
    }

    @Test func aRightSuitePasses() throws {
        let report = try Verifier().verify(prepare(), against: path("results"))
        #expect(report.verdict == .pass, "\(report.text())")
        #expect(report.checked.count == 12)
        #expect(report.json["schema"]?.int == 1 && report.json["verdict"]?.string == "PASS")
    }

    @Test func everyKindOfBrokenFileIsNamedAndTheRestJudged() throws {
        let suite = try prepare()
        // Cut off, of wrong shape, of wrong type, full of NaN, with a misnamed tensor, misnamed
        // itself, absent.
        let data = try Data(contentsOf: directory.appendingPathComponent("results/length-1.safetensors"))
        try data.prefix(data.count - 9).write(to: directory.appendingPathComponent("results/length-1.safetensors"))
        var table = TensorTable(place: "t")
        try table.add("y", Tensor(repeating: 1.0, shape: [1, 4, 64, 16]), as: .f32)
        try write(table, "length-64.safetensors")
        table = TensorTable(place: "t")
        try table.add("y", Tensor(repeating: 1, shape: [1, 131, 4, 16]))
        try write(table, "length-131.safetensors")
        table = TensorTable(place: "t")
        try table.add("y", Tensor(repeating: Double.nan, shape: [1, 195, 4, 16]), as: .f32)
        try write(table, "packed-offsets.safetensors")
        table = TensorTable(place: "t")
        try table.add("out", Tensor(repeating: 1.0, shape: [1, 150, 4, 16]), as: .f32)
        try write(table, "packed-states.safetensors")
        try FileManager.default.moveItem(
            atPath: path("results/decay-80.safetensors"), toPath: path("results/decay80.safetensors"))
        try FileManager.default.removeItem(atPath: path("results/dt-tiny.safetensors"))
        try Data("not a file of tensors".utf8).write(
            to: directory.appendingPathComponent("results/dt-huge.safetensors"))

        let report = try Verifier().verify(suite, against: path("results"))
        #expect(report.verdict == .fail)
        let cases = Dictionary(uniqueKeysWithValues: report.cases.map { ($0.name, $0) })
        for (name, word) in [
            ("length-1", "length-1"), ("length-64", "y"), ("length-131", "y"), ("packed-states", "out"),
            ("dt-huge", "dt-huge"),
        ] {
            let problems = cases[name]?.problems ?? []
            #expect(
                cases[name]?.verdict == .fail && problems.contains { $0.contains(name) && $0.contains(word) },
                "\(name): \(problems)")
        }
        #expect(cases["packed-offsets"]?.verdict == .fail)
        #expect(cases["packed-offsets"]?.outputs.first?.nonFinite == 195 * 64)
        #expect(cases["dt-tiny"]?.isUnchecked == true)
        #expect(report.problems.contains { $0.contains("decay80") && $0.contains("decay-80") }, "\(report.problems)")
        #expect(cases["step-plain"]?.verdict == .pass && cases["square-state"]?.verdict == .pass)
    }

    /// A kernel is not to blame for vectors that are not those of the manifest.
    @Test func changedVectorsAreNotBlamedOnTheKernel() throws {
        let suite = try prepare()
        let file = directory.appendingPathComponent("suite/dt-huge.safetensors")
        var data = try Data(contentsOf: file)
        data[data.count - 3] ^= 0x10
        try data.write(to: file)
        let report = try Verifier().verify(suite, against: path("results"))
        let changed = report.cases.first { $0.name == "dt-huge" }
        #expect(changed?.problems.contains { $0.contains("dt-huge") && $0.contains("SHA-256") } == true)
        #expect(changed?.outputs.isEmpty == true)
        #expect(report.cases.allSatisfy { $0.verdict == .pass || $0.name == "dt-huge" })
    }

    /// Faults that no zoo has, on which the place must be right.
    @Test func unlistedFaultsAreRejectedAndLocated() throws {
        let item = VectorCase.scan("unlisted", "") { ($0.length, $0.heads, $0.xHeads) = (80, 4, 4) }
        let table = try item.tensors(in: .f32)
        let judge = try ScanJudge(item.call, inputs: table, precision: .inferred)
        let right = ScanResult(try SSDForm.recurrent.evaluate(judge.inputs))
        func place(_ t: Int, _ h: Int, _ p: Int) -> Int { (t * 4 + h) * 16 + p }
        /// A mistake in y, and where it must be found.
        func check(_ words: String, token: Int, head: Int, _ change: (inout Tensor<Double>) -> Void) throws {
            var wrong = right
            change(&wrong.y)
            let report = try Verifier().verify(
                item.call, inputs: table, outputs: wrong.table("r", y: .f32, packed: false))
            let first = report.outputs.first { $0.name == "y" }?.firstOutside
            #expect(report.verdict == .fail, "\(words): \(report.verdict)")
            #expect(first?.token == token && first?.head == head, "\(words): \(first?.words ?? "nowhere")")
        }
        try check("an index off in one head", token: 0, head: 2) { y in
            for t in 0..<80 { for p in 0..<16 { y.elements[place(t, 2, p)] = right.y.elements[place(t, 1, p)] } }
        }
        try check("a stale buffer", token: 37, head: 3) { y in
            for t in 37..<41 { for p in 0..<16 { y.elements[place(t, 3, p)] = right.y.elements[place(t - 16, 3, p)] } }
        }
        try check("two versions of a tile mixed", token: 48, head: 1) { y in
            for t in 48..<64 { for p in stride(from: 1, to: 8, by: 2) { y.elements[place(t, 1, p)] *= 1.001 } }
        }
        try check("a wrong constant", token: 5, head: 0) { y in
            for t in 5..<80 { for p in 0..<16 { y.elements[place(t, 0, p)] *= 1.0001 } }
        }
        try check("one number lost", token: 79, head: 3) { y in y.elements[place(79, 3, 15)] = 0 }
    }

    /// Memory that a kernel does not write: the last block of tokens, rows of a batch, NaN and all.
    @Test(arguments: [Fill.zeros, .notANumber, .old]) func rowsThatWereSkippedAreNamed(fill: Fill) throws {
        let item = VectorCase.scan("skipped", "") { ($0.batch, $0.length, $0.heads, $0.xHeads) = (2, 80, 4, 4) }
        let table = try item.tensors(in: .f32)
        let judge = try ScanJudge(item.call, inputs: table, precision: .inferred)
        let right = ScanResult(try SSDForm.recurrent.evaluate(judge.inputs))
        let width = right.y.count / 160
        for (rows, words) in [
            (77..<80, "batch 0, tokens 77-79"), (80..<160, "batch 1, tokens 0-79"), (95..<96, "token 15"),
        ] {
            var wrong = right
            for row in rows {
                for i in 0..<width {
                    wrong.y.elements[row * width + i] =
                        switch fill {
                        case .zeros: 0
                        case .notANumber: .nan
                        case .old: right.y.elements[(row + 40) % 160 * width + i]
                        }
                }
            }
            let report = try Verifier().verify(
                item.call, inputs: table, outputs: wrong.table("r", y: .f32, packed: false))
            #expect(report.verdict == .fail, "\(fill) in \(words)")
            let first = report.diagnosis.findings.first
            #expect(first?.names == ["rows-not-written"], "\(fill) in \(words): \(report.diagnosis.names)")
            #expect(first?.scope?.contains(words) == true, "\(first?.scope ?? "nowhere")")
        }
    }

    enum Fill: CaseIterable { case zeros, notANumber, old }
}
