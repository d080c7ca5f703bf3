//  Data sets in the folders and formats that people have them in.

import DualityCore
import DualityEvaluation
import DualityInference
import Foundation
import TestSupport
import Testing

struct DataFolderTests {
    private static let tokenizer = Result { try Tokenizer(directory: Fixtures.embeddedModel) }

    /// A folder with these files, and what a task finds in it.
    static func rows(
        _ task: String, _ files: [String: String], lengths: [Int]? = nil, binsTokens: Bool = false, limit: Int? = nil
    ) throws -> TaskRows {
        let folder = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: folder) }
        for (name, text) in files {
            let file = folder.appendingPathComponent(name)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try (name.hasSuffix(".gz") ? Data(base64Encoded: text) ?? Data() : Data(text.utf8)).write(to: file)
        }
        let data = DataFolder(
            folder.path, fewshot: nil, shots: nil, lengths: lengths,
            tokenizer: try tokenizer.get(), binsTokens: binsTokens, limit: limit)
        return try data.rows(try TaskCatalogue.entry(task))
    }

    @Test func marksAndLineEndsOfOtherSystemsAreRead() throws {
        let lines =
            "\u{FEFF}{\"question\": \"a\", \"answer\": \"#### 1\"}\r\n\r\n{\"question\": \"é 日本\", \"answer\": \"2\"}\r\n"
        let found = try Self.rows("gsm8k", ["gsm8k/test.jsonl": lines])
        #expect(found.rows.map { $0.doc["question"]?.string } == ["a", "é 日本"])
        let table = "\u{FEFF}question\tpossible_answers\tobj\tprop_id\r\nWho?\t[\"A\", \"a\"]\tA\t1\r\n"
        let facts = try Self.rows("popqa", ["popqa/test.tsv": table])
        #expect(facts.rows.map { $0.doc["question"]?.string } == ["Who?"])
        #expect(facts.rows.map { $0.doc["prop_id"]?.string } == ["1"])
    }

    @Test func compressedAndNestedFilesAreRead() throws {
        let code = try Self.rows(
            "humaneval",
            [
                "HumanEval.jsonl.gz":
                    "H4sIAAAAAAAAA6tWKkkszo7PTFGyUlDy0DdQ0lFQKijKzy0oAQmkpKYppGloWsXkgcRT80qKKuML8jPzwJJpILGS1GK4yuSM1ORsjWRNK4WCxOJipVouACJwNY5dAAAA"
            ])
        #expect(code.rows.map { $0.doc["entry_point"]?.string } == ["f"])
        let problems = try Self.rows(
            "math",
            [
                "math/algebra/2.json":
                    #"{"problem": "b", "solution": "\\boxed{2}", "level": "Level 1", "type": "Algebra"}"#,
                "math/algebra/1.json":
                    #"{"problem": "a", "solution": "\\boxed{1}", "level": "Level 1", "type": "Algebra"}"#,
            ])
        #expect(problems.rows.map(\.id) == ["algebra/1", "algebra/2"])
        let truth = try Self.rows(
            "truthfulqa",
            [
                "truthfulqa/mc_task.json":
                    #"[{"question": "q", "mc1_targets": {"a": 1, "b": 0}, "mc2_targets": {"a": 1, "b": 0}}]"#
            ])
        #expect(truth.rows.count == 1)
    }

    @Test func subjectsAndSubtasksHaveTheirOwnExamples() throws {
        let subjects = try Self.rows(
            "mmlu",
            [
                "mmlu/test/high_school_physics_test.csv": "\"What, then?\",1,2,3,4,C\r\n",
                "mmlu/dev/high_school_physics_dev.csv": "d1,a,b,c,d,A\nd2,a,b,c,d,B\n",
                "mmlu/test/law_test.csv": "Who?,1,2,3,4,D\n", "mmlu/dev/law_dev.csv": "l1,a,b,c,d,A\n",
            ])
        #expect(subjects.rows.map { $0.doc["subject"]?.string } == ["high_school_physics", "law"])
        #expect(subjects.rows.map { $0.doc["answer"]?.int } == [2, 3])
        #expect(subjects.rows.map { $0.examples.map { $0["question"]?.string } } == [["d1", "d2"], ["l1"]])
        let chains = try Self.rows(
            "bbh",
            [
                "bbh/bbh/navigate.json": #"{"canary": "x", "examples": [{"input": "i", "target": "Yes"}]}"#,
                "bbh/cot-prompts/navigate.txt":
                    "canary\r\n-----\r\nWalk.\r\n\r\nQ: one\r\nA: Let's think step by step. So the answer is No.\r\n\r\nQ: two\r\nA: x\r\n",
            ])
        #expect(chains.rows[0].doc["description"]?.string == "Walk.\n\n")
        #expect(chains.rows[0].examples.map { $0["input"]?.string } == ["one", "two"])
    }

    @Test func lengthsOfConversationsAreCountedInCharactersOrTokens() throws {
        let text = String(repeating: "x ", count: 9000)
        let row =
            #"{"prompt": "[{\"role\": \"user\", \"content\": \"\#(text)\"}]", "answer": "a", "random_string_to_prepend": "r", "n_needles": 2, "desired_msg_index": 1, "total_messages": 2, "n_chars": 18000}"#
        let files = ["mrcr/2needle.jsonl": row + "\n"]
        #expect(try Self.rows("mrcr", files).rows.map(\.length) == [8192])
        let tokens = try Self.tokenizer.get().encode(text).count
        let length = [8192, 16384, 32768].first { tokens < $0 }
        #expect(try Self.rows("mrcr", files, binsTokens: true).rows.map(\.length) == [length], "\(tokens) tokens")
    }

    @Test func theArchiveOfHelmetIsReadAsItUnpacks() throws {
        func passages(_ texts: [String]) -> String {
            "["
                + texts.enumerated().map { #"{"id": "\#($0)", "title": "T\#($0)", "text": "\#($1)", "label": \#($0)}"# }
                .joined(separator: ", ") + "]"
        }
        let long = String(repeating: "so many words. ", count: 4000)
        let found = try Self.rows(
            "helmet",
            [
                "helmet/data/json_kv/test_k105_dep6.jsonl":
                    #"{"context": "{\"k\": \"v\"}", "question": "k", "answer": "v", "num_kvs": 1, "demos": [["a", "b"], ["c", "d"], ["e", "f"]]}"#,
                "helmet/data/ruler/niah_multivalue/validation_8192.jsonl":
                    #"{"context": "text", "query": "key", "type_needle_v": "numbers", "answer": ["1", "2"]}"#,
                "helmet/data/kilt/nq-dev-multikilt_1000_k50_dep6.jsonl":
                    #"{"question": "q", "answers": ["x", "y"], "ctxs": \#(passages([long, "end"]))}"#,
                "helmet/data/kilt/nq-train-multikilt_1000_k3_dep6.jsonl":
                    #"{"question": "q", "answers": ["not this"], "ctxs": []}"# + "\n"
                    + #"{"question": "p", "answers": ["shown"], "ctxs": \#(passages(["demo"]))}"#,
                "helmet/data/msmarco/test_reranking_data_k50_dep3.jsonl":
                    #"{"qid": "7", "query": "q", "ctxs": \#(passages(["a", "b"]))}"#,
                "helmet/data/msmarco/test_reranking_data_k10_dep3.jsonl":
                    #"{"qid": "8", "query": "p", "ctxs": \#(passages(["c", "d"]))}"#,
            ], lengths: [8192])
        let inputs = found.rows.map { $0.doc["input"]?.string ?? "" }
        #expect(
            found.rows.map { $0.doc["dataset"]?.string } == [
                "ruler_niah_mv", "json_kv", "kilt_nq", "msmarco_rerank_psg",
            ])
        #expect(inputs[0].hasSuffix("The special magic numbers for key are"))
        #expect(
            inputs[1].contains("Key: a\nCorresponding value: b\n\nKey: c")
                && inputs[1].hasSuffix("Key: k\nCorresponding value:"))
        // The tail of the context is cut, examples and question stay.
        #expect(inputs[2].contains("Answer: shown") && !inputs[2].contains("not this") && !inputs[2].contains("end"))
        #expect(inputs[2].hasSuffix("Question: q\nAnswer:"))
        #expect((8192 - 60...8192 - 12).contains(try Self.tokenizer.get().encode(inputs[2]).count))
        #expect(inputs[3].contains("Ranking: 1 > 0\n\n[ID: 0] Document (Title: T0): a"))
        let scores = try found.rows.map { try Helmet().score($0.doc, .outputs(["1 > 0, x, 2"])).scores[0].value.number }
        #expect(scores == [1, 0, 1, 1])
    }

    /// NumPy's order of nine rows, seeded by the question, as Hugging Face's datasets shuffles
    /// them.
    @Test func examplesOfHelmetAreTheOfficialOnes() throws {
        let demos = (0..<9).map { #"{"question": "p\#($0)", "answers": ["d\#($0)"], "ctxs": []}"# }
        let found = try Self.rows(
            "helmet",
            [
                "helmet/data/kilt/nq-dev-multikilt_1000_k50_dep6.jsonl":
                    #"{"question": "q", "answers": ["x"], "ctxs": []}"#,
                "helmet/data/kilt/nq-train-multikilt_1000_k3_dep6.jsonl": demos.joined(separator: "\n"),
            ])
        let parts = (found.rows[0].doc["input"]?.string ?? "").components(separatedBy: "Answer: d").dropFirst()
        #expect(parts.map { $0.prefix(1) } == ["7", "3"])
    }

    @Test func aLimitIsThatOfEverySetOfHelmet() throws {
        func lines(_ row: String, _ count: Int) -> String { String(repeating: row + "\n", count: count) }
        let demos =
            #"{"question": "known", "answers": ["known"], "ctxs": [], "s_pop": 5000}"# + "\n"
            + #"{"question": "p", "answers": ["shown"], "ctxs": [], "s_pop": 5}"#
        // Nobody asks for the third row, so that nobody needs its fields.
        let files = [
            "helmet/data/json_kv/test_k105_dep6.jsonl":
                lines(#"{"context": "{}", "question": "k", "answer": "v", "demos": []}"#, 2) + "{}\n",
            "helmet/data/json_kv/test_k220_dep6.jsonl":
                lines(#"{"context": "{}", "question": "k", "answer": "v", "demos": []}"#, 1),
            "helmet/data/kilt/popqa_test_1000_k50_dep6.jsonl":
                #"{"question": "q", "answers": ["x"], "ctxs": [], "s_pop": 5000}"# + "\n"
                + lines(#"{"question": "q", "answers": ["x"], "ctxs": [], "s_pop": 5}"#, 3),
            "helmet/data/kilt/popqa_test_1000_k3_dep6.jsonl": demos,
        ]
        let found = try Self.rows("helmet", files, limit: 2)
        #expect(
            found.rows.map { "\($0.id) \($0.length ?? 0)" } == [
                "json_kv/0 8192", "json_kv/1 8192", "json_kv/0 16384", "kilt_popqa_3/1 8192", "kilt_popqa_3/2 8192",
            ])
        // What many people look up is not shown either.
        #expect(found.rows.last?.doc["input"]?.string?.contains("Answer: shown\n\n") == true)
        #expect(found.rows.last?.doc["input"]?.string?.contains("known") == false)
        // Rows that are shown decide results too.
        #expect(found.files.contains { $0.hasSuffix("popqa_test_1000_k3_dep6.jsonl") })
        #expect(throws: InputError.self) { try Self.rows("helmet", files) }
    }

    @Test(arguments: ["gsm8k", "math", "mmlu", "popqa", "bbh", "ifeval", "mrcr", "babilong", "ruler", "helmet"])
    func missingDataNamesTheFilesLookedFor(_ task: String) {
        let error = #expect(throws: InputError.self) { try Self.rows(task, ["other/x.jsonl": "{}"]) }
        #expect(error?.expected.contains(task == "bbh" ? "bbh/bbh" : task) == true, "\(error?.description ?? "")")
    }
}
