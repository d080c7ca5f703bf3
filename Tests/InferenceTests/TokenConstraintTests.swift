import DualityCore
import Testing

@testable import DualityInference

@Suite struct TokenConstraintTests {
    private func rules(_ change: (inout AnswerRules) -> Void) -> AnswerRules {
        var rules = AnswerRules()
        change(&rules)
        return rules
    }

    private func constraint(_ rules: AnswerRules) throws -> TokenConstraint {
        let constraint = try ConstraintFixtures.compiler.get().constraint(rules)
        return try #require(constraint)
    }

    /// The mask against its definition: try every token on its own.
    @Test func aMaskHasTheTokensThatLeadOn() throws {
        let tokenizer = try ConstraintFixtures.tokenizer.get()
        let objects = rules { $0.form = .jsonObject }
        var constraint = try self.constraint(objects)
        for token in tokenizer.encode("{\"name\": [1.5, {\"é\\n\": \"\\ud83d\\ude00\"}],\n  \"b\": true}") {
            let mask = try constraint.mask()
            for other in 0..<tokenizer.vocabularySize {
                #expect(try mask.contains(other) == constraint.allows(other), "\(other) before \(token)")
            }
            #expect(!mask.contains(ConstraintFixtures.endToken) && !constraint.isComplete)
            try constraint.advance(by: token)
        }
        #expect(constraint.isComplete && constraint.isOver)
        #expect(try constraint.mask().count == 1)
        #expect(try constraint.mask().contains(ConstraintFixtures.endToken))
    }

    @Test func aMaskTakesLogitsAway() throws {
        var constraint = try self.constraint(
            rules { $0.form = .choice(["ab", "ac"], place: "choice") })
        let tokenizer = try ConstraintFixtures.tokenizer.get()
        try constraint.advance(by: #require(tokenizer.id(of: "a")))
        let mask = try constraint.mask()
        var logits = [Float](repeating: 1, count: tokenizer.vocabularySize + 70)
        logits.withUnsafeMutableBufferPointer { mask.apply(to: $0) }
        let left = logits.indices.filter { logits[$0] == 1 }
        #expect(Set(left) == Set(["b", "c"].compactMap(tokenizer.id)))
        #expect(mask.count == left.count)
    }

    @Test func aTokenThatIsNotAllowedIsRefused() throws {
        var constraint = try self.constraint(rules { $0.form = .jsonObject })
        let tokenizer = try ConstraintFixtures.tokenizer.get()
        for token in [tokenizer.id(of: "a")!, ConstraintFixtures.endToken, 0, -1, 1 << 40] {
            #expect(throws: InputError.self) { try constraint.advance(by: token) }
        }
        try constraint.advance(by: tokenizer.id(of: "{")!)
    }

    static let documents: [(String, Bool)] = [
        ("{}", true), ("{\n  \"a\": 1\n}", true), ("{\"a\":1,\"b\":[ ]}", true), ("{\"a\": -0.5e-7}", true),
        ("{\"a\": \"\\u00e9 \\ud83d\\ude00 😀\\/\"}", true), ("{\"a\": [[], {}, null, true, false]}", true),
        ("", false), ("[]", false), (" {}", false), ("{} ", false), ("{  }", false), ("{\n\n\n}", false),
        ("{\"a\": 01}", false), ("{\"a\": 1.}", false), ("{\"a\": +1}", false), ("{\"a\": NaN}", false),
        ("{\"a\" 1}", false), ("{\"a\": 1,}", false), ("{'a': 1}", false), ("{\"a\": \"\\ud800\"}", false),
        ("{\"a\": \"\\x\"}", false), ("{\"a\": \"\n\"}", false), ("{\"a\": 12345678901234567}", false),
        ("{\"a\": 1e999}", false), ("{\"a\": [1 2]}", false), ("{\"a\": {]}", false),
    ]

    @Test(arguments: documents) func objectsFollowTheGrammar(_ text: String, _ isValid: Bool) throws {
        #expect(try ConstraintFixtures.accepts(text, rules { $0.form = .jsonObject }) == isValid)
    }

    @Test func walksThroughTheMasksAreObjects() throws {
        var random = RandomSource(seed: 3)
        for haste in [true, false] {
            for _ in 0..<30 {
                let walk = try ConstraintFixtures.walk(
                    rules { $0.form = .jsonObject }, &random, limit: 400, haste: haste)
                guard let text = walk else { continue }
                let value = try JSON(parsing: text)
                #expect(value.object != nil, "\(text)")
            }
        }
    }

    @Test func answersAreOneOfAChoice() throws {
        let colours = rules { $0.form = .choice(["red", "reddish", "blue", "é"], place: "choice") }
        for (text, isValid) in [
            ("red", true), ("reddish", true), ("é", true), ("redd", false), ("", false), ("reds", false),
        ] {
            #expect(try ConstraintFixtures.accepts(text, colours) == isValid, "\(text)")
        }
        #expect(throws: InputError.self) {
            try ConstraintFixtures.accepts("", rules { $0.form = .choice([], place: "choice") })
        }
    }

    @Test func aConstraintBeginsBehindTheThought() throws {
        for thought in [AnswerRules.Thought.possible, .open] {
            let shaped = rules {
                $0.thought = thought
                $0.form = .choice(["yes", "no"], place: "choice")
            }
            let open = thought == .open ? "" : "<think>"
            for (text, isValid) in [
                (open + "\nPerhaps \u{fffd} <tool_call>\n</think>\n\nyes", true), (open + "</think>no", true),
                (open + "never ends", false), (open + "</think>perhaps", false), ("yes", thought == .possible),
            ] {
                #expect(try ConstraintFixtures.accepts(text, shaped) == isValid, "\(text)")
            }
        }
    }

    @Test func callsAreOfDeclaredToolsAndComplete() throws {
        let call = "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>"
        let choices: [(AnswerRules.ToolChoice, Bool, [String: Bool])] = [
            (
                .auto, true,
                ["": true, "Hello <tool": true, "So:\n" + call: true, call + "\n" + call: true, call + " more": false]
            ),
            (.auto, false, [call: true, call + "\n" + call: false]),
            (.required, true, ["": false, "Hello": false, call: true, call + call: true, "\n" + call: false]),
            (.named("add"), true, [call: true, call + call: false]),
            (.named("count"), true, [call: false]),
        ]
        for (choice, parallel, texts) in choices {
            let tools = rules {
                $0.tools = ["add", "count"].map { .init(name: $0, parameters: nil, place: "tools") }
                $0.toolChoice = choice
                $0.allowsParallelCalls = parallel
            }
            for (text, isValid) in texts {
                #expect(try ConstraintFixtures.accepts(text, tools) == isValid, "\(choice), \(text)")
            }
            #expect(
                try !ConstraintFixtures.accepts(
                    "<tool_call>\n{\"name\": \"sub\", \"arguments\": {}}\n</tool_call>", tools))
            #expect(try !ConstraintFixtures.accepts(call.replacing("}}", with: "}"), tools))
        }
    }
}
