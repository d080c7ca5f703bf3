//  Which template a Jinja program is.
//
//  A chat template is a short program. The versions of the Qwen3 template that were compared with
//  the renderer here are known by a fingerprint of their tokens, which survives another
//  indentation, quoting or spelling (`message.role`, `message['role']`) and nothing else. Other
//  programs are judged by their words, the string literals and the names they are made of: nothing
//  may be there that the family does not use, nothing essential may be missing. The words do not
//  tell in which order things are done, so a member of the Qwen3 family that is known by them alone
//  comes with a warning. Plain ChatML is too short to say anything else with its words.

import DualityCore

/// What a Jinja program is made of, and which template that makes it.
struct TemplateRecognition {
    let style: ChatTemplate.Style?
    /// Why the style may be wrong, or why there is none.
    let doubt: String?

    init(_ source: String) {
        guard let tokens = JinjaToken.tokens(of: source) else {
            (style, doubt) = (nil, "not a well-formed Jinja template")
            return
        }
        var literals: Set<String> = []
        var names: Set<String> = []
        for token in tokens {
            switch token {
            case .text(let text), .literal(let text): literals.insert(text)
            case .name(let name): names.insert(name)
            case .mark: break
            }
        }
        let words = TemplateWords(literals: literals, names: names)
        if let known = Self.known[JinjaToken.fingerprint(tokens)] {
            (style, doubt) = (.qwen3(known), nil)
        } else if let style = words.chatML {
            (self.style, doubt) = (style, nil)
        } else if let thinking = words.qwen3 {
            style = .qwen3(thinking)
            doubt = "it is made of the words of the Qwen3 template and is not a version that was compared with it"
        } else {
            (style, doubt) = (nil, words.oddity)
        }
    }

    /// Fingerprints of published templates that render as this module does, wherever they render at
    /// all.
    private static let known: [UInt64: ChatTemplate.Thinking] = [
        0x9443_d940_b5ed_9cd5: .switchable,  // Qwen3, April 2025
        0x4ab8_54b5_6af0_aa61: .switchable,  // Qwen3, revised: content may be null
        0x9e1d_4020_8597_1274: .always,  // Qwen3-Thinking-2507
    ]
}

/// The string literals and the names of a template, without their order.
private struct TemplateWords {
    let literals: Set<String>
    let names: Set<String>

    private static let tags: Set<String> = [
        "<|im_start|>", "<|im_end|>", "\n", "<|im_end|>\n", "<|im_start|>assistant\n",
    ]
    private static let roles: Set<String> = ["system", "user", "assistant"]
    private static let control: Set<String> = [
        "for", "endfor", "in", "if", "elif", "else", "endif", "and", "or", "not", "set", "is", "defined", "messages",
        "message", "role", "content", "add_generation_prompt", "true", "false",
    ]

    private static let qwenEssentials: Set<String> = [
        Qwen3Prompt.toolsHead, Qwen3Prompt.toolsTail, "<tool_call>\n{\"name\": \"", "\", \"arguments\": ",
        "}\n</tool_call>", "\n<tool_response>\n", "\n</tool_response>",
    ]
    private static let qwenLiterals = tags.union(roles).union(qwenEssentials).union([
        "", "\n\n", "<|im_start|>system\n", "<|im_start|>user", "tool", "<tool_response>", "</tool_response>",
        "<think>",
        "</think>", "\n<think>\n", "\n</think>\n\n", "<think>\n\n</think>\n\n", "<|im_start|>assistant\n<think>\n",
    ])
    private static let qwenNames = control.union([
        "tools", "tool", "tojson", "tool_calls", "tool_call", "function", "name", "arguments", "loop", "first", "last",
        "index0", "length", "ns", "namespace", "multi_step_tool", "last_query_index", "index", "string", "none",
        "startswith", "endswith", "split", "strip", "lstrip", "rstrip", "reasoning_content", "enable_thinking",
    ])

    /// ChatML, when the template has no words for anything more.
    var chatML: ChatTemplate.Style? {
        guard literals.isSuperset(of: ["<|im_start|>", "<|im_start|>assistant\n"]),
            names.isSuperset(of: ["messages", "role", "content", "add_generation_prompt"])
        else { return nil }
        let unknown = literals.subtracting(Self.tags).subtracting(Self.roles)
        if unknown.isEmpty { return names.isSubset(of: Self.control) ? .chatML(defaultSystem: nil) : nil }
        // Qwen2 and others put a system message in front when there is none.
        let (head, tail) = ("<|im_start|>system\n", "<|im_end|>\n")
        guard unknown.count == 1, let literal = unknown.first, literal.hasPrefix(head), literal.hasSuffix(tail),
            names.isSubset(of: Self.control.union(["loop", "first"]))
        else { return nil }
        return .chatML(defaultSystem: String(literal.dropFirst(head.count).dropLast(tail.count)))
    }

    /// A member of the Qwen3 family, and what it does about thinking.
    var qwen3: ChatTemplate.Thinking? {
        guard Self.qwenEssentials.isSubset(of: literals),
            literals.isSubset(of: Self.qwenLiterals), names.isSubset(of: Self.qwenNames)
        else { return nil }
        let keepsThoughts = names.isSuperset(of: ["last_query_index", "reasoning_content"])
        let emptyThought = literals.contains("<think>\n\n</think>\n\n") && names.contains("enable_thinking")
        let openThought = literals.contains("<|im_start|>assistant\n<think>\n")
        switch (keepsThoughts, emptyThought, openThought) {
        case (true, true, false): return .switchable
        case (true, false, true): return .always
        case (false, false, false): return literals.contains("</think>") ? nil : .never
        default: return nil
        }
    }

    /// The most telling word that is not known, for a message.
    var oddity: String {
        if let literal = literals.subtracting(Self.qwenLiterals).min() {
            return "it writes \(String(literal.prefix(60)).debugDescription)"
        }
        if let name = names.subtracting(Self.qwenNames).min() { return "it uses \(name)" }
        return "parts of the Qwen3 template are missing"
    }
}
