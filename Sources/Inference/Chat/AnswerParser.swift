//  Takes an answer apart while it arrives: thought, content, calls.
//
//      <think> thought </think> content <tool_call> {"name": "…", "arguments": {…}} </tool_call> …
//
//  Works on text, however tokens cut it, and gives out what is certain: text that may turn out to
//  be a tag waits. The tags and the line feeds at the borders belong to neither part. Arguments are
//  the model's own text, verbatim, so that the pieces of a stream put together are the whole.
//
//  A `<tool_call>` that is not followed by a declared name and the beginning of an object is text.

/// A piece of an answer.
public enum AnswerEvent: Sendable, Equatable {
    /// More of the thought.
    case reasoning(String)
    /// More of what is said.
    case content(String)
    /// A call begins; calls are counted from 0, and one ends before the next begins.
    case callBegins(index: Int, name: String)
    /// More of the JSON text of its arguments.
    case callArguments(index: Int, String)
    /// The call is complete. A call that was cut off has no end.
    case callEnds(index: Int)
}

/// A parser of one answer.
public struct AnswerParser: Sendable {
    private enum Part: Sendable {
        /// Before a thought or the content.
        case start
        case thought(isEmpty: Bool)
        /// Line feeds between thought and content.
        case gap
        case content
        /// Behind `<tool_call>`, which stood behind so many line feeds.
        case call(lineFeeds: Int)
        case arguments(JSONScanner)
        case endOfCall
        case behindCall
        /// A call broke off, or text follows a call: nothing more is given out.
        case ignored
    }

    private var part: Part
    private let tools: Set<String>
    /// Text that is not yet given out.
    private var held: [UInt8] = []
    private var events: [AnswerEvent] = []
    private var begunCalls = 0

    /// How many calls are complete.
    public private(set) var completeCalls = 0

    /// - Parameters:
    ///   - thought: whether the answer may begin with a thought, or is inside one already.
    ///   - tools: names of tools; with none, what looks like a call is content.
    public init(thought: AnswerRules.Thought = .none, tools: some Sequence<String> = []) {
        switch thought {
        case .none: part = .content
        case .possible: part = .start
        case .open: part = .thought(isEmpty: true)
        }
        self.tools = Set(tools)
    }

    /// Whether the text so far ends inside a thought.
    public var isThinking: Bool { if case .thought = part { true } else { false } }

    /// Takes the next piece of text and returns what became certain with it.
    public mutating func push(_ text: String) -> [AnswerEvent] {
        held += text.utf8
        while step() {}
        defer { events = [] }
        return events
    }

    /// What was held back, when the answer ends.
    public mutating func finish() -> [AnswerEvent] {
        switch part {
        case .start, .content:
            emitContent(held.count)
        case .thought:
            emitThought(before: held.count, keepingLineFeeds: false)
        case .call(let lineFeeds) where begunCalls == 0:
            held = Self.lineFeeds(lineFeeds) + Array(AnswerTags.call.open.utf8) + held
            emitContent(held.count)
        case .gap, .call, .arguments, .endOfCall, .behindCall, .ignored: break
        }
        held = []
        part = .ignored
        defer { events = [] }
        return events
    }

    // MARK: One step; returns whether another may follow

    private mutating func step() -> Bool {
        switch part {
        case .start: return stepStart()
        case .thought(let isEmpty): return stepThought(isEmpty)
        case .gap:
            held.removeFirst(held.prefix { $0 == 10 }.count)
            if held.isEmpty { return false }
            part = .content
            return true
        case .content: return stepContent()
        case .call(let lineFeeds): return stepCall(lineFeeds)
        case .arguments(let scanner): return stepArguments(scanner)
        case .endOfCall: return stepEndOfCall()
        case .behindCall: return stepBehindCall()
        case .ignored:
            held = []
            return false
        }
    }

    private mutating func stepStart() -> Bool {
        let lineFeeds = held.prefix { $0 == 10 }.count
        switch Self.compare(held[lineFeeds...], AnswerTags.think.open) {
        case .undecided: return false
        case .equal:
            held.removeFirst(lineFeeds + AnswerTags.think.open.utf8.count)
            part = .thought(isEmpty: true)
        case .different: part = .content
        }
        return true
    }

    private mutating func stepThought(_ isEmpty: Bool) -> Bool {
        if isEmpty {
            held.removeFirst(held.prefix { $0 == 10 }.count)
            if held.isEmpty { return false }
        }
        let tag = Array(AnswerTags.think.close.utf8)
        if let place = Self.place(of: tag, in: held) {
            emitThought(before: place, keepingLineFeeds: false)
            held.removeFirst(held.prefix { $0 == 10 }.count + tag.count)
            part = .gap
            return true
        }
        emitThought(before: held.count - Self.overlap(held, tag), keepingLineFeeds: true)
        return false
    }

