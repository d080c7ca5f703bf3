//  A kernel's outputs in, a verdict out: the four entries of the module. A call in memory, several
//  of them, a single file (a dump), a directory of results against a suite.
//
//      let report = Verifier().verify(CallDescription(name: "mine", kind: .scan), inputs: tensors, outputs: results)
//
//  Tensors come from anything that is a `TensorSource`: a file, a directory's file, a table in
//  memory. Nothing of what comes from outside is trusted, and nothing of it throws: what cannot be
//  used is a problem in the report, and the rest is judged.

import DualityCore
import DualityNumerics
import DualityReference

/// Judges outputs against the reference.
public struct Verifier: Sendable {
    /// What the kernel is said to compute in.
    public var precision = DeclaredPrecision.inferred
    /// Whether the cause of an error is looked for.
    public var diagnoses = true

    /// Whether two faults at once are tried where one does not explain an error.
    public var seeksPairs = true

    /// A verifier that seeks pairs of faults too, where it looks for causes at all.
    public init(precision: DeclaredPrecision = .inferred, diagnoses: Bool = true) {
        self.precision = precision
        self.diagnoses = diagnoses
    }

    /// Judges one call.
    ///
    /// - Parameters:
    ///   - call: its kind and options.
    ///   - inputs: the operands, by the names of the kind.
    ///   - outputs: the kernel's results. They may be the same source.
    /// - Complexity: ten to thirty times the recurrent form of the operands, on all cores; some
    ///   sixty times more where a fault is looked for, on part of the heads if there is much to do.
    public func verify(_ call: CallDescription, inputs: any TensorSource, outputs: any TensorSource) -> CaseReport {
        var report = CaseReport(name: call.name, kind: call.kind)
        do {
            let judge = try judge(call, inputs)
            let (found, formats) = read(judge, inputs, outputs, into: &report)
            guard !found.isEmpty else { return report }
            let expectations = try judge.expect(found, formats: formats)
            report.precision = expectations.precision
            report.remarks += expectations.remarks
            report.decays = expectations.decays
            report.inputFormat =
                ["x", "activations", "hidden_states", "v"].compactMap { inputs.find($0) }.first?.dtype.rawValue ?? ""
            for expected in expectations.outputs {
                guard let tensor = found[expected.name] else { continue }
                report.outputs.append(
                    OutputReport(
                        of: tensor, dtype: outputs.find(expected.name)?.dtype.rawValue ?? "", against: expected,
                        chunkSize: judge.chunkSize))
            }
            if diagnoses && report.outputs.contains(where: { $0.verdict > .pass }) {
                report.diagnosis = judge.diagnose(found, expectations.outputs, seeksPairs: seeksPairs)
                if report.diagnosis.findings.isEmpty {
                    let corruption =
                        UnwrittenRows.find(found, expectations.outputs)
                        ?? TileCorruption.find(found, expectations.outputs)
                    if let corruption { report.diagnosis.findings = [corruption] }
                    report.diagnosis.structure += ErrorStructure.sentences(
                        found, expectations.outputs, chunkSize: judge.chunkSize, decays: expectations.decays)
                }
            }
        } catch {
            report.problems.append("\(call.name): \(error)")
        }
        return report
    }
}

extension Verifier {
    /// Judges calls, all of them on all cores.
    ///
    /// - Parameters:
    ///   - candidate: what to call the kernel in the report.
    ///   - reference: what to call the suite.
    public func verify(_ calls: [JudgedCall], candidate: String, reference: String) -> Report {
        let reports = parallelMap(calls.count) { i in
            let call = calls[i]
            var report =
                call.outputs.map { verify(call.call, inputs: call.inputs, outputs: $0) }
                ?? CaseReport(name: call.call.name, kind: call.call.kind)
            if let outputs = call.outputs { report.take(repeats: call.repeats, of: outputs) }
            report.catches = call.catches
            return report
        }
        var report = Report(candidate: candidate, reference: reference, cases: reports)
        report.machine = Machine.description
        report.rankAcrossCases()
        return report
    }
}

