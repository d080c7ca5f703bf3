//  What processes that share out the cases of a suite send each other, and that nothing of a report
//  is lost on the way.

import DualityCore
import DualityReference
import Foundation
import TestSupport
import Testing

@testable import DualityVerify

/// Carries out cases in another order than that of the suite and sends every result as bytes, as
/// processes do.
private struct SentCases: CaseRunner {
    func results<Value: Portable & Sendable>(
        of cases: [Int], costs: [Int], _ work: @escaping @Sendable (Int) -> Value
    ) throws -> [Value] {
        let sent = cases.reversed().map { work($0).portableBytes }
        return try sent.reversed().map { try Value(portableBytes: $0) }
    }
}

/// What a process gets that is not the first.
private struct NoCases: CaseRunner {
    func results<Value: Portable & Sendable>(
        of cases: [Int], costs: [Int], _ work: @escaping @Sendable (Int) -> Value
    ) -> [Value] { [] }
}

@Suite struct SharedCasesTests {
    private static let place = Place(
        index: [0, 7], token: 7, head: nil, channel: 3, row: 0, chunk: nil, positionInChunk: 2, found: -.nan,
        expected: -0.0, bound: nil, sigma: 1e-300)

    /// A report whose every field has a value of its own.
    private static func full() -> CaseReport {
        var report = CaseReport(name: "n", kind: .gatedDeltaStep)
        (report.catches, report.problems, report.notChecked) = ("c", ["p", "q"], ["final_states"])
        report.outputs = [
            OutputReport(
                name: "y", verdict: .suspect, shape: [1, 2], dtype: "F32", maxError: 1, rmsError: 2, relativeError: 3,
                errorOverBound: 4, errorOverSigma: 5, rmsOverSigma: 6, medianOverSigma: 7, errorOverFloor: 8,
                condition: nil, ulps: [9, 10, 11, .infinity], count: 12, overBound: 13, overSigma: 14, nonFinite: 15,
                firstOutside: place, worst: nil,
                growth: Growth(tokens: [16], rms: [17], overSigma: [18], words: "w", exponent: 19),
                map: ErrorMap(tokens: [20], heads: 21, overSigma: [22], headRMS: [23]), reason: "r")
        ]
        report.diagnosis = Diagnosis(
            findings: [
                Finding(names: ["f", "g"], scope: "head 2", remainder: 24, worst: 25, explained: 26, isTied: true)
            ], structure: ["s"])
        report.precision = "bf16"
        report.remarks = ["m"]
        (report.inputFormat, report.hash, report.seed, report.decays) = ("F16", "h", 27, [28, 29])
        return report
    }

    private func text(_ value: some Any) -> String {
        var text = ""
        dump(value, to: &text)
        return text
    }

    /// A field that is added and not sent would come back as in a report without it.
    @Test func everyFieldOfAReportComesBack() throws {
        var report = Self.full()
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        var (first, second) = (TensorTable(place: "a"), TensorTable(place: "b"))
        try first.add("y", Tensor(shape: [1, 3, 1, 1], elements: [1.0, 2, 3]), as: .f32)
        try second.add("y", Tensor(shape: [1, 3, 1, 1], elements: [1.0, .nan, 4]), as: .f32)
        report.repeats = [try RepeatedOutput("y", first, second), try RepeatedOutput("y", first, first)]
        let blank = Mirror(reflecting: CaseReport(name: "", kind: .scan)).children.map { text($0.value) }
        for (child, without) in zip(Mirror(reflecting: report).children, blank) {
            #expect(text(child.value) != without, "\(child.label ?? ""): give it a value in this test")
        }
        let found = try CaseReport(portableBytes: report.portableBytes)
        #expect(text(found) == text(report))
        #expect(found.outputs[0].firstOutside?.found.bitPattern == (-Double.nan).bitPattern)
        let bytes = report.portableBytes
        for count in stride(from: 0, to: bytes.count, by: 7) {
            #expect(throws: InputError.self) { try CaseReport(portableBytes: Array(bytes[..<count])) }
        }
    }

