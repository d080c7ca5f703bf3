//  Which template a Jinja program is, by what it is made of.
//
//  A chat template is a short program, and what it can write is in its string literals and the variables it looks at. The
//  literals and the names of a program, as two sets, are compared with those of the templates rendered natively: nothing
//  may be there that is not known, nothing that is essential may be missing. That survives another indentation, quoting
//  or spelling (`message.role`, `message['role']`) and notices any other wording, another variable or another filter. It
//  does not notice a program that does different things with the same words; none is known.
//
//  Source of the grammar: Jinja 3.1 template designer documentation; whitespace as Hugging Face sets it (trim_blocks,
//  lstrip_blocks).

/// The string literals, names and operators of a Jinja template.
struct TemplateInventory {
    /// Strings the template can write or compares with; also its text outside of tags.
    private(set) var literals: Set<String> = []
    private(set) var names: Set<String> = []
    /// Tags that are left open, or characters of no token: not a template at all.
    private(set) var isBroken = false

    init(_ source: String) {
        read(Array(source.unicodeScalars))
    }

    // MARK: What is known

    private static let tags: Set<String> = ["<|im_start|>", "<|im_end|>", "\n", "<|im_end|>\n"]
    private static let turns: Set<String> = [
        "<|im_start|>assistant\n", "role", "content", "user", "system", "assistant",
    ]
    private static let control: Set<String> = [
        "for", "endfor", "in", "if", "elif", "else", "endif", "and", "or", "not", "set", "is", "defined", "messages",
        "message", "role", "content", "add_generation_prompt", "true", "false", "True", "False",
    ]

    private static let qwenLiterals: Set<String> = tags.union(turns).union([
        "", "\n\n", "<|im_start|>system\n", Qwen3Prompt.toolsHead, Qwen3Prompt.toolsTail,
        "<tool_call>\n{\"name\": \"", "\", \"arguments\": ", "}\n</tool_call>", "tool", "<|im_start|>user",
        "<tool_response>", "</tool_response>", "\n<tool_response>\n", "\n</tool_response>",
        "<think>", "</think>", "<think>\n", "\n<think>\n", "\n</think>\n\n", "<think>\n\n</think>\n\n",
        "<|im_start|>assistant\n<think>\n",
    ])
    private static let qwenEssentials: Set<String> = [
        Qwen3Prompt.toolsHead, Qwen3Prompt.toolsTail, "<tool_call>\n{\"name\": \"", "\", \"arguments\": ",
        "}\n</tool_call>", "\n<tool_response>\n", "\n</tool_response>",
    ]
    private static let qwenNames: Set<String> = control.union([
        "tools", "tool", "tojson", "tool_calls", "tool_call", "function", "name", "arguments", "loop", "first", "last",
        "index0", "length", "ns", "namespace", "multi_step_tool", "last_query_index", "index", "string", "none",
        "startswith", "endswith", "split", "strip", "lstrip", "rstrip", "reasoning_content", "enable_thinking",
        // an early version cuts messages itself instead of asking for their beginning and end
        "tool_start", "tool_start_length", "start_of_message", "tool_end", "tool_end_length", "start_pos",
        "end_of_message",
        "current_content",
    ])

    /// The template this is, or nil.
    var style: ChatTemplate.Style? {
        if isBroken { return nil }
        if Self.qwenEssentials.isSubset(of: literals), literals.isSubset(of: Self.qwenLiterals),
            names.isSubset(of: Self.qwenNames)
        {
            return qwenThinking.map { .qwen3($0) }
        }
        return chatML
    }

    /// What a template of the Qwen3 family does about thinking, by the variables it looks at.
    private var qwenThinking: ChatTemplate.Thinking? {
        let keepsHistory = names.isSuperset(of: ["last_query_index", "reasoning_content"])
        let hasThoughts = literals.contains { $0.contains("think>") }
        switch (keepsHistory, names.contains("enable_thinking"), literals.contains("<|im_start|>assistant\n<think>\n"))
        {
        case (true, true, false): return literals.contains("<think>\n\n</think>\n\n") ? .switchable : nil
        case (true, false, true): return .always
        case (false, false, false): return hasThoughts ? nil : .never
        default: return nil
        }
    }

    private var chatML: ChatTemplate.Style? {
        guard literals.contains("<|im_start|>assistant\n"), literals.contains("<|im_start|>"),
            names.union(literals).isSuperset(of: ["messages", "role", "content", "add_generation_prompt"])
        else { return nil }
        let unknown = literals.subtracting(Self.tags).subtracting(Self.turns)
        if unknown.isEmpty { return names.isSubset(of: Self.control) ? .chatML(defaultSystem: nil) : nil }
        // Qwen2 and others put a system message in front when there is none.
        let (head, tail) = ("<|im_start|>system\n", "<|im_end|>\n")
        guard unknown.count == 1, let literal = unknown.first, literal.hasPrefix(head), literal.hasSuffix(tail),
            names.isSubset(of: Self.control.union(["loop", "first"]))
        else { return nil }
        return .chatML(defaultSystem: String(literal.dropFirst(head.count).dropLast(tail.count)))
    }

