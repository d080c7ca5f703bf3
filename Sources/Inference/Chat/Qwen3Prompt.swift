//  The prompt format of the Qwen3 family: ChatML with tools, tool results and thinking.
//
//  What is particular about it:
//  - Tools are listed, one line of JSON each, in the system message, which is made up when the
//    conversation has none.
//  - A tool's result is a user's turn; results that follow each other share one.
//  - Thinking belongs to the answer in progress. The last query is the last user message that is
//    not a tool result; what the assistant thought before it is left out, and what it thought after
//    it is written in front of the answer. The very last message gets an empty thought when it has
//    none.
//  - `enableThinking: false` gives the model that empty thought in advance.
//
//  Source: the template of Qwen3 as revised in 2025 (content may be null), with the variants of
//  Qwen3-Instruct-2507, which knows no thinking, and Qwen3-Thinking-2507, which begins every answer
//  with it.

import DualityCore

struct Qwen3Prompt {
    /// What introduces the list of tools, and what follows it.
    static let toolsHead = """
        # Tools

        You may call one or more functions to assist with the user query.

        You are provided with function signatures within <tools></tools> XML tags:
        <tools>
        """
    static let toolsTail = """

        </tools>

        For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML \
        tags:
        <tool_call>
        {"name": <function-name>, "arguments": <args-json-object>}
        </tool_call><|im_end|>

        """

    let messages: [ChatMessage]
    let tools: [JSON]
    let thinking: ChatTemplate.Thinking

    func text(addGenerationPrompt: Bool, enableThinking: Bool?) -> String {
        var text = systemBlock
        let lastQuery = lastQueryIndex
        for (index, message) in messages.enumerated() {
            switch message.role {
            case .system where index == 0:
                break  // part of the system block
            case .system, .user:
                text += "<|im_start|>\(message.role.rawValue)\n\(message.content ?? "")<|im_end|>\n"
            case .assistant:
                text += assistantTurn(message, showsThinking: thoughtIsShown(at: index, lastQuery: lastQuery))
            case .tool:
                if index == 0 || messages[index - 1].role != .tool { text += "<|im_start|>user" }
                text += "\n<tool_response>\n\(message.content ?? "")\n</tool_response>"
                if index == messages.count - 1 || messages[index + 1].role != .tool { text += "<|im_end|>\n" }
            }
        }
        if addGenerationPrompt {
            text += "<|im_start|>assistant\n"
            if thinking == .always { text += "<think>\n" }
            if thinking == .switchable && enableThinking == false { text += "<think>\n\n</think>\n\n" }
        }
        return text
    }

    private var systemBlock: String {
        let system = messages.first?.role == .system ? messages.first?.content ?? "" : nil
        if tools.isEmpty { return system.map { "<|im_start|>system\n\($0)<|im_end|>\n" } ?? "" }
        let list = tools.map { "\n" + $0.pythonText }.joined()
        return "<|im_start|>system\n" + (system.map { $0 + "\n\n" } ?? "") + Self.toolsHead + list + Self.toolsTail
    }

    /// The last user message that is a query and not the result of a tool; the last message when
    /// there is none.
    private var lastQueryIndex: Int {
        messages.lastIndex { message in
            guard message.role == .user, let content = message.content else { return false }
            return !(content.hasExactPrefix("<tool_response>") && content.hasExactSuffix("</tool_response>"))
        } ?? messages.count - 1
    }

    /// Whether the assistant message at `index` is written with its thinking, and what it thought.
    private func thoughtIsShown(at index: Int, lastQuery: Int) -> (String) -> Bool {
        let isLast = index == messages.count - 1
        return { thought in index > lastQuery && (isLast || !thought.isEmpty) }
    }

    private func assistantTurn(_ message: ChatMessage, showsThinking: (String) -> Bool) -> String {
        var text = "<|im_start|>assistant\n"
        var content = message.content ?? ""
        if thinking == .never {
            text += content
        } else {
            var thought = message.reasoning ?? ""
            if message.reasoning == nil, let parts = content.splitThinking {
                (thought, content) = parts
            }
            if showsThinking(thought) {
                text += "<think>\n\(thought.trimmingLineFeeds())\n</think>\n\n\(content.trimmingLineFeeds(.leading))"
            } else {
                text += content
            }
        }
        for (index, call) in message.toolCalls.enumerated() {
            if index > 0 || !content.isEmpty { text += "\n" }
            let arguments = call.arguments.string ?? call.arguments.pythonText
            text += "<tool_call>\n{\"name\": \"\(call.name)\", \"arguments\": \(arguments)}\n</tool_call>"
        }
        return text + "<|im_end|>\n"
    }
}

// Byte by byte throughout: `Character` would glue a tag to a combining mark behind it, and CR to
// LF.
extension String {
    fileprivate enum Ends {
        case leading, trailing, both
    }

    fileprivate func hasExactPrefix(_ prefix: String) -> Bool { utf8.starts(with: prefix.utf8) }

    fileprivate func hasExactSuffix(_ suffix: String) -> Bool { utf8.reversed().starts(with: suffix.utf8.reversed()) }

    fileprivate func trimmingLineFeeds(_ ends: Ends = .both) -> String {
        var rest = utf8[...]
        if ends != .trailing { rest = rest.drop { $0 == UInt8(ascii: "\n") } }
        while ends != .leading, rest.last == UInt8(ascii: "\n") { rest.removeLast() }
        return String(Substring(rest))
    }

    /// What stands between `<think>` and the first `</think>`, and what stands behind the last; nil
    /// without `</think>`.
    fileprivate var splitThinking: (thought: String, rest: String)? {
        let ends = utf8.ranges(of: "</think>".utf8)
        guard let first = ends.first, let last = ends.last else { return nil }
        let before = String(Substring(utf8[..<first.lowerBound])).trimmingLineFeeds(.trailing)
        let start = before.utf8.ranges(of: "<think>".utf8).last?.upperBound ?? before.startIndex
        return (
            String(Substring(before.utf8[start...])).trimmingLineFeeds(.leading),
            String(Substring(utf8[last.upperBound...])).trimmingLineFeeds(.leading)
        )
    }
}
