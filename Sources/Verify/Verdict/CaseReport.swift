//  What is said about one case, and about a whole run. How their verdicts come about is in
//  Verdict.swift.

import DualityCore

/// The verdict on one call of a kernel, with its reasons.
public struct CaseReport: Sendable {
    /// What the suite, or who called, calls the case.
    public let name: String
    /// The operation that was called.
    public let kind: CaseKind
    /// What the case is there to catch; empty for a dump of the user's own.
    public var catches = ""
    /// One for each output that was handed in and could be judged.
    public var outputs: [OutputReport] = []
    /// What could not be used, each naming the tensor; any of these makes the verdict FAIL.
    public var problems: [String] = []
    /// Outputs that the kind has and that were not handed in.
    public var notChecked: [String] = []
    /// What explains the errors; empty where every output passes or nothing was looked for.
    public var diagnosis = Diagnosis()
    /// The outputs of further runs of the same call, held against the first bit for bit; empty
    /// where there was one run.
    public var repeats: [RepeatedOutput] = []
    /// What the verdict rests on.
    public var precision = ""
    /// What else a reader should know, in sentences; it changes no verdict.
    public var remarks: [String] = []
    /// The format of the operands, and the SHA-256 of the file they came from.
    public var inputFormat = ""
    /// The SHA-256 of the operands' file as the manifest has it; empty outside suites on the disk.
    public var hash = ""
    /// What the operands were drawn from, as the manifest has it; nil outside suites on the disk.
    public var seed: UInt64?
    /// The mean -dt A of a token, of each head.
    public var decays: [Double] = []

    /// What the outputs and problems add up to; UNCHECKED where there are none.
    public var verdict: Verdict {
        let differing = repeats.filter { !$0.isRepeated }
        return .adding(outputs.map(\.verdict) + differing.map { _ in .suspect }, problems: problems)
    }

    /// Nothing of the case was judged.
    public var isUnchecked: Bool { verdict == .unchecked }

    /// Tokens, where some output has them.
    var tokens: Int { outputs.compactMap { $0.growth?.tokens.last }.max() ?? 0 }

    /// Numbers in all outputs.
    var size: Int { outputs.reduce(0) { $0 + $1.count } }

    /// A report in which nothing has been judged yet.
    public init(name: String, kind: CaseKind) {
        self.name = name
        self.kind = kind
    }
}

/// The outcome of a whole run.
public struct Report: Sendable {
    /// What was verified: the directory or file of results.
    public var candidate: String
    /// Against what: the suite, or the dump itself.
    public var reference: String
    /// One for each case, also those of which nothing was judged.
    public var cases: [CaseReport]
    /// What is wrong outside all cases, such as a file of no case's name.
    public var problems: [String] = []
    /// Where the cases were judged: system, architecture and cores, in words.
    public var machine = ""

    /// A report of cases that have been judged; the machine is not filled in.
    public init(candidate: String, reference: String, cases: [CaseReport]) {
        self.candidate = candidate
        self.reference = reference
        self.cases = cases
    }

    /// The worst verdict of any case; UNCHECKED where no case was judged, whatever else is wrong.
    public var verdict: Verdict {
        checked.isEmpty ? .unchecked : .adding(checked.map(\.verdict), problems: problems)
    }

    /// The cases of which something was judged.
    public var checked: [CaseReport] { cases.filter { !$0.isUnchecked } }

    /// The faults that explain most cases, best first, with their numbers of cases.
    public var leadingFaults: [(name: String, cases: Int)] {
        var votes: [String: Int] = [:]
        var order: [String] = []
        for item in cases {
            let best = item.diagnosis.findings.prefix { $0.isTied || $0.title == item.diagnosis.findings.first?.title }
            for name in Set(best.flatMap(\.names)) {
                if votes[name] == nil { order.append(name) }
                votes[name, default: 0] += 1
            }
        }
        return order.map { ($0, votes[$0] ?? 0) }.sorted { a, b in a.1 == b.1 ? a.0 < b.0 : a.1 > b.1 }
    }

    /// Puts the findings of each case that cannot be told apart there in the order of how many
    /// cases they explain.
    mutating func rankAcrossCases() {
        let votes = Dictionary(uniqueKeysWithValues: leadingFaults.map { ($0.name, $0.cases) })
        for i in cases.indices {
            var findings = cases[i].diagnosis.findings
            guard !findings.isEmpty else { continue }
            let tied = findings.prefix(1) + findings.dropFirst().prefix { $0.isTied }
            guard tied.count > 1 else { continue }
            func votesOf(_ finding: Finding) -> Int { finding.names.compactMap { votes[$0] }.min() ?? 0 }
            var ordered = tied.enumerated().sorted { a, b in
                let (x, y) = (votesOf(a.element), votesOf(b.element))
                return x == y ? a.offset < b.offset : x > y
            }.map(\.element)
            for j in ordered.indices { ordered[j].isTied = j > 0 }
            findings.replaceSubrange(0..<tied.count, with: ordered)
            cases[i].diagnosis.findings = findings
        }
    }
}