    /// The most telling thing that is not known, for a message.
    var oddity: String {
        if isBroken { return "not a well-formed Jinja template" }
        if let literal = literals.subtracting(Self.qwenLiterals).min() {
            return "it writes \(String(literal.prefix(60)).debugDescription)"
        }
        if let name = names.subtracting(Self.qwenNames).min() { return "it uses \(name)" }
        return "parts of the Qwen3 template are missing"
    }
}

// MARK: - Reading

extension TemplateInventory {
    /// Goes through text and tags in turn.
    private mutating func read(_ source: [Unicode.Scalar]) {
        var position = 0
        var trimsNext = Trim.none
        while position < source.count {
            let open = Self.firstTag(in: source, from: position) ?? source.count
            let isBlock = open < source.count && source[open + 1] == "%"
            let stripsBefore = open + 2 < source.count && source[open + 2] == "-"
            addText(source, position..<open, trimsNext, before: stripsBefore ? .all : isBlock ? .indentation : .none)
            if open == source.count { return }
            guard let end = readTag(source, from: open) else {
                isBroken = true
                return
            }
            let stripsAfter = end >= 3 && source[end - 3] == "-"
            trimsNext = stripsAfter ? .all : isBlock ? .lineFeed : .none
            position = end
        }
    }

    private enum Trim {
        case none, all, lineFeed, indentation
    }

    /// Text outside of tags is written as it is, but for the white space that the tags around it take away.
    private mutating func addText(_ source: [Unicode.Scalar], _ range: Range<Int>, _ after: Trim, before: Trim) {
        var (start, end) = (range.lowerBound, range.upperBound)
        switch after {
        case .all: while start < end, source[start].properties.isWhitespace { start += 1 }
        case .lineFeed: if start < end, source[start] == "\n" { start += 1 }
        case .none, .indentation: break
        }
        switch before {
        case .all: while start < end, source[end - 1].properties.isWhitespace { end -= 1 }
        case .indentation:
            var line = end
            while line > start, source[line - 1] == " " || source[line - 1] == "\t" { line -= 1 }
            if line == 0 || source[line - 1] == "\n" { end = line }
        case .none, .lineFeed: break
        }
        if start < end { literals.insert(String(String.UnicodeScalarView(source[start..<end]))) }
    }

    private static func firstTag(in source: [Unicode.Scalar], from start: Int) -> Int? {
        source.indices.dropLast().first {
            $0 >= start && source[$0] == "{" && ["{", "%", "#"].contains(source[$0 + 1])
        }
    }

    /// Collects the tokens of the tag that opens at `start`; returns where it ends, or nil when it does not.
    private mutating func readTag(_ source: [Unicode.Scalar], from start: Int) -> Int? {
        let kind = source[start + 1]
        let close: Unicode.Scalar = kind == "{" ? "}" : kind
        var position = start + 2
        while position + 1 < source.count {
            let scalar = source[position]
            if scalar == close && source[position + 1] == "}" { return position + 2 }
            if kind == "#" {
                position += 1
            } else if scalar == "'" || scalar == "\"" {
                guard let end = readString(source, from: position) else { return nil }
                position = end
            } else if scalar == "_" || scalar.properties.isAlphabetic {
                var end = position
                while end < source.count,
                    source[end] == "_" || source[end].properties.isAlphabetic
                        || source[end].properties.numericType != nil
                { end += 1 }
                names.insert(String(String.UnicodeScalarView(source[position..<end])))
                position = end
            } else {
                position += 1
            }
        }
        return nil
    }

    /// Collects the string literal whose quote is at `start`; returns where it ends.
    private mutating func readString(_ source: [Unicode.Scalar], from start: Int) -> Int? {
        var text = String.UnicodeScalarView()
        var position = start + 1
        while position < source.count {
            var scalar = source[position]
            if scalar == source[start] {
                literals.insert(String(text))
                return position + 1
            }
            if scalar == "\\", position + 1 < source.count {
                position += 1
                scalar = source[position]
                switch scalar {
                case "n": scalar = "\n"
                case "t": scalar = "\t"
                case "r": scalar = "\r"
                case "\\", "'", "\"": break
                default: text.append("\\")  // Python keeps the backslash of an unknown escape
                }
            }
            text.append(scalar)
            position += 1
        }
        return nil
    }
}
