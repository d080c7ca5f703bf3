//  What an answer may be: a JSON document, a pattern, or one of several texts.

import ArgumentParser
import DualityCore
import DualityInference
import Foundation

/// The form of a generated text.
struct ConstraintOptions: ParsableArguments {
    @Option(
        name: .long, help: ArgumentHelp("The text is JSON that fits the JSON Schema in this file.", valueName: "file"))
    var jsonSchema: String?
    @Option(
        name: .long, help: ArgumentHelp("The whole text matches this regular expression.", valueName: "pattern"))
    var regex: String?
    @Option(
        name: .long,
        help: ArgumentHelp(
            "The text is one of these, separated by commas; \\, is a comma within one, \\\\ a backslash, and spaces count.",
            valueName: "a,b"))
    var choice: String?

    var isOn: Bool { jsonSchema != nil || regex != nil || choice != nil }

    func validate() throws {
        guard [jsonSchema, regex, choice].compactMap({ $0 }).count < 2 else {
            throw ValidationError("Give one of --json-schema, --regex and --choice.")
        }
        guard let choice else { return }
        guard let texts = Self.texts(choice) else {
            throw ValidationError("--choice ends with a backslash: write \\\\ for one.")
        }
        guard !texts.contains("") else {
            throw ValidationError("--choice takes texts that are not empty, separated by commas.")
        }
    }

    /// The constraint of an answer.
    ///
    /// - Parameters:
    ///   - endTokens: those that end it.
    ///   - vocabularySize: the number of logits.
    ///   - thought: whether the answer begins with a thought, which is not bound.
    /// - Throws: `InputError` that names the keyword or the part of the pattern that is wrong or
    ///   not done, and for a model without end tokens.
    func constraint(
        _ tokenizer: Tokenizer, endTokens: Set<Int>, vocabularySize: Int, thought: AnswerRules.Thought
    ) throws -> TokenConstraint? {
        guard isOn else { return nil }
        let ends = endTokens.filter { 0..<vocabularySize ~= $0 }
        guard !ends.isEmpty else {
            throw InputError(
                .missing, in: "generation_config.json", expected: "an end token, with which the text can end",
                found: "none")
        }
        var rules = AnswerRules()
        rules.thought = thought
        if let jsonSchema {
            rules.form = .schema(try Self.schema(jsonSchema), place: jsonSchema)
        } else if let regex {
            rules.form = .regex(regex, place: "--regex")
        } else if let choice {
            rules.form = .choice(Self.texts(choice) ?? [], place: "--choice")
        }
        let compiler = ConstraintCompiler(TokenTrie(tokenizer, endTokens: ends, size: vocabularySize))
        let constraint = try compiler.constraint(rules)
        // What is wrong with a grammar as a whole may show in its first mask.
        _ = try constraint?.mask()
        return constraint
    }

    /// The most bytes of a schema: beyond what people write by hand, far below what parsing
    /// notices.
    private static let schemaLimit = 1 << 20

    private static func schema(_ path: String) throws(InputError) -> JSON {
        let file = try MappedFile(path: path)
        guard file.count <= schemaLimit else {
            throw InputError(
                .value, in: path, expected: "a JSON Schema of at most \(schemaLimit.grouped) bytes",
                found: "\(file.count.grouped) bytes")
        }
        return try JSON(contentsOf: path)
    }

    /// The texts of a list; a backslash makes the next character one like others. Nil where there
    /// is no next one.
    static func texts(_ list: String) -> [String]? {
        var (texts, isEscaped) = ([""], false)
        for character in list {
            if !isEscaped, character == "\\" {
                isEscaped = true
            } else if !isEscaped, character == "," {
                texts.append("")
            } else {
                texts[texts.count - 1].append(character)
                isEscaped = false
            }
        }
        return isEscaped ? nil : texts
    }
}