extension Verifier {
    /// Judges a dump.
    ///
    /// - Parameter results: a second file, where the outputs are not in the first.
    /// - Returns: a report whose verdict is UNCHECKED where the outputs have no numbers.
    /// - Throws: `InputError` when the inputs cannot be read, or no output is there.
    public func verify(_ dump: Dump, against results: String? = nil) throws -> Report {
        let inputs = try dump.source(dump.path)
        _ = try judge(dump.call, inputs)  // what is wrong with the inputs is no verdict on the kernel
        var item = verify(dump.call, inputs: inputs, outputs: try results.map { try dump.source($0) } ?? inputs)
        item.remarks += dump.remarks
        if item.outputs.isEmpty && item.problems.isEmpty {
            throw InputError(
                .missing, in: results ?? dump.path, expected: "an output: \(item.notChecked.joined(separator: ", "))",
                found: "inputs alone", remedy: "If it has another name, say so: --map y=NAME.")
        }
        var report = Report(candidate: results ?? dump.path, reference: "float64 reference", cases: [item])
        report.machine = Machine.description
        return report
    }
}

extension Verifier {
    /// Judges the results of a kernel on a suite, all cases on all cores.
    ///
    /// A case of which there is no file is left unchecked. What is wrong with a file is a problem
    /// of its case.
    ///
    /// - Parameters:
    ///   - suite: the test vectors.
    ///   - results: the directory where the kernel's author wrote NAME.safetensors (or NAME.npz)
    ///     for each case.
    ///   - again: a directory with the results of another run, whose bits must be the same.
    /// - Returns: a report whose verdict is UNCHECKED where no result was judged, as when the
    ///   directory is that of the suite.
    /// - Throws: `InputError` when the directory is not there, or holds no file of results.
    public func verify(
        _ suite: SuiteDirectory, against results: String, repeated again: String? = nil
    ) throws -> Report {
        try verify(suite, against: results, repeated: again, on: LocalCases())
    }

    /// The same, where `runner` carries out the cases; the report is that of its first process.
    package func verify(
        _ suite: SuiteDirectory, against results: String, repeated again: String?, on runner: any CaseRunner
    ) throws -> Report {
        let found = try ResultFiles(results)
        let repeats = try again.map { try ResultFiles($0) }
        let known = Set(suite.entries.map(\.stem))
        let strangers = found.files.keys.filter { !known.contains($0) }.sorted()
        var single = self
        single.seeksPairs = false
        let verifier = single
        let costs = suite.costs(found)
        var reports = try runner.results(of: Array(suite.entries.indices), costs: costs) { i in
            verifier.verify(suite.entries[i], of: suite, found, repeats)
        }
        // Two faults at once are sought on a few cases: if a kernel has two, most cases show both.
        let unexplained = reports.indices.filter { i in
            reports[i].diagnosis.findings.isEmpty && reports[i].outputs.contains { $0.verdict > .pass }
        }.sorted { reports[$0].size < reports[$1].size }
        if seeksPairs && diagnoses {
            // From the middle: the smallest cases show little, the largest take long.
            let chosen = Array(
                unexplained.dropFirst(unexplained.count / WorkLimits.casesSkippedForPairs)
                    .prefix(WorkLimits.casesForPairs))
            let thorough = self
            let again = try runner.results(of: chosen, costs: chosen.map { costs[$0] }) { i in
                thorough.verify(suite.entries[i], of: suite, found, repeats)
            }
            for (i, report) in zip(chosen, again) { reports[i] = report }
        }
        var report = Report(candidate: results, reference: suite.path, cases: reports)
        if isSameDirectory(results, suite.path) {
            report.problems.append("\(results) is the suite itself: it holds operands and no results")
        }
        for name in strangers {
            let near = nearest(name, among: known.subtracting(found.files.keys))
            report.problems.append(
                "\(found.path(of: name)): no case is called so" + (near.map { "; is it meant for \($0)?" } ?? ""))
        }
        report.machine = Machine.description
        report.rankAcrossCases()
        return report
    }
}
