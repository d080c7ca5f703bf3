//  Instructions whose obedience a program can check: the 25 kinds of IFEval.
//
//  Zhou et al. 2023, "Instruction-Following Evaluation for Large Language Models". Each kind has an
//  identifier and arguments; null, 0 and empty ones count as absent.

import DualityCore

/// An instruction with its arguments.
struct Instruction {
    let id: String
    private let arguments: JSONFields
    private static let words = PythonRegex(ours: #"\w+"#)
    private static let paragraphMarks = PythonRegex(ours: #"\s?\*\*\*\s?"#)
    private static let placeholders = PythonRegex(ours: #"\[.*?\]"#)
    private static let bullets = [
        PythonRegex(ours: #"^\s*\*[^\*].*$"#, isMultiline: true), PythonRegex(ours: #"^\s*-.*$"#, isMultiline: true),
    ]
    private static let highlights = PythonRegex(ours: #"\*[^\n\*]*\*"#)
    private static let doubleHighlights = PythonRegex(ours: #"\*\*[^\n\*]*\*\*"#)
    private static let titles = PythonRegex(ours: #"<<[^\n]+>>"#)

    /// All identifiers.
    static let identifiers = [
        "punctuation:no_comma", "length_constraints:number_words", "length_constraints:number_sentences",
        "length_constraints:number_paragraphs", "length_constraints:nth_paragraph_first_word", "keywords:existence",
        "keywords:forbidden_words", "keywords:frequency", "keywords:letter_frequency",
        "detectable_content:number_placeholders", "detectable_content:postscript",
        "detectable_format:number_bullet_lists", "detectable_format:number_highlighted_sections",
        "detectable_format:multiple_sections", "detectable_format:json_format", "detectable_format:title",
        "detectable_format:constrained_response", "combination:two_responses", "combination:repeat_prompt",
        "startend:end_checker", "startend:quotation", "change_case:english_capital", "change_case:english_lowercase",
        "change_case:capital_word_frequency", "language:response_language",
    ]
    /// Those whose rule leans on trained data that is not shipped.
    static let approximate: Set<String> = [
        "length_constraints:number_sentences", "language:response_language", "change_case:english_capital",
        "change_case:english_lowercase",
    ]

    init(_ id: String, _ arguments: JSONFields) {
        (self.id, self.arguments) = (id, arguments)
    }

    /// Whether a text obeys.
    ///
    /// - Throws: `InputError` for an unknown identifier or a missing argument.
    func isFollowed(by text: Scalars) throws(InputError) -> Bool {
        guard !text.isBlank else {
            if !Self.identifiers.contains(id) { throw unknown }
            return false
        }
        switch id.split(separator: ":").first {
        case "length_constraints": return try followsLength(text)
        case "keywords": return try followsKeywords(text)
        case "detectable_content", "detectable_format": return try followsForm(text)
        case "change_case": return try followsCase(text)
        default: return try followsRest(text)
        }
    }

    private var unknown: InputError {
        InputError(
            .unknown, in: arguments.place, expected: "an instruction: \(Self.identifiers.joined(separator: ", "))",
            found: id)
    }

    // MARK: Arguments

    private func number(_ key: String) throws(InputError) -> Int {
        guard let value = try arguments.int(key), value != 0 else { throw arguments.missing(key, "a number for \(id)") }
        return value
    }

    private func string(_ key: String) throws(InputError) -> String {
        guard let value = try arguments.string(key), !value.isEmpty else {
            throw arguments.missing(key, "a text for \(id)")
        }
        return value
    }

    /// A text without white space around it: keywords, letters, markers and names of sections.
    private func bare(_ key: String) throws(InputError) -> String { try string(key).pythonStripped }

    private func strings(_ key: String) throws(InputError) -> [String] {
        guard let values = try arguments.strings(key), !values.isEmpty else {
            throw arguments.missing(key, "a list of words for \(id)")
        }
        return values
    }

    /// Compares a count with a threshold as `relation` says.
    private func compares(_ count: Int, _ relation: String, with key: String) throws(InputError) -> Bool {
        let threshold = try number(key)
        switch try string(relation) {
        case "less than": return count < threshold
        case "at least": return count >= threshold
        default:
            throw InputError(
                .value, in: arguments.place(of: relation), expected: "'less than' or 'at least'",
                found: try string(relation))
        }
    }

    // MARK: The rules

    private func followsLength(_ text: Scalars) throws(InputError) -> Bool {
        switch id {
        case "length_constraints:number_words":
            return try compares(Self.words.matches(in: text).count, "relation", with: "num_words")
        case "length_constraints:number_sentences":
            return try compares(EnglishSentences.count(in: text), "relation", with: "num_sentences")
        case "length_constraints:number_paragraphs":
            let parts = try Self.paragraphMarks.split(text)
            var count = parts.count
            for (i, part) in parts.enumerated() where part.isBlank {
                guard i == 0 || i == parts.count - 1 else { return false }
                count -= 1
            }
            return count == (try number("num_paragraphs"))
        case "length_constraints:nth_paragraph_first_word":
            let parts = text.pieces(separatedBy: "\n\n")
            let count = parts.filter { !$0.isBlank }.count
            let (nth, wanted) = (try number("nth_paragraph"), try number("num_paragraphs"))
            let first = try string("first_word")
            guard nth >= 1, nth <= count, nth <= parts.count, let word = parts[nth - 1].words.first else {
                return false
            }
            let bare = word.strippedStart { $0 == "'" }.strippedStart { $0 == "\"" }
            let cut = bare.prefix { ![".", ",", "?", "!", "'", "\""].contains($0) }
            return count == wanted && Scalars(cut).lowered == Scalars(first).lowered
        default: throw unknown
        }
    }

    private func followsKeywords(_ text: Scalars) throws(InputError) -> Bool {
        func count(_ pattern: String, _ key: String) throws(InputError) -> Int {
            let regex = try PythonRegex(pattern, ignoresCase: true, place: arguments.place(of: key))
            return try regex.matches(in: text).count
        }
        switch id {
        case "keywords:existence":
            for word in try strings("keywords") where try count(word, "keywords") == 0 { return false }
            return true
        case "keywords:forbidden_words":
            for word in try strings("forbidden_words")
            where try count("\\b\(word)\\b", "forbidden_words") > 0 { return false }
            return true
        case "keywords:frequency":
            return try compares(count(try bare("keyword"), "keyword"), "relation", with: "frequency")
        case "keywords:letter_frequency":
            let letter = Scalars(try bare("letter")).lowered
            let found = letter.count == 1 ? text.lowered.filter { $0 == letter[0] }.count : 0
            return try compares(found, "let_relation", with: "let_frequency")
        default: throw unknown
        }
    }

    private func followsForm(_ text: Scalars) throws(InputError) -> Bool {
        switch id {
        case "detectable_content:number_placeholders":
            return try Self.placeholders.matches(in: text).count >= number("num_placeholders")
        case "detectable_content:postscript":
            let marker = try bare("postscript_marker")
            let pattern: String
            switch marker {
            case "P.P.S": pattern = #"\s*p\.\s?p\.\s?s.*$"#
            case "P.S.": pattern = #"\s*p\.\s?s\..*$"#
            default: pattern = #"\s*"# + marker.pythonLowered + ".*$"
            }
            let regex = try PythonRegex(
                pattern, isMultiline: true, place: arguments.place(of: "postscript_marker"))
            return try regex.firstMatch(in: text.lowered) != nil
        case "detectable_format:number_bullet_lists":
            var count = 0
            for bullet in Self.bullets { count += try bullet.matches(in: text).count }
            return count == (try number("num_bullets"))
        case "detectable_format:number_highlighted_sections":
            let single = try Self.highlights.findAll(in: text).filter { !$0.stripped { $0 == "*" }.isBlank }
            let double = try Self.doubleHighlights.findAll(in: text).filter {
                !$0.without(prefix: "**").without(suffix: "**").isBlank
            }
            return single.count + double.count >= (try number("num_highlights"))
        case "detectable_format:multiple_sections":
            let splitter = try bare("section_spliter")
            let regex = try PythonRegex(
                #"\s?"# + splitter + #"\s?\d+\s?"#, place: arguments.place(of: "section_spliter"))
            // A split also returns what groups hold, where the name of a section has any.
            return try regex.matches(in: text).count * (1 + regex.groupCount) >= number("num_sections")
        case "detectable_format:json_format":
            var inner = text.stripped()
            for fence in ["```json", "```Json", "```JSON", "```"] { inner = inner.without(prefix: fence) }
            return JSONSyntax.accepts(inner.without(suffix: "```").stripped())
        case "detectable_format:title":
            return try Self.titles.findAll(in: text).contains {
                !$0.strippedStart { $0 == "<" }.strippedEnd { $0 == ">" }.isBlank
            }
        case "detectable_format:constrained_response":
            return ["yes", "no", "maybe"].contains { text.holds(Scalars("My answer is \($0).")) }
        default: throw unknown
        }
    }

    private func followsCase(_ text: Scalars) throws(InputError) -> Bool {
        switch id {
        case "change_case:english_capital": return text.isUpper && LanguageGuess.language(of: text) ?? "en" == "en"
        case "change_case:english_lowercase": return text.isLower && LanguageGuess.language(of: text) ?? "en" == "en"
        case "change_case:capital_word_frequency":
            let count = TreebankWords.words(of: text).filter(\.isUpper).count
            return try compares(count, "capital_relation", with: "capital_frequency")
        default: throw unknown
        }
    }

    private func followsRest(_ text: Scalars) throws(InputError) -> Bool {
        switch id {
        case "punctuation:no_comma": return !text.contains(",")
        case "combination:two_responses":
            let parts = text.pieces(separatedBy: "******")
            for (i, part) in parts.enumerated() where part.isBlank && i != 0 && i != parts.count - 1 { return false }
            let answers = parts.filter { !$0.isBlank }
            return answers.count == 2 && answers[0].stripped() != answers[1].stripped()
        case "combination:repeat_prompt":
            let prompt = Scalars(try string("prompt_to_repeat")).stripped().lowered
            return text.stripped().lowered.starts(with: prompt)
        case "startend:end_checker":
            let phrase = Scalars(try string("end_phrase")).stripped().lowered
            return text.stripped().stripped { $0 == "\"" }.lowered.ends(with: phrase)
        case "startend:quotation":
            let inner = text.stripped()
            return inner.count > 1 && inner.first == "\"" && inner.last == "\""
        case "language:response_language":
            let wanted = try string("language")
            return LanguageGuess.language(of: text).map { $0 == wanted } ?? true
        default: throw unknown
        }
    }
}
