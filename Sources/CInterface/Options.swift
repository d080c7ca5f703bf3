//  The options of a call: one JSON object, of which every key is known.

import DualityCore
import DualityReference

/// The options of a call, read key by key.
struct Options {
    let fields: JSONFields

    /// - Parameters:
    ///   - text: a JSON object; NULL or empty for none.
    ///   - known: every key there is.
    /// - Throws: `InputError`: `.json` when it is not an object, `.unknown` for another key.
    init(_ text: UnsafePointer<CChar>?, known: [String]) throws(InputError) {
        let text = text.map { String(cString: $0) } ?? ""
        fields = try JSONFields(JSON(parsing: text.isEmpty ? "{}" : text, place: "options"), place: "options")
        if let other = fields.object.names.first(where: { !known.contains($0) }) {
            throw InputError(
                .unknown, in: "options", expected: "keys among \(known.joined(separator: ", "))", found: "\"\(other)\"")
        }
    }

    /// Keys that say how the step is made; every function that takes operands knows them.
    static let stepKeys = ["dt_softplus", "dt_limit"]

    var softplus: Bool {
        get throws(InputError) { try fields.bool("dt_softplus") ?? true }
    }

    var limit: ClosedRange<Double> {
        get throws(InputError) {
            guard let pair = try fields.array("dt_limit") else { return 0...(.infinity) }
            let numbers = pair.map(\.double)
            guard numbers.count == 2, let lower = numbers[0], let upper = numbers[1], lower <= upper else {
                throw InputError(
                    .value, in: fields.place(of: "dt_limit"), expected: "[lo, hi] with lo <= hi",
                    found: JSON.array(pair).serialized())
            }
            return lower...upper
        }
    }

    /// One of a few words; the first when it is absent.
    func word(_ key: String, of words: [String]) throws(InputError) -> String {
        let word = try fields.string(key) ?? words[0]
        guard words.contains(word) else {
            throw InputError(
                .value, in: fields.place(of: key), expected: "one of \(words.joined(separator: ", "))",
                found: "\"\(word)\"")
        }
        return word
    }

    /// Keys that choose a form.
    static let formKeys = ["form", "chunk_size", "leaf", "tree"]

    /// - Throws: `InputError`, also (`.unknown`) for a parameter of a form that is not asked for.
    var form: SSDForm {
        get throws(InputError) {
            let size = 1...Int(Int32.max)
            let form = try word("form", of: ["recurrent", "chunked", "quadratic", "associative", "convolution"])
            for (key, owner) in [("chunk_size", "chunked"), ("leaf", "associative"), ("tree", "associative")]
            where form != owner && fields[key] != nil {
                throw InputError(
                    .unknown, in: fields.place(of: key), expected: "no such option of the \(form) form",
                    found: fields[key]?.kindName ?? "", remedy: "It belongs to \"form\": \"\(owner)\".")
            }
            switch form {
            case "chunked": return .chunked(size: try fields.int("chunk_size", in: size) ?? 256)
            case "quadratic": return .quadratic
            case "associative":
                let tree: ScanTree =
                    switch try word("tree", of: ["balanced", "left", "right"]) {
                    case "left": .left
                    case "right": .right
                    default: .balanced
                    }
                return .associative(tree: tree, leaf: try fields.int("leaf", in: size) ?? 1)
            case "convolution": return .convolution
            default: return .recurrent
            }
        }
    }
}
