//  One case of a suite on the disk: its vectors, its result, and which case a stray file may be
//  meant for.

import DualityCore

extension Verifier {
    func verify(
        _ entry: SuiteDirectory.Entry, of suite: SuiteDirectory, _ results: ResultFiles, _ repeats: ResultFiles?
    ) -> CaseReport {
        var report = CaseReport(name: entry.call.name, kind: entry.call.kind)
        if results.files[entry.stem] != nil {
            do {
                let place = "\(suite.path)/\(entry.file)"
                let inputs = try SafetensorsFile(path: place)
                try entry.requireHash(of: place)
                do {
                    let outputs = try TensorFile(path: results.path(of: entry.stem))
                    report = verify(entry.call, inputs: inputs, outputs: outputs)
                    report.remarks += outputs.remarks
                    if let repeats {
                        if repeats.files[entry.stem] == nil {
                            report.remarks.append("\(repeats.directory) has no second run of it")
                        } else {
                            report.take(repeats: [try TensorFile(path: repeats.path(of: entry.stem))], of: outputs)
                        }
                    }
                } catch {
                    report.problems.append("\(entry.call.name): \(error)")
                }
            } catch {
                report.problems.append("\(entry.call.name): the test vectors cannot be used: \(error)")
            }
        }
        (report.catches, report.seed, report.hash) = (entry.catches, entry.seed, entry.hash)
        return report
    }

    func nearest(_ name: String, among names: Set<String>) -> String? {
        names.map { (distance(name, $0), $0) }.filter { $0.0 <= 4 }.min { $0 < $1 }?.1
    }
}

/// Whether two paths lead to one directory.
func isSameDirectory(_ a: String, _ b: String) -> Bool {
    FileSystem.resolved(a) == FileSystem.resolved(b)
}

extension CaseReport {
    /// Holds further runs of the call against the first.
    mutating func take(repeats: [any TensorSource], of first: any TensorSource) {
        let judged = outputs.map(\.name)
        for run in repeats {
            let item = RepeatReport.compare(name, first, run, names: judged)
            self.repeats += item.outputs
            problems += item.problems
        }
    }
}

extension SuiteDirectory.Entry {
    /// The name of the file without its suffix, by which results are found.
    var stem: String { file.hasSuffix(".safetensors") ? String(file.dropLast(12)) : file }

    /// Throws when the file of a case is not the one the manifest was written for: a kernel is not
    /// to blame for that.
    func requireHash(of place: String) throws {
        guard !hash.isEmpty else { return }
        let found = try MappedFile(path: place).withBytes { sha256($0) }
        guard found == hash else {
            throw InputError(
                .malformed, in: place,
                expected: "a file whose SHA-256 begins with \(hash.prefix(12)), as the manifest says",
                found: "\(found.prefix(12))", remedy: "Write the suite again with: duality vectors")
        }
    }
}

extension SuiteDirectory {
    /// How long the cases take beside each other, by the bytes of their operands; nothing where
    /// there is no result of theirs among `results`.
    func costs(_ results: ResultFiles? = nil) -> [Int] {
        entries.map { entry in
            if let results, results.files[entry.stem] == nil { return 0 }
            return FileSystem.byteCount("\(path)/\(entry.file)") ?? 0
        }
    }

    /// What processes that judge results together must all see, by name.
    ///
    /// - Throws: `InputError` when the results cannot be listed.
    package func facts(_ directories: [String]) throws -> [(name: String, value: String)] {
        var facts = [("suite", try MappedFile(path: "\(path)/manifest.json").withBytes { sha256($0) })]
        for (i, directory) in directories.enumerated() {
            let results = try ResultFiles(directory)
            var hash = ContentHash()
            for name in results.files.keys.sorted() {
                let file = results.path(of: name)
                hash.add(name)
                hash.add([FileSystem.byteCount(file) ?? -1])
                // Enough of each to tell two runs apart.
                if let mapped = try? MappedFile(path: file) {
                    mapped.withBytes { bytes in
                        hash.add(UnsafeRawBufferPointer(rebasing: bytes.prefix(4096)))
                        hash.add(UnsafeRawBufferPointer(rebasing: bytes.suffix(4096)))
                    }
                }
            }
            facts.append((i == 0 ? "results" : "results of another run", hash.text))
        }
        return facts
    }
}
