//  What a case is a call of, and the options of that call, which tensors do not show. Files carry
//  them in their string table:
//
//      kind          scan | step | gradients | convolution | gated_norm | mixer | matmul
//      dt_softplus   true | false          dt_limit   LO,HI          chunk_size   Q
//
//  and whatever else a kind needs (`epsilon`, `group_size`, …).

import DualityCore

/// The operation a case is a call of.
public enum CaseKind: String, Sendable, CaseIterable {
    /// The operator over whole sequences: y and the final states.
    case scan
    /// The operator token by token from a given state, as decoding does it.
    case step
    /// The operator backwards.
    case gradients
    /// The depthwise causal convolution with its activation.
    case convolution
    /// The norm with a gate at the end of a mixer.
    case gatedNorm = "gated_norm"
    /// A whole Mamba-2 mixer.
    case mixer
    /// A matrix product with quantized operands.
    case matmul
}

/// A call: its kind and options.
public struct CallDescription: Sendable {
    public var name: String
    public var kind: CaseKind
    /// Every option by name, as text.
    public var options: [String: String]

    public init(name: String, kind: CaseKind, options: [String: String] = [:]) {
        self.name = name
        self.kind = kind
        self.options = options
    }

    /// Reads kind and options from the string table of a file; a file without one is a scan.
    ///
    /// - Throws: `InputError` for a kind that is none.
    public init(name: String, metadata: [String: String]) throws(InputError) {
        var options = metadata
        let text = options.removeValue(forKey: "kind") ?? CaseKind.scan.rawValue
        guard let kind = CaseKind(rawValue: text) else {
            throw InputError(
                .value, in: "\(name): kind", expected: CaseKind.allCases.map(\.rawValue).joined(separator: ", "),
                found: "\"\(text)\"")
        }
        self.init(name: name, kind: kind, options: options)
    }

    func flag(_ name: String, default value: Bool) throws(InputError) -> Bool {
        guard let text = options[name] else { return value }
        switch text.lowercased() {
        case "true", "1": return true
        case "false", "0": return false
        default:
            throw InputError(.value, in: "\(self.name): \(name)", expected: "true or false", found: "\"\(text)\"")
        }
    }

    func number(_ name: String, default value: Double) throws(InputError) -> Double {
        guard let text = options[name] else { return value }
        guard let number = Double(text) else {
            throw InputError(.value, in: "\(self.name): \(name)", expected: "a number", found: "\"\(text)\"")
        }
        return number
    }

    func count(_ name: String) throws(InputError) -> Int? {
        guard let text = options[name] else { return nil }
        guard let number = Int(text), number > 0 else {
            throw InputError(.value, in: "\(self.name): \(name)", expected: "a positive integer", found: "\"\(text)\"")
        }
        return number
    }

    /// `dt_limit` as a range.
    func limits() throws(InputError) -> ClosedRange<Double> {
        guard let text = options["dt_limit"] else { return 0...(.infinity) }
        let parts = text.split(separator: ",").map { Double($0.drop { $0 == " " }) }
        guard parts.count == 2, let low = parts[0], let high = parts[1], low <= high else {
            throw InputError(.value, in: "\(name): dt_limit", expected: "LO,HI with LO <= HI", found: "\"\(text)\"")
        }
        return low...high
    }
}
