import DualityCore
import DualityNumerics
import DualityReference
import Foundation
import TestSupport
import Testing

@testable import DualityVerify

/// When is it PASS: the rule at its thresholds, how verdicts add up, and that nothing judged is no
/// PASS.
@Suite struct VerdictTests {
    private func figures(_ change: (inout VerdictFigures) -> Void) -> VerdictFigures {
        var figures = VerdictFigures(
            count: 10, judged: 10, largestOverBound: 0.5, largestOverSigma: 3, rmsOverSigma: 1)
        change(&figures)
        return figures
    }

    @Test func theRuleIsTheTable() {
        for (expected, change) in [
            (Verdict.pass, { _ in }), (.pass, { $0.largestOverSigma = 8 }), (.suspect, { $0.largestOverSigma = 8.01 }),
            (.suspect, { $0.largestOverSigma = 32 }), (.fail, { $0.largestOverSigma = 32.01 }),
            (.pass, { $0.rmsOverSigma = 3 }), (.suspect, { $0.rmsOverSigma = 3.01 }), (.fail, { $0.overBound = 1 }),
            (.pass, { ($0.judged, $0.largestOverSigma, $0.rmsOverSigma) = (1, 3.7, 3.7) }),
            (.suspect, { ($0.judged, $0.largestOverSigma, $0.rmsOverSigma) = (1, 8.01, 8.01) }),
            (.suspect, { ($0.judged, $0.largestOverSigma, $0.rmsOverSigma) = (2, 3.7, 3.01) }),
            (.fail, { $0.nonFinite = 1 }), (.fail, { $0.largestOverSigma = .infinity }),
            (.unchecked, { ($0.count, $0.judged) = (0, 0) }), (.unchecked, { $0.judged = 0 }),
        ] as [(Verdict, (inout VerdictFigures) -> Void)] {
            let judgement = Judgement(figures(change))
            #expect(judgement.verdict == expected, "\(figures(change)): \(judgement.verdict), \(judgement.reason)")
        }
    }

    @Test func theWorstPartDecidesAndNothingIsUnchecked() {
        #expect(Verdict.adding([], problems: []) == .unchecked)
        #expect(Verdict.adding([], problems: ["a file"]) == .fail)
        #expect(Verdict.adding([.unchecked, .pass], problems: []) == .pass)
        #expect(Verdict.adding([.pass, .fail, .suspect], problems: []) == .fail)
        #expect(Verdict.allCases.map(\.exitStatus) == [2, 0, 1, 1])
    }

    @Test func noCasesAreUnchecked() {
        let none = Verifier().verify([], candidate: "kernel", reference: "nothing")
        #expect(none.verdict == .unchecked && none.text().hasPrefix("UNCHECKED"))
        #expect(none.json["verdict"]?.string == "UNCHECKED")
    }

    @Test func outputsThatAreAbsentOrHaveNoNumbersAreUnchecked() throws {
        let item = VectorCase.scan("empty", "") { ($0.length, $0.batch) = (5, 1) }
        let table = try item.tensors(in: .f32)
        for outputs in [nil, TensorTable(place: "kernel")] as [TensorTable?] {
            let calls = [JudgedCall(call: item.call, inputs: table, outputs: outputs)]
            let report = Verifier().verify(calls, candidate: "kernel", reference: "case")
            #expect(report.verdict == .unchecked && report.checked.isEmpty, "\(report.text())")
        }
        // Zero rows: every output is there and holds nothing.
        var (none, y) = (TensorTable(place: "none"), TensorTable(place: "kernel"))
        for (name, shape) in [
            ("x", [0, 5, 4, 16]), ("dt", [0, 5, 4]), ("B", [0, 5, 2, 32]), ("C", [0, 5, 2, 32]),
        ] { try none.add(name, Tensor(repeating: 0.0, shape: shape), as: .f32) }
        try none.add("A", Tensor(repeating: -1.0, shape: [4]), as: .f32)
        try y.add("y", Tensor(repeating: 0.0, shape: [0, 5, 4, 16]), as: .f32)
        let report = Verifier().verify(item.call, inputs: none, outputs: y)
        #expect(report.verdict == .unchecked, "\(report)")
        #expect(report.problems.isEmpty ? report.outputs.map(\.count) == [0] : true, "\(report.problems)")
    }

