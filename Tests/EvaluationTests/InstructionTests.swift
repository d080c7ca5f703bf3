//  Instructions of IFEval as the official checkers take them, where data or text is not tidy.

import DualityCore
import DualityEvaluation
import Testing

struct InstructionTests {
    /// Instruction, arguments, text, and what lm-evaluation-harness 0.4.13 says of it.
    @Test(arguments: [
        ("keywords:frequency", #"{"keyword": " river ", "frequency": 1, "relation": "at least"}"#, "river", true),
        ("keywords:letter_frequency", #"{"letter": "T", "let_frequency": 2, "let_relation": "at least"}"#, "tT", true),
        ("detectable_content:postscript", #"{"postscript_marker": " P.S. "}"#, "p.s. x", true),
        ("detectable_format:multiple_sections", #"{"section_spliter": " Day", "num_sections": 1}"#, "Day 1", true),
        ("detectable_format:multiple_sections", #"{"section_spliter": "(Day)", "num_sections": 2}"#, "Day 1", true),
        ("detectable_format:multiple_sections", #"{"section_spliter": "Day", "num_sections": 2}"#, "Day 1", false),
        (
            "language:response_language", #"{"language": "no"}"#,
            "Været er veldig fint i dag, og jeg vil gjerne gå en tur.", true
        ),
        (
            "language:response_language", #"{"language": "da"}"#,
            "Vejret er meget behageligt i dag, og jeg vil gerne gå.", true
        ),
        capitals(2, "-\n*I'M\n* x", true), capitals(2, "NASA\u{2014}USA", true), capitals(2, "CANNOT", true),
        capitals(2, "DON'T", true), capitals(2, "U.S.A.", false), capitals(2, "A,B", true), capitals(2, "A:5", false),
        capitals(2, "STOP!GO", true), capitals(2, "it's OK", false),
    ])
    func rulesAreTheOfficialOnes(_ id: String, _ arguments: String, _ text: String, _ isFollowed: Bool) throws {
        let doc: JSON = [
            "instruction_id_list": .array([.string(id)]), "kwargs": .array([try JSON(parsing: arguments)]),
        ]
        let score = try IFEval().score(JSONFields(doc, place: "row"), .outputs([text]))
        #expect(score.value("prompt_level_strict_acc")?.number == (isFollowed ? 1 : 0))
    }

    private static func capitals(_ count: Int, _ text: String, _ isFollowed: Bool) -> (String, String, String, Bool) {
        (
            "change_case:capital_word_frequency",
            #"{"capital_frequency": \#(count), "capital_relation": "at least"}"#, text, isFollowed
        )
    }
}
