//  How the next token is drawn: the parameters, and what they may be.

import DualityCore

/// The parameters of sampling. The defaults draw from the model's distribution as it is.
public struct SamplingParameters: Sendable, Equatable {
    /// Divides the logits; 0 takes the most likely token.
    public var temperature: Double = 1
    /// Only the k most likely tokens; 0 for all.
    public var topK: Int = 0
    /// Only the most likely tokens that together reach this probability; 1 for all.
    public var topP: Double = 1
    /// Only tokens at least this fraction as likely as the most likely one; 0 for all.
    public var minP: Double = 0
    /// Divides positive and multiplies negative logits of tokens that occur in the prompt or the
    /// answer; 1 for none.
    public var repetitionPenalty: Double = 1
    /// Subtracted from the logits of tokens that occur in the answer.
    public var presencePenalty: Double = 0
    /// Subtracted from the logits of tokens once for each time they occur in the answer.
    public var frequencyPenalty: Double = 0
    /// Added to the logits of single tokens; minus infinity forbids one.
    public var logitBias: [Int: Float] = [:]
    /// The start of the random draws; the same seed gives the same tokens.
    public var seed: UInt64 = 0

    public init() {}

    /// Always the most likely token.
    public static var greedy: SamplingParameters {
        var parameters = SamplingParameters()
        parameters.temperature = 0
        return parameters
    }

    /// - Parameter vocabularySize: how many logits there will be, for checking the tokens of
    ///   `logitBias`.
    /// - Throws: `InputError` (`.value`) that names the first parameter out of its range.
    public func validate(vocabularySize: Int? = nil) throws(InputError) {
        try Self.check("temperature", temperature, "at least 0") { $0 >= 0 && $0.isFinite }
        try Self.check("top_k", Double(topK), "at least 0") { $0 >= 0 }
        try Self.check("top_p", topP, "above 0 and at most 1") { $0 > 0 && $0 <= 1 }
        try Self.check("min_p", minP, "at least 0 and at most 1") { $0 >= 0 && $0 <= 1 }
        try Self.check("repetition_penalty", repetitionPenalty, "above 0") { $0 > 0 && $0.isFinite }
        try Self.check("presence_penalty", presencePenalty, "a finite number") { $0.isFinite }
        try Self.check("frequency_penalty", frequencyPenalty, "a finite number") { $0.isFinite }
        for (token, bias) in logitBias.sorted(by: { $0.key < $1.key }) {
            if token < 0 || token >= vocabularySize ?? .max {
                let range = vocabularySize.map { "a token in 0..<\($0)" } ?? "a token, 0 or more"
                throw InputError(.value, in: "logit_bias", expected: range, found: "\(token)")
            }
            if bias.isNaN || bias == .infinity {
                throw InputError(
                    .value, in: "logit_bias of token \(token)", expected: "a finite number or minus infinity",
                    found: "\(bias)")
            }
        }
    }

    private static func check(
        _ name: String, _ value: Double, _ expected: String, _ isValid: (Double) -> Bool
    ) throws(InputError) {
        if isValid(value) { return }
        let found = value == value.rounded() && value.magnitude < 1e15 ? String(Int(value)) : String(value)
        throw InputError(.value, in: name, expected: expected, found: found)
    }
}
