//  Whether this version expects what another one sealed.

import DualityCore
import DualityNumerics
import DualityReference

/// A sealed suite held against what this version expects.
public struct SealReport: Sendable {
    /// One case of the suite.
    public struct Case: Sendable {
        /// The case's name.
        public let name: String
        /// Numbers of all outputs.
        public let count: Int
        /// Those whose bits are the sealed ones.
        public let same: Int
        /// The largest difference, relative to the output's largest number.
        public let largestShare: Double
        /// The first number that is not the sealed one, in a sentence; nil where all agree.
        public let disagreement: String?
    }

    /// The directory of the suite.
    public let path: String
    /// The hash that the seal has, of everything.
    public let hash: String
    /// The cases that could be compared, in the order of the manifest.
    public let cases: [Case]
    /// What could not be compared, in sentences.
    public let problems: [String]

    /// PASS where every number agrees, FAIL where one does not or a file is not the sealed one.
    public var verdict: Verdict {
        .adding(cases.map { $0.count == 0 ? .unchecked : $0.disagreement == nil ? .pass : .fail }, problems: problems)
    }

    /// Computes what is expected of the cases anew and compares it.
    ///
    /// - Throws: `InputError` for a directory that is no suite or not sealed, or whose manifest is
    ///   not the one that was sealed.
    public init(checking path: String, progress: (_ done: Int, _ of: Int) -> Void = { _, _ in }) throws {
        try self.init(checking: path, on: nil, progress: progress)
    }

    /// The same, where `runner` carries out the cases, without a word about its progress; the
    /// report is that of its first process.
    package init(
        checking path: String, on runner: (any CaseRunner)?, progress: (_ done: Int, _ of: Int) -> Void = { _, _ in }
    ) throws {
        self.path = path
        let suite = try SuiteDirectory(path: path)
        let place = "\(path)/manifest.json"
        let manifest = try JSON(contentsOf: place)
        guard manifest["seal"]?["schema"]?.int == 1, let hash = manifest["seal"]?["sha256"]?.string,
            let listed = manifest["cases"]?.array
        else {
            throw InputError(
                .missing, in: "\(place): seal", expected: "a seal of schema 1", found: "none",
                remedy: "Seal a suite as it is written: duality vectors \(path) --seal")
        }
        self.hash = hash
        let found = SuiteSeal.hash(of: listed)
        guard found == hash else {
            throw InputError(
                .malformed, in: "\(place): seal.sha256", expected: "the hash of its cases, \(found.prefix(12))…",
                found: "\(hash.prefix(12))…", remedy: "The manifest was changed after it was sealed.")
        }
        let compare: @Sendable (Int) -> Outcome = { i in
            Outcome(suite.entries[i].call.name) { try Self.compare(suite.entries[i], listed[i], in: path) }
        }
        let outcomes =
            try runner?.results(of: Array(suite.entries.indices), costs: suite.costs(), compare)
            ?? SuiteSeal.each(suite.entries, progress) { compare($0) }.map { try $0.get() }
        (cases, problems) = (outcomes.compactMap(\.item), outcomes.compactMap(\.problem))
    }

    /// A case that was compared, or why it could not be.
    private struct Outcome: Portable {
        var item: Case?
        var problem: String?

        init(_ name: String, _ compare: () throws -> Case) {
            do { item = try compare() } catch { problem = "\(name): \(error)" }
        }

        func write(to bytes: inout PortableWriter) {
            bytes.add(each: item, problem)
        }

        init(from bytes: inout PortableReader) throws(InputError) {
            (item, problem) = (try bytes.next(), try bytes.next())
        }
    }

    private static func compare(_ entry: SuiteDirectory.Entry, _ item: JSON, in path: String) throws -> Case {
        let inputs = "\(path)/\(entry.file)"
        try entry.requireHash(of: inputs)
        let place = "\(path)/\(SuiteSeal.folder)/\(entry.stem).safetensors"
        let found = try MappedFile(path: place).withBytes { sha256($0) }
        guard let hash = item["expected"]?["sha256"]?.string, hash == found else {
            throw InputError(
                .malformed, in: place, expected: "the file that was sealed", found: "another, \(found.prefix(12))…")
        }
        let sealed = try SafetensorsFile(path: place)
        let now = try SealedExpectation(entry.call, inputs: SafetensorsFile(path: inputs))
        let isRounded = now.certificate != nil && item["expected"]?["digits"]?.string == "double-double"
        var (count, same, share) = (0, 0, 0.0)
        var disagreement: String?
        for name in now.values.keys.sorted() {
            guard let values = now.values[name] else { continue }
            let before: Tensor<Double> = try sealed.tensor(name)
            try before.requireShape(values.shape, "\(place): \(name)")
            let largest = SealLimits.largest(before)
            share = max(share, SealLimits.share(values, of: before))
            for i in values.elements.indices {
                let (a, b) = (values.elements[i], before.elements[i])
                count += 1
                if a.bitPattern == b.bitPattern { same += 1 }
                guard disagreement == nil, !SealLimits.agree(a, b, largest: largest, isRounded: isRounded) else {
                    continue
                }
                disagreement = "\(name)[\(i)]: sealed \(b), now \(a)"
            }
        }
        let names = Set(now.values.keys)
        if disagreement == nil, let other = sealed.names.first(where: { !names.contains($0) }) {
            disagreement = "\(other) was sealed and is expected no more"
        }
        return Case(name: entry.call.name, count: count, same: same, largestShare: share, disagreement: disagreement)
    }

    /// The report in lines, the verdict first.
    public var text: String {
        let (count, same) = cases.reduce((0, 0)) { ($0.0 + $1.count, $0.1 + $1.same) }
        let largest = cases.map(\.largestShare).max() ?? 0
        var lines = [
            "\(verdict.rawValue)  \(path): \(cases.count) cases, \(count) numbers, \(same) of them bit for bit as sealed; "
                + "largest difference \(largest) of an output's largest number",
            "seal \(hash)",
        ]
        lines += cases.compactMap { item in item.disagreement.map { "\(item.name): \($0)" } }
        return (lines + problems).joined(separator: "\n")
    }

    /// The report as JSON.
    public var json: JSON {
        let listed = cases.map { item -> JSON in
            [
                "name": .string(item.name), "numbers": JSON(item.count), "same_bits": JSON(item.same),
                "largest_difference": JSON(item.largestShare),
                "disagreement": item.disagreement.map { .string($0) } ?? .null,
            ]
        }
        return [
            "verdict": .string(verdict.rawValue), "suite": .string(path), "seal": .string(hash),
            "cases": .array(listed), "problems": .array(problems.map { .string($0) }),
        ]
    }
}