    @Test func aSuiteHeldAgainstItselfOrACopyIsUnchecked() throws {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let (path, copy) = (
            directory.appendingPathComponent("suite").path, directory.appendingPathComponent("copy").path
        )
        try SuiteDirectory.write(.smoke, in: .f32, to: path)
        try FileManager.default.copyItem(atPath: path, toPath: copy)
        for results in [path, "\(path)/../suite", copy] {
            let report = try Verifier().verify(SuiteDirectory(path: path), against: results)
            #expect(report.verdict == .unchecked, "\(results): \(report.text())")
        }
    }

    @Test func aVerdictIsNotChangedByUncheckedOutputs() throws {
        let item = VectorCase.scan("some", "") { $0.length = 5 }
        let table = try item.tensors(in: .f32)
        let judge = try ScanJudge(item.call, inputs: table, precision: .inferred)
        var found = TensorTable(place: "kernel")
        try found.add("y", SSDForm.recurrent.evaluate(judge.inputs).y, as: .f32)
        let report = Verifier().verify(item.call, inputs: table, outputs: found)
        #expect(report.verdict == .pass && report.notChecked == ["final_states"])
    }
}

/// Two runs of one kernel, bit for bit.
@Suite struct RepeatTests {
    private func table(_ y: [Double], format: NumberFormat = .f32) throws -> TensorTable {
        var table = TensorTable(place: "run")
        try table.add("y", Tensor(shape: [1, y.count / 4, 2, 2], elements: y), as: format)
        return table
    }

    @Test func aBitThatDiffersIsFoundAndPlaced() throws {
        var values = (0..<24).map { Double($0) }
        let first = try table(values)
        let same = try RepeatedOutput("y", first, table(values))
        #expect(same.isRepeated && same.count == 24)
        values[14] += 0.5
        values[15] += 1
        let other = try RepeatedOutput("y", first, table(values))
        #expect(other.differing == 2 && other.first == [0, 3, 1, 0] && other.largest == 1)
        #expect(other.place.contains("token 3") && other.place.contains("head 1"), "\(other.place)")
        // The sign of a zero is a bit too.
        values = (0..<24).map { $0 == 0 ? -0.0 : Double($0) }
        #expect(try RepeatedOutput("y", first, table(values)).differing == 1)
        #expect(throws: InputError.self) { _ = try RepeatedOutput("y", first, table(values, format: .bf16)) }
        #expect(throws: InputError.self) { _ = try RepeatedOutput("y", first, table(Array(values[..<8]))) }
    }

    @Test func aRightKernelThatIsNotRepeatableIsSuspect() throws {
        let item = VectorCase.scan("twice", "") { $0.length = 9 }
        let inputs = try item.tensors(in: .f32)
        let judge = try ScanJudge(item.call, inputs: inputs, precision: .inferred)
        let y = try SSDForm.recurrent.evaluate(judge.inputs).y
        func outputs(_ change: Double) throws -> TensorTable {
            var (table, moved) = (TensorTable(place: "kernel"), y)
            moved.elements[40] *= 1 + change
            try table.add("y", moved, as: .f32)
            return table
        }
        for (change, verdict) in [(0.0, Verdict.pass), (1e-7, .suspect)] {
            var call = JudgedCall(call: item.call, inputs: inputs, outputs: try outputs(0))
            call.repeats = [try outputs(change)]
            let report = Verifier().verify([call], candidate: "kernel", reference: "case")
            #expect(report.verdict == verdict, "\(change): \(report.text())")
            #expect(report.text().contains("not repeatable: y: 1 of") == (verdict == .suspect), "\(report.text())")
        }
    }

    @Test func directoriesOfRunsAreCompared() throws {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        func write(_ run: String, _ name: String, _ last: Double) throws {
            let path = directory.appendingPathComponent(run).path
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            var writer = SafetensorsWriter()
            try writer.add("y", from: table([1, 2, 3, last]))
            try writer.write(to: "\(path)/\(name).safetensors")
        }
        func report() throws -> RepeatReport {
            try RepeatReport(
                directory.appendingPathComponent("a").path, directory.appendingPathComponent("b").path)
        }
        for run in ["a", "b"] { for name in ["one", "two"] { try write(run, name, 4) } }
        #expect(try report().verdict == .pass)
        try write("b", "two", 5)
        let found = try report()
        #expect(found.verdict == .fail && found.cases.map(\.verdict) == [.pass, .fail], "\(found.text)")
        #expect(found.json["cases"]?.array?.count == 2)
        #expect(throws: InputError.self) {
            _ = try RepeatReport(
                directory.appendingPathComponent("a").path, directory.appendingPathComponent("a").path)
        }
    }
}
