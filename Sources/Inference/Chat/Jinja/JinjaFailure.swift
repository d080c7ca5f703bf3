//  What stops a template program, and how much work it may make.

import DualityCore

/// Why a template cannot be read or run.
struct JinjaFailure: Error {
    enum Kind {
        /// Not a template: the text does not parse.
        case syntax
        /// A part of Jinja that chat templates do not use.
        case unsupported
        /// Something went wrong while it ran.
        case runtime
        /// The template itself refused the conversation with `raise_exception`.
        case raised
        /// It asked for too much work.
        case limit
    }

    let kind: Kind
    let message: String
    /// The line of the template, from 1; 0 when it is not known.
    var line = 0

    init(_ kind: Kind, _ message: String, line: Int = 0) {
        self.kind = kind
        self.message = message
        self.line = line
    }

    /// The complaint that a person gets.
    func inputError(place: String, remedy: String) -> InputError {
        let place = line > 0 ? "\(place), line \(line)" : place
        switch kind {
        case .syntax:
            return InputError(.malformed, in: place, expected: "a Jinja template", found: message, remedy: remedy)
        case .unsupported:
            return InputError(
                .unsupported, in: place, expected: "the part of Jinja that chat templates use", found: message,
                remedy: remedy)
        case .runtime:
            return InputError(
                .value, in: place, expected: "a template that runs on this conversation", found: message, remedy: remedy
            )
        case .raised:
            return InputError(
                .value, in: place, expected: "a conversation that the template takes", found: message, remedy: remedy)
        case .limit:
            return InputError(
                .unsupported, in: place, expected: "a template that renders a conversation with little work",
                found: message, remedy: remedy)
        }
    }
}

/// How much a template may do. Real templates stay below a hundredth of each.
struct JinjaLimits {
    /// Expressions evaluated, statements executed, and 64 bytes looked at each count as one.
    var steps = 3_000_000
    /// Bytes of strings, and 64 for each item of a list or member of a dictionary, that are made.
    var bytes = 48 << 20
    /// Statements and expressions inside each other, calls of macros included: a thread of a server
    /// has 512 KiB of stack.
    var depth = 150
    /// Lists and dictionaries inside each other.
    var nesting = 100
    /// Bytes of the template's source.
    static let source = 1 << 20
    /// Words, symbols and spaces of a tag: a chain of operators is taken apart link by link, on the
    /// stack.
    static let tagParts = 4_000
    /// Tags and brackets inside each other in the source.
    static let sourceDepth = 100

    /// Limits that leave room for a conversation of so many bytes.
    init(conversationBytes: Int = 0) {
        steps += 20 * conversationBytes
        bytes += 64 * conversationBytes
    }
}
