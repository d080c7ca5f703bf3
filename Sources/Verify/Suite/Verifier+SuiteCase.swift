//  One case of a suite on the disk: its vectors, its result, and which case a stray file may be
//  meant for.

import DualityCore
import Foundation

extension Verifier {
    func verify(
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

    func nearest(_ name: String, among names: Set<String>) -> String? {
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
