//  A call of a kernel and what came out of it, in memory: what a case of a suite in a directory is,
//  without the files.

import DualityCore

/// A call of a kernel and what came out of it.
public struct JudgedCall: Sendable {
    /// The operation, its options, and what the report calls the case.
    public let call: CallDescription
    /// The operands, by the names in `CaseKind.tensors`.
    public let inputs: any TensorSource
    /// nil where the kernel does not do this call; it is reported as not checked.
    public let outputs: (any TensorSource)?
    /// What came out of further runs of the same call; their bits must be those of `outputs`.
    public var repeats: [any TensorSource] = []
    /// What the call is there to catch.
    public let catches: String

    /// A call and one run of it; nothing is read before it is judged.
    public init(
        call: CallDescription, inputs: any TensorSource, outputs: (any TensorSource)?, catches: String = ""
    ) {
        self.call = call
        self.inputs = inputs
        self.outputs = outputs
        self.catches = catches
    }
}
