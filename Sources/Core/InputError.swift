//  The one shape of every complaint about something that came from outside: where, what was
//  expected, what was found, what to do. Code inside the package traps on its own mistakes; it
//  never traps on a user's data.

/// Something the caller gave us cannot be used.
public struct InputError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The class of the mistake, for programs and tests.
    public enum Kind: String, Sendable, Codable {
        /// A file or directory that is not there.
        case missingFile
        /// A file that cannot be read or written for a reason of the operating system.
        case inaccessibleFile
        /// A file that ends before its contents do.
        case truncated
        /// A file whose contents break its format.
        case malformed
        /// JSON that does not parse, or a field of another type.
        case json
        /// A tensor or key that is required and absent.
        case missing
        /// A name that nothing uses.
        case unknown
        /// A shape that does not fit.
        case shape
        /// A number format that does not fit.
        case dtype
        /// A value out of its range.
        case value
        /// A value that is not a finite number.
        case notFinite
        /// A thing that is well formed and that this version does not do.
        case unsupported
    }

    /// What a program tells mistakes apart by.
    public let kind: Kind
    /// The file, tensor, key or flag, from the outside in: `model.safetensors: model.norm.weight`.
    public let place: String
    /// What would have been right, as a noun: `a whole number`.
    public let expected: String
    /// What is there instead, as a noun.
    public let found: String
    /// What to do about it, as a sentence; empty when the first three say it.
    public let remedy: String

    /// A complaint from its parts; `place` goes from the outside in.
    public init(_ kind: Kind, in place: String, expected: String, found: String, remedy: String = "") {
        self.kind = kind
        self.place = place
        self.expected = expected
        self.found = found
        self.remedy = remedy
    }

    public var description: String {
        let sentence = "\(place): expected \(expected), found \(found)"
        return remedy.isEmpty ? sentence : "\(sentence). \(remedy)"
    }

    /// The same complaint with an outer place in front, such as the file that holds the tensor.
    public func within(_ outer: String) -> InputError {
        InputError(kind, in: "\(outer): \(place)", expected: expected, found: found, remedy: remedy)
    }
}
