//  HELMET's archive as it unpacks (json_kv, ruler, kilt, msmarco), made into rows with their
//  requests.
//
//  Examples are two rows of the set's file of examples, others than the row itself, in the order
//  that NumPy's generator gives from the SHA-256 of the row's id or question, as officially.
//  Many-shot classification is in HelmetClassification. Summaries are not in the archive but in
//  data sets of the hub; rows that somebody has prepared (`dataset`, `input`, `answer`) are read
//  from the same folder.

import DualityCore
import Foundation

package struct HelmetArchive {
    /// `…/helmet/data`.
    let path: String
    let prompts: HelmetPrompts
    let shots: Int

    package init(_ path: String, prompts: HelmetPrompts, shots: Int) {
        (self.path, self.prompts, self.shots) = (path, prompts, shots)
    }

    /// A set at a length: its files, and how its rows are asked.
    private struct Part {
        let dataset: String
        let length: Int
        let file: String
        var demos: String?
        let kind: String
    }

    private static let parts: [Part] = {
        let lengths = [8192, 16384, 32768, 65536, 131_072]
        var parts: [Part] = []
        for (name, kind, task) in [
            ("ruler_niah_mk_2", "niah", "multikey_2"), ("ruler_niah_mk_3", "niah", "multikey_3"),
            ("ruler_niah_mv", "niah_mv", "multivalue"),
        ] {
            for length in lengths {
                parts.append(
                    Part(
                        dataset: name, length: length, file: "ruler/niah_\(task)/validation_\(length).jsonl", kind: kind
                    )
                )
            }
        }
        for (k, length) in zip([105, 220, 440, 900, 1800], lengths) {
            parts.append(
                Part(dataset: "json_kv", length: length, file: "json_kv/test_k\(k)_dep6.jsonl", kind: "json_kv"))
        }
        let passages = [
            ("kilt_nq", "nq-dev-multikilt_1000", "nq-train-multikilt_1000", 6),
            ("kilt_triviaqa", "triviaqa-dev-multikilt_1000", "triviaqa-train-multikilt_1000", 6),
            ("kilt_hotpotqa", "hotpotqa-dev-multikilt_1000", "hotpotqa-train-multikilt_1000", 3),
            ("kilt_popqa_3", "popqa_test_1000", "popqa_test_1000", 6),
        ]
        for (name, file, demos, depths) in passages {
            for (k, length) in zip([50, 105, 220, 440, 1000], lengths) {
                parts.append(
                    Part(
                        dataset: name, length: length, file: "kilt/\(file)_k\(k)_dep\(depths).jsonl",
                        demos: "kilt/\(demos)_k3_dep\(depths).jsonl", kind: "rag"))
            }
        }
        for (k, length) in zip([50, 130, 285, 600, 1000], lengths) {
            parts.append(
                Part(
                    dataset: "msmarco_rerank_psg", length: length,
                    file: "msmarco/test_reranking_data_k\(k)_dep3.jsonl",
                    demos: "msmarco/test_reranking_data_k10_dep3.jsonl", kind: "rerank"))
        }
        return parts
    }()

    /// The rows of all sets that are there, at the lengths that are wanted.
    ///
    /// - Parameter limit: the most of a set at a length.
    package func rows(isWanted: (Int) -> Bool, limit: Int, _ result: inout TaskRows) throws(InputError) {
        for part in Self.parts where isWanted(part.length) && DataFile.exists("\(path)/\(part.file)") {
            let file = "\(path)/\(part.file)"
            var demos: [JSONFields] = []
            if let name = part.demos, shots > 0 {
                for row in try RowFile.rows("\(path)/\(name)") where try isKnown(row, part) { demos.append(row) }
                if !result.files.contains("\(path)/\(name)") { result.files.append("\(path)/\(name)") }
            }
            var count = 0
            for (i, row) in try RowFile.rows(file).enumerated() where count < limit {
                guard try isKnown(row, part) else { continue }
                count += 1
                result.rows.append(
                    EvaluationRow(
                        id: "\(part.dataset)/\(i)", doc: try doc(row, part, demos), length: part.length))
            }
            result.files.append(file)
            result.shots = shots
        }
    }

    /// PopQA's questions are those about what few people look up.
    private func isKnown(_ row: JSONFields, _ part: Part) throws(InputError) -> Bool {
        guard part.dataset.hasPrefix("kilt_popqa") else { return true }
        guard let views = row["s_pop"]?.double else { throw row.missing("s_pop", "a number") }
        return log10(views) < 3
    }

    private func doc(_ row: JSONFields, _ part: Part, _ demos: [JSONFields]) throws(InputError) -> JSONFields {
        let texts = try texts(row, part, demos)
        let input = try prompts.text(
            part.kind, context: texts.context, fields: texts.fields,
            room: part.length - Helmet.limit(part.dataset))
        var fields: [(String, JSON)] = [
            ("dataset", .string(part.dataset)), ("input", .string(input)), ("answer", texts.answer),
        ]
        if part.kind == "rerank" { fields += [("qid", row["qid"] ?? .null), ("qrel", texts.labels)] }
        return try JSONFields([:], place: row.place).adding(fields)
    }

    /// What a row puts into its template, and what is the right answer.
    private struct Texts {
        var context: String
        var fields: [(String, String)]
        var answer: JSON = .null
        var labels: JSON = .null
    }

    private func texts(_ row: JSONFields, _ part: Part, _ demos: [JSONFields]) throws(InputError) -> Texts {
        switch part.kind {
        case "rag":
            let question = try row.requiredString("question")
            var shown = ""
            for demo in examples(demos, of: row, by: ["id", "question"]) {
                let answer = try demo.requiredStrings("answers").first ?? ""
                shown +=
                    "\(try passages(demo))\n\nQuestion: \(try demo.requiredString("question"))\nAnswer: \(answer)\n\n"
            }
            return Texts(
                context: try passages(row), fields: [("demos", shown), ("question", question)],
                answer: .array(try row.requiredStrings("answers").map { .string($0) }))
        case "rerank":
            let query = try row.requiredString("query")
            var shown = ""
            for demo in examples(demos, of: row, by: ["qid", "query"]) {
                let order = try documents(demo).enumerated().sorted {
                    ($1.element.label, $0.offset) < ($0.element.label, $1.offset)
                }
                let ranking = order.map(\.element.id).joined(separator: " > ")
                shown +=
                    "\(try ranked(demo))\n\nQuery: \(try demo.requiredString("query"))\nRanking: \(ranking)\n\n"
            }
            let labels = try documents(row).map { JSON.array([.string($0.id), .string("\($0.label)")]) }
            return Texts(
                context: try ranked(row), fields: [("demos", shown), ("question", query)], labels: .array(labels))
        case "json_kv":
            var shown = ""
            for demo in (try row.array("demos") ?? []).prefix(shots) {
                guard let pair = demo.array?.compactMap(\.string), pair.count == 2 else {
                    throw row.missing("demos", "pairs of key and value")
                }
                shown += "Key: \(pair[0])\nCorresponding value: \(pair[1])\n\n"
            }
            return Texts(
                context: try row.requiredString("context"),
                fields: [("demos", shown), ("question", try row.requiredString("question"))],
                answer: row["answer"] ?? .null)
        default:
            return Texts(
                context: try row.requiredString("context"),
                fields: [
                    ("type_needle_v", try row.requiredString("type_needle_v")),
                    ("query", try row.requiredString("query")),
                ], answer: row["answer"] ?? row["outputs"] ?? .null)
        }
    }

    /// Some rows about other questions, the same for the same question.
    private func examples(_ demos: [JSONFields], of row: JSONFields, by keys: [String]) -> [JSONFields] {
        func marks(_ row: JSONFields) -> [String] { keys.compactMap { row[$0]?.string } }
        let own = marks(row)
        let others = demos.filter { Set(marks($0)).isDisjoint(with: own) }
        guard shots > 0, let text = own.first else { return [] }
        var random = NumPyRandom(seed: HelmetClassification.seed(text))
        var (found, seen): ([JSONFields], Set<String>) = ([], [])
        for i in random.permutation(others.count) where found.count < shots {
            if let mark = marks(others[i]).first, seen.insert(mark).inserted { found.append(others[i]) }
        }
        return found
    }

    private func passages(_ row: JSONFields) throws(InputError) -> String {
        var texts: [String] = []
        for passage in try Self.contexts(row) {
            texts.append(
                "Document (Title: \(try passage.requiredString("title"))): \(try passage.requiredString("text"))")
        }
        return texts.joined(separator: "\n\n")
    }

    private func ranked(_ row: JSONFields) throws(InputError) -> String {
        var texts: [String] = []
        for passage in try Self.contexts(row) {
            let title = try passage.string("title").map { " (Title: \($0))" } ?? ""
            texts.append(
                "[ID: \(try passage.requiredString("id"))] Document\(title): \(try passage.requiredString("text"))")
        }
        return texts.joined(separator: "\n\n")
    }

    private func documents(_ row: JSONFields) throws(InputError) -> [(id: String, label: Int)] {
        var found: [(id: String, label: Int)] = []
        for passage in try Self.contexts(row) {
            found.append((try passage.requiredString("id"), try passage.requiredInt("label", in: 0...1000)))
        }
        return found
    }

    private static func contexts(_ row: JSONFields) throws(InputError) -> [JSONFields] {
        guard let list = try row.array("ctxs") else { throw row.missing("ctxs", "a list of passages") }
        var passages: [JSONFields] = []
        for (i, passage) in list.enumerated() {
            passages.append(try JSONFields(passage, place: row.place, path: "ctxs[\(i)]"))
        }
        return passages
    }
}
