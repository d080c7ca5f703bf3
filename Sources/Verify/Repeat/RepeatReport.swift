//  Two results of one kernel held against each other bit for bit: files, or directories of files.

import DualityCore

/// What two runs left, case by case.
public struct RepeatReport: Sendable {
    /// One file of results of both runs.
    public struct Case: Sendable {
        /// The name of its file, without the suffix.
        public let name: String
        /// One for each tensor that could be compared.
        public let outputs: [RepeatedOutput]
        /// What could not be compared, each naming the tensor.
        public let problems: [String]

        /// PASS where all bits are the same, FAIL where some differ, UNCHECKED without outputs.
        public var verdict: Verdict {
            .adding(outputs.map { $0.count == 0 ? .unchecked : $0.isRepeated ? .pass : .fail }, problems: problems)
        }
    }

    /// The path of the first run's results.
    public let first: String
    /// The path of the second run's results.
    public let second: String
    /// The files that both runs have, in the order of their names.
    public let cases: [Case]
    /// Files that only one of the runs has.
    public let missing: [String]
    /// Where the two were compared: system, architecture and cores, in words.
    public let machine: String

    /// FAIL where anything differs or only one run has it; UNCHECKED where nothing was compared.
    public var verdict: Verdict {
        let judged = Verdict.adding(cases.map(\.verdict), problems: [])
        return judged == .unchecked ? .unchecked : missing.isEmpty ? judged : .fail
    }

    /// Compares two files, or two directories of files of the same names.
    ///
    /// - Throws: `InputError` when one is a directory and the other is not, or one is not there.
    public init(_ first: String, _ second: String) throws {
        (self.first, self.second) = (first, second)
        machine = Machine.description
        let areDirectories = [first, second].map(Self.isDirectoryOfResults)
        guard areDirectories[0] == areDirectories[1] else {
            throw InputError(
                .value, in: "--repeat \(second)",
                expected: areDirectories[0] ? "a directory, as \(first) is" : "a file, as \(first) is",
                found: areDirectories[1] ? "a directory" : "a file")
        }
        guard !(areDirectories[0] && isSameDirectory(first, second)) && first != second else {
            throw InputError(
                .value, in: "--repeat \(second)", expected: "the results of another run", found: "the same path twice",
                remedy: "Run the kernel again and write its results elsewhere.")
        }
        guard areDirectories[0] else {
            let name = FileSystem.stem(second)
            cases = [try Self.compare(name, first, second)]
            missing = []
            return
        }
        let (a, b) = (try ResultFiles(first), try ResultFiles(second))
        let common = a.files.keys.filter { b.files[$0] != nil }.sorted()
        missing = Set(a.files.keys).symmetricDifference(b.files.keys).sorted()
        cases = parallelMap(common.count) { i in
            let name = common[i]
            do {
                return try Self.compare(name, a.path(of: name), b.path(of: name))
            } catch {
                return Case(name: name, outputs: [], problems: ["\(name): \(error)"])
            }
        }
    }

    private static func compare(_ name: String, _ first: String, _ second: String) throws -> Case {
        compare(name, try TensorFile(path: first), try TensorFile(path: second))
    }

    /// Compares the outputs of two runs of one call.
    ///
    /// - Parameter names: the outputs that count; nil for all that either run has.
    static func compare(
        _ name: String, _ first: any TensorSource, _ second: any TensorSource, names: [String]? = nil
    ) -> Case {
        var (outputs, problems) = ([RepeatedOutput](), [String]())
        let all = names ?? first.names + second.names.filter { !first.contains($0) }
        for output in all where first.contains(output) || second.contains(output) {
            do {
                outputs.append(try RepeatedOutput(output, first, second))
            } catch {
                problems.append("\(name): \(error)")
            }
        }
        return Case(name: name, outputs: outputs, problems: problems)
    }

    private static func isDirectoryOfResults(_ path: String) -> Bool {
        FileSystem.kind(of: path) == .directory && !NumPyTensors.isDirectoryOfArrays(path)
    }
}

/// The files of results in a directory, by the name of their case.
struct ResultFiles {
    let directory: String
    /// Case to file name.
    let files: [String: String]

    /// - Throws: `InputError` when the directory is not there or holds no file of results.
    init(_ directory: String) throws {
        self.directory = directory
        guard FileSystem.kind(of: directory) == .directory, let names = FileSystem.names(in: directory) else {
            throw InputError(.missingFile, in: directory, expected: "a directory of results", found: "none")
        }
        var files: [String: String] = [:]
        // Sorted, so that of two files of one case it is always the same that is read.
        for file in names.reversed() {
            for suffix in [".npz", ".safetensors"] where file.hasSuffix(suffix) {
                files[String(file.dropLast(suffix.count))] = file
            }
        }
        guard !files.isEmpty else {
            throw InputError(
                .missing, in: directory, expected: "NAME.safetensors or NAME.npz for at least one case",
                found: "no such file")
        }
        self.files = files
    }

    func path(of name: String) -> String { "\(directory)/\(files[name] ?? "\(name).safetensors")" }
}

extension RepeatReport {
    /// The verdict in one line.
    public var headline: String {
        let differing = cases.filter { $0.verdict == .fail }.count
        let words =
            switch verdict {
            case .unchecked: "nothing was compared"
            case .pass: "the same bits in \(cases.count == 1 ? "1 case" : "all \(cases.count) cases")"
            default: "\(differing) of \(cases.count) cases differ from run to run"
            }
        return "\(verdict.rawValue)  \(second) beside \(first): \(words)"
    }

    /// The whole report as lines of text.
    public var text: String {
        var lines = [headline]
        for item in cases where item.verdict == .fail {
            lines.append("\(item.name):")
            lines += item.outputs.filter { !$0.isRepeated }.map { "  \($0.words)" }
            lines += item.problems.map { "  problem: \($0)" }
        }
        let empty = cases.filter { $0.verdict == .unchecked }.map(\.name)
        if !empty.isEmpty { lines.append("not compared, no numbers: \(empty.joined(separator: ", "))") }
        if !missing.isEmpty { lines.append("in one of the two only: \(missing.joined(separator: ", "))") }
        return lines.joined(separator: "\n")
    }

    /// `{"schema": 1, "verdict", "first", "second", "cases": [{"name", "verdict", "outputs", …}],
    /// …}`
    public var json: JSON {
        [
            "schema": 1, "verdict": .string(verdict.rawValue), "first": .string(first), "second": .string(second),
            "machine": .string(machine), "missing": .array(missing.map { .string($0) }),
            "cases": .array(
                cases.map { item in
                    var outputs = JSON.Object()
                    for output in item.outputs { outputs[output.name] = output.json }
                    return [
                        "name": .string(item.name), "verdict": .string(item.verdict.rawValue),
                        "outputs": .object(outputs), "problems": .array(item.problems.map { .string($0) }),
                    ]
                }),
        ]
    }
}

extension RepeatedOutput {
    var json: JSON {
        [
            "repeated": .bool(isRepeated), "count": JSON(count), "differing": JSON(differing),
            "largest_difference": JSON(largest), "relative_difference": JSON(relative),
            "first": first.map { .array($0.map { JSON($0) }) } ?? .null,
            "values": values.map { .array([JSON($0.first), JSON($0.second)]) } ?? .null, "where": .string(place),
        ]
    }
}
