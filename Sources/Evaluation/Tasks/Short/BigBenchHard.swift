//  BIG-Bench Hard: 27 subtasks that are answered after reasoning, in the form of olmes.
//
//  A is what an answer of the subtask looks like. Of six patterns the first that matches anywhere
//  counts, and its last match.

import DualityCore
import Foundation

package struct BigBenchHard: EvaluationTask {
    package let name = "bbh"
    package let primary = "exact_match"

    package init() {}

    private static let letter = #"\([A-Z]\)"#
    /// The subtasks and the form of their answers.
    static let answers: [(name: String, form: String)] = [
        ("boolean_expressions", "[tT]rue|[fF]alse"), ("causal_judgement", "[yY]es|[nN]o"),
        ("date_understanding", letter), ("disambiguation_qa", letter), ("dyck_languages", #"[\]\)\}\> ]+"#),
        ("formal_fallacies", "[iI]nvalid|[vV]alid"), ("geometric_shapes", letter), ("hyperbaton", letter),
        ("logical_deduction_five_objects", letter), ("logical_deduction_seven_objects", letter),
        ("logical_deduction_three_objects", letter), ("movie_recommendation", letter),
        ("multistep_arithmetic_two", #"-?\d+"#), ("navigate", "[nN]o|[yY]es"), ("object_counting", #"\d+"#),
        ("penguins_in_a_table", letter), ("reasoning_about_colored_objects", letter), ("ruin_names", letter),
        ("salient_translation_error_detection", letter), ("snarks", letter),
        ("sports_understanding", "[yY]es|[nN]o"), ("temporal_sequences", letter),
        ("tracking_shuffled_objects_five_objects", letter), ("tracking_shuffled_objects_seven_objects", letter),
        ("tracking_shuffled_objects_three_objects", letter), ("web_of_lies", "[yY]es|[nN]o"),
        ("word_sorting", "[a-z ]+"),
    ]

    private static let patterns: [String: [PythonRegex]] = {
        var patterns: [String: [PythonRegex]] = [:]
        for (name, form) in answers {
            patterns[name] = [
                #"(?i)So the answer is (\#(form))\.?"#, "(?i)answer is (\(form))", "(?i)answer:.*?(\(form))",
                #"(?i)answer\b.*?(\#(form))"#, "(\(form))", "(?i)(\(form))",
            ].map { PythonRegex(ours: $0) }
        }
        return patterns
    }()

    private static let delimiters = [
        ("$", "$"), ("\\(", "\\)"), ("(", ")"), ("**", "**"), ("***", "***"), ("\\[", "\\]"), ("'", "'"), ("`", "`"),
        ("\"", "\""),
    ]

    package func score(_ doc: JSONFields, _ response: Response) throws(InputError) -> ItemScore {
        let subtask = try doc.requiredString("subtask")
        guard let patterns = Self.patterns[subtask] else {
            throw InputError(
                .unknown, in: doc.place(of: "subtask"),
                expected: "one of \(Self.answers.map(\.name).joined(separator: ", "))", found: subtask)
        }
        let answer = try Self.answer(Scalars(try response.text(doc)), patterns)
        let target = Scalars(try doc.requiredString("target"))
        let keepsMarks = subtask == "dyck_languages"
        func compared(_ text: Scalars) -> Scalars {
            keepsMarks ? text.lowered : text.lowered.filter { !$0.isASCIIPunctuation }
        }
        return ItemScore(
            [("exact_match", .flag(compared(answer) == compared(target)))], extracted: .string(answer.text),
            group: subtask)
    }

    private static func answer(_ text: Scalars, _ patterns: [PythonRegex]) throws(InputError) -> Scalars {
        var answer: Scalars = []
        for pattern in patterns {
            if let last = try pattern.findAll(in: text).last {
                answer = last
                break
            }
        }
        let whole = answer
        for (left, right) in delimiters {
            let (open, close) = (Scalars(left), Scalars(right))
            guard answer.count >= open.count + close.count, answer.starts(with: open), answer.ends(with: close) else {
                continue
            }
            answer = Scalars(answer.dropFirst(open.count).dropLast(close.count))
            break
        }
        answer = answer.stripped()
        // The letter of a choice is written with its parentheses.
        if answer.count == 1, answer[0].isASCII, answer[0].isLetter, whole.first == "(" {
            answer = Scalars("(") + answer + Scalars(")")
        }
        return answer
    }

    package func request(_ doc: JSONFields, examples: [JSONFields], isChat: Bool) throws(InputError) -> TaskRequest {
        let opening = "Let's think step by step."
        func query(_ doc: JSONFields) throws(InputError) -> String {
            "Q: \(try doc.requiredString("input"))\nA: \(opening)"
        }
        var turns = QuestionTurns(query: try query(doc))
        turns.description = try doc.string("description") ?? ""
        for example in examples {
            let target = Scalars(try example.requiredString("target")).without(prefix: opening).strippedStart()
            turns.examples.append((try query(example), target.text))
        }
        return turns.request(.generate(.init(maxTokens: 512)), isChat: isChat)
    }
}

extension BigBenchHard {
    /// The description and the examples of a file of prompts: a canary line, a rule, the
    /// description up to the first question, blocks of question and answer.
    static func prompt(_ path: String) throws(InputError) -> (String, [JSONFields]) {
        let text = String(decoding: try DataFile.bytes(path), as: UTF8.self).replacing("\r\n", with: "\n")
        let body = text.components(separatedBy: "-----\n").dropFirst().joined(separator: "-----\n")
        let blocks = body.components(separatedBy: "\n\nQ: ")
        var examples: [JSONFields] = []
        for block in blocks.dropFirst() {
            let parts = block.components(separatedBy: "\nA: ")
            guard parts.count >= 2 else { continue }
            examples.append(
                try JSONFields(
                    [
                        "input": .string(parts[0]),
                        "target": .string(parts.dropFirst().joined(separator: "\nA: ").pythonStripped),
                    ], place: path))
        }
        return (blocks[0].pythonStripped + "\n\n", examples)
    }
}
