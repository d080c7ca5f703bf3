//  Log probabilities as clients read them. Numbers are float32 and printed with the fewest digits
//  that read back as the same: a token that is the likeliest prints the same number in both places.

import DualityCore
import DualityInference
import DualityQuant

/// Writes the log probabilities of tokens.
package struct LogProbabilityWriter: Sendable {
    private let model: ServedModel
    private let writesIDs: Bool

    package init(_ model: ServedModel, writesIDs: Bool) {
        self.model = model
        self.writesIDs = writesIDs
    }

    /// Nothing is less likely than this.
    private static let floor: Float = -9999

    static func number(_ value: Float) -> JSON { .number((value > floor ? value : floor).description) }

    /// The string that stands for a token.
    func text(_ token: Int) -> String { writesIDs ? "token_id:\(token)" : model.text(of: token) }

    // MARK: Chat

    /// `{"token", "logprob", "bytes", "top_logprobs"}`
    func chatEntry(_ score: TokenScore) -> JSON {
        guard case .object(var entry) = entry(score.token, score.logProbability) else { return .null }
        entry["top_logprobs"] = .array(score.alternatives.map { self.entry($0.token, $0.logProbability) })
        return .object(entry)
    }

    private func entry(_ token: Int, _ logProbability: Float) -> JSON {
        let bytes = model.tokenizer.contains(token) ? Array(model.tokenizer.bytes(of: token)) : []
        return [
            "token": .string(text(token)), "logprob": Self.number(logProbability),
            "bytes": .array(bytes.map { JSON(Int($0)) }),
        ]
    }

    // MARK: Completions

    /// The most likely tokens and the token itself by their strings; of two with one string the
    /// larger number.
    func alternatives(_ score: TokenScore) -> JSON {
        var numbers: [(name: String, value: Float)] = []
        func add(_ token: Int, _ value: Float) {
            let name = text(token)
            if let index = numbers.firstIndex(where: { $0.name.utf8.elementsEqual(name.utf8) }) {
                numbers[index].value = max(numbers[index].value, value)
            } else {
                numbers.append((name, value))
            }
        }
        for other in score.alternatives { add(other.token, other.logProbability) }
        add(score.token, score.logProbability)
        var object = JSON.Object()
        for (name, value) in numbers { object.append(name, Self.number(value)) }
        return .object(object)
    }
}

/// The parallel lists of a completion.
struct CompletionScores: Sendable {
    private var tokens: [JSON] = []
    private var numbers: [JSON] = []
    private var tops: [JSON] = []
    private var offsets: [JSON] = []

    /// A prompt's first token, which nothing predicts.
    mutating func appendFirst(_ token: Int, _ writer: LogProbabilityWriter) {
        append(writer.text(token), .null, .null, offset: 0)
    }

    /// - Parameter offset: characters of the text before the token.
    mutating func append(_ score: TokenScore, offset: Int, _ writer: LogProbabilityWriter) {
        append(
            writer.text(score.token), LogProbabilityWriter.number(score.logProbability), writer.alternatives(score),
            offset: offset)
    }

    private mutating func append(_ token: String, _ number: JSON, _ top: JSON, offset: Int) {
        tokens.append(.string(token))
        numbers.append(number)
        tops.append(top)
        offsets.append(JSON(offset))
    }

    var json: JSON {
        [
            "text_offset": .array(offsets), "token_logprobs": .array(numbers), "tokens": .array(tokens),
            "top_logprobs": .array(tops),
        ]
    }
}
