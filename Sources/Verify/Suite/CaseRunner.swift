//  Who carries out the cases of a suite: the cores of this process, or those of several processes
//  that share them out.

import DualityCore

/// Carries out cases that have nothing to do with each other.
package protocol CaseRunner {
    /// What `work` makes of each case, in the order of `cases`.
    ///
    /// Several processes call it together, with the same `work`. The first decides on the cases and
    /// gets the results; the others carry out what it hands to them, and get an empty list.
    ///
    /// - Parameters:
    ///   - cases: numbers of cases.
    ///   - costs: how long each takes beside the others; those that take longest begin first.
    ///   - work: what is done with a case, on any thread.
    func results<Value: Portable & Sendable>(
        of cases: [Int], costs: [Int], _ work: @escaping @Sendable (Int) -> Value
    ) throws -> [Value]
}

/// The cores of this process.
package struct LocalCases: CaseRunner {
    package init() {}

    package func results<Value: Portable & Sendable>(
        of cases: [Int], costs: [Int], _ work: @escaping @Sendable (Int) -> Value
    ) -> [Value] {
        parallelMap(cases.count) { work(cases[$0]) }
    }
}