    private mutating func stepContent() -> Bool {
        let tag = Array(AnswerTags.call.open.utf8)
        guard !tools.isEmpty else {
            emitContent(held.count)
            return false
        }
        if let place = Self.place(of: tag, in: held) {
            let lineFeeds = Self.trailingLineFeeds(held[..<place])
            emitContent(place - lineFeeds)
            held.removeFirst(lineFeeds + tag.count)
            part = .call(lineFeeds: lineFeeds)
            return true
        }
        let end = held.count - Self.overlap(held, tag)
        emitContent(end - Self.trailingLineFeeds(held[..<end]))
        return false
    }

    private mutating func stepCall(_ lineFeeds: Int) -> Bool {
        switch CallHead(held, tools: tools) {
        case .undecided: return false
        case .name(let name, let length):
            events.append(.callBegins(index: begunCalls, name: name))
            begunCalls += 1
            held.removeFirst(length)
            part = .arguments(JSONScanner())
        case .different where begunCalls == 0:
            // No call: the tag is text, and what follows it may hold another.
            held = Self.lineFeeds(lineFeeds) + Array(AnswerTags.call.open.utf8) + held
            emitContent(lineFeeds + AnswerTags.call.open.utf8.count)
            part = .content
        case .different: part = .ignored
        }
        return true
    }

    private mutating func stepArguments(_ scanner: JSONScanner) -> Bool {
        var scanner = scanner
        var length = 0
        var isBroken = false
        while length < held.count, !scanner.isOver {
            guard scanner.take(held[length]) else {
                isBroken = true
                break
            }
            length += 1
        }
        if length > 0 {
            events.append(.callArguments(index: begunCalls - 1, String(decoding: held[..<length], as: UTF8.self)))
            held.removeFirst(length)
        }
        part = isBroken ? .ignored : scanner.isOver ? .endOfCall : .arguments(scanner)
        return isBroken || scanner.isOver
    }

    private mutating func stepEndOfCall() -> Bool {
        let text = held.filter { !Self.isSpace($0) }
        switch Self.compare(text[...], "}" + AnswerTags.call.close) {
        case .undecided: return false
        case .equal:
            events.append(.callEnds(index: begunCalls - 1))
            completeCalls += 1
            held.removeFirst(held.firstIndex(of: UInt8(ascii: ">"))! + 1)
            part = .behindCall
        case .different: part = .ignored
        }
        return true
    }

    private mutating func stepBehindCall() -> Bool {
        held.removeFirst(held.prefix(while: Self.isSpace).count)
        switch Self.compare(held[...], AnswerTags.call.open) {
        case .undecided: return false
        case .equal:
            held.removeFirst(AnswerTags.call.open.utf8.count)
            part = .call(lineFeeds: 0)
        case .different: part = .ignored
        }
        return true
    }

    // MARK: Giving out

    private mutating func emitContent(_ count: Int) {
        guard count > 0 else { return }
        events.append(.content(String(decoding: held[..<count], as: UTF8.self)))
        held.removeFirst(count)
    }

    /// Gives out the thought before `end` but for line feeds at its end, which may be the border.
    private mutating func emitThought(before end: Int, keepingLineFeeds: Bool) {
        let lineFeeds = Self.trailingLineFeeds(held[..<end])
        let count = end - lineFeeds
        if count > 0 {
            events.append(.reasoning(String(decoding: held[..<count], as: UTF8.self)))
            held.removeFirst(count)
            part = .thought(isEmpty: false)
        }
    }

    // MARK: Looking at bytes

    private enum Comparison { case undecided, equal, different }

    /// Whether the bytes begin with a text, or may once more of them are there.
    private static func compare(_ bytes: ArraySlice<UInt8>, _ text: String) -> Comparison {
        let shared = zip(bytes, text.utf8).prefix { $0 == $1 }.count
        if shared == text.utf8.count { return .equal }
        return shared == bytes.count ? .undecided : .different
    }

    private static func place(of tag: [UInt8], in bytes: [UInt8]) -> Int? {
        guard bytes.count >= tag.count else { return nil }
        return (0...bytes.count - tag.count).first {
            bytes[$0] == tag[0] && bytes[$0..<$0 + tag.count].elementsEqual(tag)
        }
    }

    /// How many bytes at the end may begin a tag that is not there as a whole.
    private static func overlap(_ bytes: [UInt8], _ tag: [UInt8]) -> Int {
        (0...min(bytes.count, tag.count - 1)).last { bytes.suffix($0).elementsEqual(tag[..<$0]) }!
    }

    private static func trailingLineFeeds(_ bytes: ArraySlice<UInt8>) -> Int {
        bytes.reversed().prefix { $0 == 10 }.count
    }

    private static func lineFeeds(_ count: Int) -> [UInt8] { Array(repeating: 10, count: count) }

    static func isSpace(_ byte: UInt8) -> Bool { [0x20, 0x09, 0x0a, 0x0d].contains(byte) }
}
