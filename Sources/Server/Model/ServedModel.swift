//  The model that is served: the engine, and all that turns requests into tokens and tokens into
//  answers.

import DualityCore
import DualityInference
import DualityQuant
import Foundation

/// One model and what is said about it.
package final class ServedModel: Sendable {
    package let engine: ServingEngine
    package let tokenizer: Tokenizer
    /// How conversations are written; nil when the model has no template.
    package let template: ChatTemplate?
    package let context: RequestContext
    package let compiler: ConstraintCompiler
    /// The tokens that end an answer.
    package let endTokens: Set<Int>
    package let parsers: AnswerParsers
    /// Version, weights, precision and format of keys and values: answers with equal fingerprints
    /// are comparable bit for bit.
    package let fingerprint: String
    /// The class of the tokenizer, as checkpoints name it.
    package let tokenizerClass: String
    /// Seconds since 1970.
    package let created = Int(Date().timeIntervalSince1970)

    package init(
        engine: ServingEngine, tokenizer: Tokenizer, template: ChatTemplate?, defaults: GenerationDefaults,
        names: [String], vocabularySize: Int, parsers: AnswerParsers, fingerprint: String, tokenizerClass: String
    ) {
        self.engine = engine
        self.tokenizer = tokenizer
        self.template = template
        self.parsers = parsers
        self.fingerprint = fingerprint
        self.tokenizerClass = tokenizerClass
        let ends = template?.endTokens(defaults, tokenizer) ?? Set(defaults.endTokens + defaults.modelEndTokens)
        endTokens = ends.filter { 0..<vocabularySize ~= $0 }
        context = RequestContext(
            names: names, vocabularySize: vocabularySize, maxLength: engine.maxModelLength, defaults: defaults.sampling)
        compiler = ConstraintCompiler(TokenTrie(tokenizer, endTokens: endTokens, size: vocabularySize))
    }

    /// The name under which answers are given.
    package var name: String { context.names[0] }

    /// The text of one token, with U+FFFD for what is no whole character; nothing for a row of the
    /// model that no token has.
    package func text(of token: Int) -> String {
        tokenizer.contains(token) ? (try? tokenizer.decode([token])) ?? "" : ""
    }
}
