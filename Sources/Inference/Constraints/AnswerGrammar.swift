//  The grammar of a whole answer, from its first byte to its last: see ConstraintCompiler.

import DualityCore

/// Builds the term of an answer.
struct AnswerGrammar {
    private let rules: AnswerRules
    var json = JSONGrammar()

    init(_ rules: AnswerRules) {
        self.rules = rules
    }

    /// All answers that keep the rules.
    mutating func answer() throws(InputError) -> Term {
        let body = try body()
        switch rules.thought {
        case .none: return body
        case .open: return behindThought(body)
        case .possible:
            let tag = json.arena.literal(AnswerTags.think.open)
            let thought = json.arena.sequence([lineFeeds(), tag, behindThought(body)])
            return json.arena.choice([thought, body])
        }
    }

    /// The rest of a thought and what follows it.
    private mutating func behindThought(_ body: Term) -> Term {
        let end = json.arena.automaton(ByteAutomaton(until: Array(AnswerTags.think.close.utf8)))
        let whole = json.arena.sequence([end, lineFeeds(), body])
        // A thought that never ends is an answer where nothing more was asked for.
        guard json.arena.isNullable(body) else { return whole }
        let alone = json.arena.automaton(ByteAutomaton(without: Array(AnswerTags.think.close.utf8)))
        return json.arena.choice([alone, whole])
    }

    private mutating func lineFeeds() -> Term { json.arena.repetition(json.arena.literal("\n"), 0, 2) }

    // MARK: Behind the thought

    private mutating func body() throws(InputError) -> Term {
        if rules.tools.isEmpty { return try document() }
        let tag = AnswerTags.call.open
        let calls = try restOfCalls()
        let forced = json.arena.sequence(json.arena.literal(tag), calls)
        guard rules.toolChoice == .auto else { return forced }
        if rules.form != .text { return json.arena.choice([try document(), forced]) }
        let text = json.arena.automaton(ByteAutomaton(without: Array(tag.utf8)))
        let before = json.arena.automaton(ByteAutomaton(until: Array(tag.utf8)))
        return json.arena.choice([text, json.arena.sequence(before, calls)])
    }

    private mutating func document() throws(InputError) -> Term {
        switch rules.form {
        case .text:
            var any = ByteAutomaton()
            any.append([.init(0, 255, to: 0)], accepts: true)
            return json.arena.automaton(any)
        case .jsonObject: return json.object
        case .choice(let strings, let place):
            guard !strings.isEmpty else {
                throw InputError(.value, in: place, expected: "at least one text", found: "an empty list")
            }
            return json.arena.automaton(ByteAutomaton(strings: strings.map { Array($0.utf8) }))
        case .schema(let schema, let place):
            return try SchemaCompiler.compile(schema, place: place, into: &json)
        case .regex(let pattern, let place):
            guard let texts = try RegexProgram.automaton(pattern, matchesWhole: true, place: place) else {
                throw InputError(.value, in: place, expected: "a pattern that some text matches", found: "none does")
            }
            return json.arena.automaton(ByteAutomaton(texts, spelling: .utf8))
        }
    }

    // MARK: Calls

    /// What follows the first `<tool_call>`.
    private mutating func restOfCalls() throws(InputError) -> Term {
        var tools = rules.tools
        var isSingle = !rules.allowsParallelCalls
        if case .named(let name) = rules.toolChoice {
            tools = tools.filter { $0.name == name }
            isSingle = true
            guard !tools.isEmpty else {
                throw InputError(
                    .value, in: "tool_choice", expected: "the name of a declared tool", found: "\"\(name)\"")
            }
        }
        var options: [Term] = []
        for tool in tools { options.append(try call(of: tool)) }
        let end = json.arena.literal(AnswerTags.call.close)
        let call = json.arena.sequence([json.space, json.arena.choice(options), json.space, end])
        if isSingle { return call }
        let next = json.arena.sequence([lineFeeds(), json.arena.literal(AnswerTags.call.open), call])
        return json.arena.sequence(call, json.arena.repetition(next))
    }

    /// `{"name": NAME, "arguments": ARGUMENTS}`
    private mutating func call(of tool: AnswerRules.Tool) throws(InputError) -> Term {
        var quoted = ""
        JSON.writeQuoted(tool.name, to: &quoted)
        let name = json.member(json.arena.literal("\"name\""), json.arena.literal(quoted))
        let arguments = json.member(json.arena.literal("\"arguments\""), try arguments(of: tool))
        let (open, comma, close) = (json.arena.literal("{"), json.arena.literal(","), json.arena.literal("}"))
        return json.arena.sequence([open, json.space, name, comma, json.space, arguments, close])
    }

    private mutating func arguments(of tool: AnswerRules.Tool) throws(InputError) -> Term {
        guard let schema = tool.parameters else { return json.object }
        return try SchemaCompiler.compile(schema, place: tool.place, onlyObjects: true, into: &json)
    }
}
