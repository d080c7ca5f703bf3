//  What is wrong, as far as it can be named.

/// A known fault, or a pair of them, whose output is the kernel's.
public struct Finding: Sendable {
    /// One fault, or two that occur together.
    public let names: [String]
    /// Where it acts, if not everywhere: `head 2`.
    public let scope: String?
    /// Root mean square of (kernel - faulty reference) / sigma; 1 is a difference as rounding makes
    /// it.
    public let remainder: Double
    /// The largest of these.
    public let worst: Double
    /// The share of the squared error that the fault accounts for.
    public let explained: Double
    /// Whether its output cannot be told from that of the finding before it, on these operands.
    public var isTied = false

    /// `initial-state-ignored (head 2)`
    public var title: String {
        names.joined(separator: " + ") + (scope.map { " (\($0))" } ?? "")
    }
}

/// The outcome of looking for the cause of an error.
public struct Diagnosis: Sendable {
    /// Best first; empty where no known fault explains the error.
    public var findings: [Finding]
    /// What the error looks like, in sentences.
    public var structure: [String]

    /// By default nothing was found, or nothing was looked for.
    public init(findings: [Finding] = [], structure: [String] = []) {
        self.findings = findings
        self.structure = structure
    }

    /// Every fault that is named, best first.
    public var names: [String] {
        var names: [String] = []
        for name in findings.flatMap(\.names) where !names.contains(name) { names.append(name) }
        return names
    }
}
