//  Several calls of one kernel, judged together in memory: what a suite in a directory is, without
//  the files.

import DualityCore

/// A call of a kernel and what came out of it.
public struct JudgedCall: Sendable {
    public let call: CallDescription
    public let inputs: any TensorSource
    /// nil where the kernel does not do this call; it is reported as not checked.
    public let outputs: (any TensorSource)?
    /// What the call is there to catch.
    public let catches: String

    public init(
        call: CallDescription, inputs: any TensorSource, outputs: (any TensorSource)?, catches: String = ""
    ) {
        self.call = call
        self.inputs = inputs
        self.outputs = outputs
        self.catches = catches
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
            report.catches = call.catches
            return report
        }
        var report = Report(candidate: candidate, reference: reference, cases: reports)
        report.machine = Machine.description
        report.rankAcrossCases()
        return report
    }
}
