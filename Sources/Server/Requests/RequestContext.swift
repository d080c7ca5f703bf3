//  What a request is checked against: the names, the vocabulary and the length of the model that is
//  served.

import DualityInference

/// The facts about the served model that requests depend on.
package struct RequestContext: Sendable {
    /// The first is reported; all are accepted.
    package var names: [String]
    /// The number of logits.
    package var vocabularySize: Int
    /// Tokens of a prompt and its answer.
    package var maxLength: Int
    /// Sampling where a request is silent.
    package var defaults: SamplingParameters

    package init(names: [String], vocabularySize: Int, maxLength: Int, defaults: SamplingParameters) {
        self.names = names
        self.vocabularySize = vocabularySize
        self.maxLength = maxLength
        self.defaults = defaults
    }

    /// - Throws: `RequestError` (`.modelNotFound`) for a name that is not served.
    func checkModel(_ fields: inout RequestFields) throws(RequestError) {
        guard let name = try fields.string("model"), !names.contains(name) else { return }
        throw RequestError(
            .modelNotFound, "model: expected one of \(names.joined(separator: ", ")), found \"\(name.prefix(200))\"",
            param: "model")
    }
}
