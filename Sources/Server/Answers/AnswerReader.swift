//  From the tokens of one answer to its pieces.
//
//      token -> text (never half a character) -> thought, content, calls -> content without stop strings
//
//  Stop strings are sought in the content only, so that neither a thought nor a call ends at one.
//  Every stage holds back what may still turn out to be a tag or a stop string. Whole and streamed
//  answers are read by this one type.

import DualityCore
import DualityInference

/// How the answers of a request are read.
package struct ReadingRules: Sendable {
    package var thought = AnswerRules.Thought.none
    package var tools: [String] = []
    package var stopStrings: [String] = []
    package var includesStop = false
    package var skipsSpecial = true
    package var minTokens = 0
    /// Tokens that end the answer and are not part of it.
    package var endTokens: Set<Int> = []

    package init() {}
}

/// A reader of one answer.
package struct AnswerReader: Sendable {
    private let rules: ReadingRules
    private let tokenizer: Tokenizer
    private var decoder: StreamingDecoder
    private var parser: AnswerParser
    private var stops: StopStrings
    private var begunCalls = 0

    /// Tokens taken, the last one included.
    package private(set) var tokenCount = 0
    /// Of them, those of a thought and its tags.
    package private(set) var reasoningCount = 0

    /// Whether a stop string ended the answer: no further token is part of it.
    package var isStopped: Bool { stops.matched != nil }

    package init(_ tokenizer: Tokenizer, _ rules: ReadingRules) {
        self.rules = rules
        self.tokenizer = tokenizer
        decoder = StreamingDecoder(tokenizer)
        parser = AnswerParser(thought: rules.thought, tools: rules.tools)
        stops = StopStrings(rules.stopStrings)
    }

    /// Takes the next token and returns what became certain with it.
    package mutating func take(_ token: Int) -> [AnswerPiece] {
        guard !isStopped else { return [] }
        tokenCount += 1
        let wasThinking = parser.isThinking
        defer { if wasThinking || parser.isThinking { reasoningCount += 1 } }
        guard isText(token) else { return [] }
        return pieces(of: parser.push(decoder.push(token)))
    }

    /// What is left when no token follows.
    package mutating func finish() -> [AnswerPiece] {
        guard !isStopped else { return [] }
        var pieces = pieces(of: parser.push(decoder.finish()))
        if !isStopped { pieces += self.pieces(of: parser.finish()) }
        if !isStopped, case let rest = stops.finish(), !rest.isEmpty { pieces.append(.content(rest)) }
        return pieces
    }

    /// The end of the answer, once `finish` has been called.
    package func end(_ reason: ServingReason) -> AnswerEnd {
        if let string = stops.matched { return AnswerEnd(finishReason: "stop", stopReason: .string(string)) }
        let hasCalls = parser.completeCalls > 0 && begunCalls == parser.completeCalls
        switch reason {
        case .length: return AnswerEnd(finishReason: hasCalls ? "tool_calls" : "length")
        case .stopToken(let token):
            return AnswerEnd(finishReason: hasCalls ? "tool_calls" : "stop", stopReason: .token(token))
        case .end, .finished, .cancelled: return AnswerEnd(finishReason: hasCalls ? "tool_calls" : "stop")
        }
    }

    /// Whether a token is part of the text.
    private func isText(_ token: Int) -> Bool {
        if !rules.includesStop, rules.endTokens.contains(token) { return false }
        guard rules.skipsSpecial, tokenizer.isSpecial(token) else { return true }
        // The marks of thoughts and calls may be special tokens; they are for the parser.
        let isParsed = rules.thought != .none || !rules.tools.isEmpty
        return isParsed && AnswerParser.isTag(tokenizer.bytes(of: token))
    }

    private mutating func pieces(of events: [AnswerEvent]) -> [AnswerPiece] {
        var pieces: [AnswerPiece] = []
        for event in events where !isStopped {
            switch event {
            case .reasoning(let text): pieces.append(.reasoning(text))
            case .content(let text):
                var text = tokenCount >= rules.minTokens ? stops.push(text) : text
                if let stop = stops.matched, rules.includesStop { text += stop }
                if !text.isEmpty { pieces.append(.content(text)) }
            case .callBegins(let index, let name):
                begunCalls = index + 1
                // Content that a stop string might have begun with does not go on behind a call.
                if case let rest = stops.finish(), !rest.isEmpty { pieces.append(.content(rest)) }
                pieces.append(.callBegins(index: index, name: name))
            case .callArguments(let index, let text): pieces.append(.callArguments(index: index, text))
            case .callEnds: break
            }
        }
        return pieces
    }
}
