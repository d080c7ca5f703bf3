//  The metrics of task files.

import DualityCore
import Foundation

/// A metric with its options.
struct YamlMetric: Sendable {
    enum Kind: String, CaseIterable, Sendable {
        case exactMatch = "exact_match"
        case acc
        case accNorm = "acc_norm"
        case accBytes = "acc_bytes"
        case bitsPerByte = "bits_per_byte"
        case bytePerplexity = "byte_perplexity"
        case wordPerplexity = "word_perplexity"
        case perplexity

        /// Whether rows count by the length of their text.
        var isOverText: Bool {
            [.bitsPerByte, .bytePerplexity, .wordPerplexity, .perplexity].contains(self)
        }
    }

    let kind: Kind
    private var ignoresCase = false
    private var ignoresPunctuation = false
    private var ignoresNumbers = false
    private var ignored: [PythonRegex] = []

    init(_ kind: Kind) { self.kind = kind }

    /// - Throws: `InputError` with the line of a metric or option outside the subset.
    init(_ entry: YamlValue, _ type: YamlTask.OutputType) throws(InputError) {
        guard let metric = entry["metric"] else { throw entry.mistake("an entry with its metric") }
        let allowed = Self.kinds(of: type)
        guard let kind = Kind(rawValue: try metric.string("metric")), allowed.contains(kind) else {
            throw InputError(
                .unsupported, in: metric.place,
                expected: "for \(type.rawValue): \(allowed.map(\.rawValue).joined(separator: ", "))",
                found: try metric.string("metric"))
        }
        self.kind = kind
        for (key, value) in entry.map ?? [] {
            switch key {
            case "metric", "higher_is_better": break
            case "aggregation":
                let names = ["mean", "weighted_perplexity", "bits_per_byte", "perplexity"]
                guard names.contains(try value.string(key)) else { throw value.mistake(names.joined(separator: ", ")) }
            case "ignore_case": ignoresCase = try value.bool(key)
            case "ignore_punctuation": ignoresPunctuation = try value.bool(key)
            case "ignore_numbers": ignoresNumbers = try value.bool(key)
            case "regexes_to_ignore":
                for pattern in try value.list(key) {
                    ignored.append(try PythonRegex(pattern.string(key), place: pattern.place))
                }
            default:
                throw InputError(
                    .unsupported, in: value.place,
                    expected: "ignore_case, ignore_punctuation, ignore_numbers or regexes_to_ignore",
                    found: "'\(key)' of a metric")
            }
        }
    }

    static func kinds(of type: YamlTask.OutputType) -> [Kind] {
        switch type {
        case .generateUntil: [.exactMatch]
        case .multipleChoice: [.acc, .accNorm, .accBytes]
        case .logLikelihood: [.perplexity]
        case .rolling: [.wordPerplexity, .bytePerplexity, .bitsPerByte]
        }
    }

    /// Whether two texts are the same after what is ignored is gone.
    func areEqual(_ a: Scalars, _ b: Scalars) throws(InputError) -> Bool { try compared(a) == compared(b) }

    private func compared(_ text: Scalars) throws(InputError) -> Scalars {
        var text = text
        for pattern in ignored { text = try pattern.replacing(in: text, with: "") }
        if ignoresCase { text = text.lowered }
        if ignoresPunctuation { text.removeAll(where: \.isASCIIPunctuation) }
        if ignoresNumbers { text.removeAll { $0.isASCII && $0.isDecimalDigit } }
        return text
    }

    /// A row's value, and the length that it counts by.
    func likelihood(_ sum: Double, _ text: String) -> (Double, weight: Double) {
        let length: Double
        switch kind {
        case .bitsPerByte, .bytePerplexity: length = Double(text.utf8.count)
        case .wordPerplexity:
            // `re.split(r"\s+")`: white space at an end makes an empty word.
            let scalars = Scalars(text)
            let empty = [scalars.first, scalars.last].filter { $0?.isPythonSpace == true }.count
            length = Double(scalars.words.count + (scalars.isBlank ? min(scalars.count, 1) + 1 : empty))
        default: length = 1
        }
        let perUnit = -sum / max(length, 1)
        return (kind == .bitsPerByte ? perUnit / log(2) : exp(perUnit), length)
    }

    /// The value of all rows together.
    func combined(_ parts: [(value: Double, weight: Double)]) -> Double {
        let total = parts.reduce(0) { $0 + $1.weight }
        guard total > 0 else { return 0 }
        if kind == .bitsPerByte { return parts.reduce(0) { $0 + $1.value * $1.weight } / total }
        return exp(parts.reduce(0) { $0 + log($1.value) * $1.weight } / total)
    }
}