    @Test func aSurveyComesBack() throws {
        var survey = FormSurvey()
        for item in SSDCaseGenerator(seed: 9, budget: 500).prefix(6) { try survey.take(item) }
        let found = try FormSurvey(portableBytes: survey.portableBytes)
        #expect(text(found) == text(survey) && found.cases == 6)
        #expect(text(FormSurvey()) != text(survey))
        let histogram = RatioHistogram()
        #expect(try RatioHistogram(portableBytes: histogram.portableBytes) == histogram)
        var wrong = PortableWriter()
        wrong.add(each: 1, 1.0, [641], [1])
        #expect(throws: InputError.self) { try RatioHistogram(portableBytes: wrong.bytes) }
    }

    /// Right results, wrong ones, a broken file, none; and the seal of the same suite.
    @Test func aReportOfSentCasesIsThatOfOneProcess() throws {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        func path(_ name: String) -> String { directory.appendingPathComponent(name).path }
        let names = ["length-1", "length-2", "length-64", "length-131", "tiny-dims"]
        let cases = VectorSuite.standard.cases.filter { names.contains($0.name) }
        try SuiteDirectory.write(cases, called: "some", in: .f32, to: path("suite"))
        let suite = try SuiteDirectory(path: path("suite"))
        try FileSystem.makeDirectory(path("results"))
        for (i, entry) in suite.entries.dropLast().enumerated() {
            let inputs = try SafetensorsFile(path: "\(suite.path)/\(entry.file)")
            let judge = try ScanJudge(entry.call, inputs: inputs, precision: .inferred)
            var outputs = try SSDForm.recurrent.evaluate(judge.inputs)
            if i == 1 { outputs.y.elements[0] += 0.25 }
            var writer = SafetensorsWriter()
            let table = try ScanResult(outputs).table("r", y: .f32, packed: false)
            for name in table.names { try writer.add(name, from: table) }
            try writer.write(to: path("results/\(entry.file)"))
            if i == 2 { try Data([1, 2, 3]).write(to: URL(fileURLWithPath: path("results/\(entry.file)"))) }
        }
        let alone = try Verifier().verify(suite, against: path("results"), repeated: path("results"))
        let sent = try Verifier().verify(suite, against: path("results"), repeated: path("results"), on: SentCases())
        #expect(alone.verdict == .fail && alone.cases.contains { !$0.problems.isEmpty } && alone.cases.count == 5)
        #expect(sent.json.serialized() == alone.json.serialized())
        #expect(sent.text(verbose: true) == alone.text(verbose: true))
        #expect(sent.markdown == alone.markdown && sent.html == alone.html)
        #expect(sent.verdict.exitStatus == alone.verdict.exitStatus)
        let other = try Verifier().verify(suite, against: path("results"), repeated: nil, on: NoCases())
        #expect(other.cases.isEmpty)

        // What processes compare before they begin.
        let facts = try suite.facts([path("results")]).map(\.value)
        #expect(try suite.facts([path("results")]).map(\.value) == facts)
        try Data([1, 2, 4]).write(to: URL(fileURLWithPath: path("results/\(suite.entries[2].file)")))
        #expect(try suite.facts([path("results")]).map(\.value) != facts)

        _ = try SuiteSeal(sealing: suite.path)
        try Data([0]).write(to: URL(fileURLWithPath: path("suite/expected/\(suite.entries[1].file)")))
        let sealed = try SealReport(checking: suite.path)
        #expect(sealed.verdict == .fail && sealed.problems.count == 1)
        let sentSeal = try SealReport(checking: suite.path, on: SentCases())
        #expect(sentSeal.json.serialized() == sealed.json.serialized() && sentSeal.text == sealed.text)
    }
}
