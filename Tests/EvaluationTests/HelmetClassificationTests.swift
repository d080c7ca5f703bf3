//  Many-shot classification of HELMET: the prompts of its own loader from the same rows.

import DualityCore
import DualityEvaluation
import DualityVerify
import Foundation
import TestSupport
import Testing

struct HelmetClassificationTests {
    private static func lines(_ rows: [String]) -> String { rows.map { $0 + "\n" }.joined() }

    private static func questions(_ count: Int, from first: Int) -> String {
        lines(
            (0..<count).map { i in
                let label = (i * i + i / 7) % 6
                return #"{"text": "question \#(i + first)?", "coarse_label": \#(label), "fine_label": \#(label)}"#
            })
    }

    /// SHA-256 of all prompts with their answers.
    private static func digest(_ rows: [EvaluationRow]) -> String {
        var text = rows.map { "\($0.doc["input"]?.string ?? "")\n\($0.doc["answer"]?.string ?? "")" }
            .joined(separator: "\n")
        return text.withUTF8 { sha256(UnsafeRawBufferPointer($0)) }
    }

    /// The digests are those of HELMET's `load_icl` with these rows and our wording.
    @Test func rowsExamplesAndNumbersAreThoseOfTheOfficialLoader() throws {
        let trec = try DataFolderTests.rows(
            "helmet",
            [
                "helmet/data/icl/trec/train.jsonl": Self.questions(90, from: 0),
                "helmet/data/icl/trec/test.jsonl": Self.questions(130, from: 1000),
            ], lengths: [8192])
        let coarse = trec.rows.filter { $0.id.hasPrefix("icl_trec_coarse/") }
        #expect(coarse.count == 100 && trec.rows.count == 200 && trec.files.count == 2)
        #expect(Set(coarse.map(\.id)).count == 100)
        #expect(Set(coarse.map { $0.doc["dataset"]?.string }) == ["icl_trec_coarse_400shot_balance"])
        #expect(Self.digest(coarse) == "0ba6d86f4a5709b31fa18f3c26f59d28d459adc037dfa874bb57e7e5f8a41c68")
        let phrases = Self.lines((0..<74).map { #"{"text": "phrase \#($0)", "label": \#($0 % 5 + 60)}"# })
        let nlu = try DataFolderTests.rows("helmet", ["helmet/data/icl/nlu/train.jsonl": phrases], lengths: [8192])
        #expect(nlu.rows.count == 8)
        #expect(Self.digest(nlu.rows) == "1c6a549071d45d35e6df28cc0b0bd33870b8df5da1e214df6aa397031a68c288")
        let answer = coarse[0].doc["answer"]?.string ?? ""
        #expect(try Helmet().score(coarse[0].doc, .outputs(["label: \(answer)"])).scores[0].value.number == 1)
    }

    @Test func labelsByNameAndTablesInPartsAreRead() throws {
        let found = try DataFolderTests.rows(
            "helmet",
            [
                "helmet/data/icl/banking77/train-00000-of-00002.csv": "text,category\n\"a, b\",card\n",
                "helmet/data/icl/banking77/train-00001-of-00002.csv": "text,category\nc,pin\n",
                "helmet/data/icl/banking77/test.csv": "text,category\nd,pin\ne,card\n",
            ], lengths: [8192, 131_072], limit: 1)
        #expect(found.rows.map(\.length) == [8192, 131_072])
        let inputs = found.rows.map { $0.doc["input"]?.string ?? "" }
        #expect(inputs.map { $0.components(separatedBy: "a, b\nlabel: ").count - 1 } == [180, 2950])
        let asked = inputs[0].hasSuffix("\n\nd\nlabel:") ? "c" : "a, b"
        let answer = found.rows[0].doc["answer"]?.string ?? "?"
        #expect(inputs[0].contains("\(asked)\nlabel: \(answer)\n"))
        // Names count in alphabetical order: card is 0.
        let numbered = try DataFolderTests.rows(
            "helmet",
            [
                "helmet/data/icl/banking77/train.jsonl": """
                {"text": "a, b", "label": 0}
                {"text": "c", "label": 1}
                """,
                "helmet/data/icl/banking77/test.jsonl": """
                {"text": "d", "label": 1}
                {"text": "e", "label": 0}
                """,
            ], lengths: [8192, 131_072], limit: 1)
        #expect(numbered.rows.map { $0.doc["input"]?.string } == inputs)
        #expect(numbered.rows.map { $0.doc["answer"]?.string } == found.rows.map { $0.doc["answer"]?.string })
    }

    @Test(arguments: [
        (["trec/train.jsonl": "{}", "trec/test.jsonl": "{}"], "the label"),
        (["clinic150/train.jsonl": #"{"text": "a", "intent": 0}"#], "validation"),
        (["banking77/train.parquet": "PAR1", "banking77/test.jsonl": "{}"], "JSON Lines"),
        (["nlu/train.jsonl": #"{"text": "a", "label": 68}"#], "0 to 67"),
        (["nlu/train.jsonl": #"{"text": "a", "label": 1}"#], "rows to show"),
        (["nlu/train.jsonl": #"{"label": 1}"#], "a string"), (["nlu/train.jsonl": #"{"text": "a"}"#], "the label"),
        (["nlu/train.jsonl": #"{"text": "a", "label": [1]}"#], "a number or a name"),
        (
            ["trec/train.csv": "text,coarse_label\na,1\nb,HUM\n", "trec/test.csv": "text,coarse_label\na,HUM\n"],
            "by name"
        ),
    ])
    func whatIsWrongIsNamed(_ files: [String: String], _ expected: String) {
        let placed = Dictionary(uniqueKeysWithValues: files.map { ("helmet/data/icl/\($0)", $1) })
        let error = #expect(throws: InputError.self) {
            try DataFolderTests.rows("helmet", placed, lengths: [8192])
        }
        #expect(error?.expected.contains(expected) == true, "\(error?.description ?? "")")
    }
}
