//  A directory of results against a directory of test vectors.

import DualityCore
import Foundation

extension Verifier {
    /// Judges the results of a kernel on a suite, all cases on all cores.
    ///
    /// A case of which there is no file is left unchecked. What is wrong with a file is a problem
    /// of its case.
    ///
    /// - Parameters:
    ///   - suite: the test vectors.
    ///   - results: the directory where the kernel's author wrote NAME.safetensors for each case.
    /// - Throws: `InputError` when the directory is not there, or holds no result of any case.
    public func verify(_ suite: SuiteDirectory, against results: String) throws -> Report {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: results, isDirectory: &isDirectory), isDirectory.boolValue else {
            throw InputError(
                .missingFile, in: results, expected: "a directory of results", found: "none",
                remedy: "It holds NAME.safetensors for each case of \(suite.path).")
        }
        let files = try FileManager.default.contentsOfDirectory(atPath: results).filter { $0.hasSuffix(".safetensors") }
        let known = Set(suite.entries.map(\.file))
        let strangers = files.filter { !known.contains($0) }.sorted()
        guard !files.isEmpty else {
            throw InputError(
                .missing, in: results, expected: "NAME.safetensors for at least one case of \(suite.path)",
                found: "no such file")
        }
        let present = Set(files)
        var single = self
        single.seeksPairs = false
        let verifier = single
        var reports = parallelMap(suite.entries.count) { i in
            verifier.verify(
                suite.entries[i], of: suite, results: results, isPresent: present.contains(suite.entries[i].file))
        }
        // Two faults at once are sought on a few cases: if a kernel has two, most cases show both.
        let unexplained = reports.indices.filter { i in
            reports[i].diagnosis.findings.isEmpty && reports[i].outputs.contains { $0.verdict != .pass }
        }.sorted { reports[$0].size < reports[$1].size }
        if seeksPairs && diagnoses {
            // From the middle: the smallest cases show little, the largest take long.
            let chosen = Array(unexplained.dropFirst(unexplained.count / 3).prefix(4))
            let again = parallelMap(chosen.count) { i in
                verify(suite.entries[chosen[i]], of: suite, results: results, isPresent: true)
            }
            for (i, report) in zip(chosen, again) { reports[i] = report }
        }
        var report = Report(candidate: results, reference: suite.path, cases: reports)
        for file in strangers {
            let near = nearest(file, among: known.subtracting(present))
            report.problems.append(
                "\(results)/\(file): no case is called so" + (near.map { "; is it meant for \($0)?" } ?? ""))
        }
        report.machine = Machine.description
        report.rankAcrossCases()
        return report
    }

    private func verify(
        _ entry: SuiteDirectory.Entry, of suite: SuiteDirectory, results: String, isPresent: Bool
    ) -> CaseReport {
        var report = CaseReport(name: entry.call.name, kind: entry.call.kind)
        if isPresent {
            do {
                let place = "\(suite.path)/\(entry.file)"
                let inputs = try SafetensorsFile(path: place)
                try entry.requireHash(of: place)
                do {
                    let outputs = try SafetensorsFile(path: "\(results)/\(entry.file)")
                    report = verify(entry.call, inputs: inputs, outputs: outputs)
                } catch {
                    report.problems.append("\(entry.call.name): \(error)")
                    report.verdict = .fail
                }
            } catch {
                report.problems.append("\(entry.call.name): the test vectors cannot be used: \(error)")
                report.verdict = .fail
            }
        }
        (report.catches, report.seed, report.hash) = (entry.catches, entry.seed, entry.hash)
        return report
    }

    private func nearest(_ name: String, among names: Set<String>) -> String? {
        names.map { (distance(Array(name), Array($0)), $0) }.filter { $0.0 <= 4 }.min { $0 < $1 }?.1
    }

    /// Insertions, deletions and replacements between two names.
    private func distance(_ a: [Character], _ b: [Character]) -> Int {
        var row = Array(0...b.count)
        for i in a.indices {
            var diagonal = row[0]
            row[0] = i + 1
            for j in b.indices {
                let above = row[j + 1]
                row[j + 1] = min(above + 1, row[j] + 1, diagonal + (a[i] == b[j] ? 0 : 1))
                diagonal = above
            }
        }
        return row[b.count]
    }
}

extension SuiteDirectory.Entry {
    /// Throws when the file of a case is not the one the manifest was written for: a kernel is not
    /// to blame for that.
    fileprivate func requireHash(of place: String) throws {
        guard !hash.isEmpty else { return }
        let found = try Data(contentsOf: URL(fileURLWithPath: place)).withUnsafeBytes { sha256($0) }
        guard found == hash else {
            throw InputError(
                .malformed, in: place,
                expected: "a file whose SHA-256 begins with \(hash.prefix(12)), as the manifest says",
                found: "\(found.prefix(12))", remedy: "Write the suite again with: duality vectors")
        }
    }
}

/// The machine a report was made on.
enum Machine {
    static var description: String {
        #if os(Linux)
            let system = "Linux"
        #else
            let system = "macOS"
        #endif
        #if arch(x86_64)
            let architecture = "x86_64"
        #else
            let architecture = "arm64"
        #endif
        return "\(system) \(architecture), \(ProcessInfo.processInfo.activeProcessorCount) cores"
    }
}
