//  Running a template on a conversation.

import DualityCore
import Foundation

extension ChatTemplate {
    /// The prompt of a conversation.
    ///
    /// - Parameters:
    ///   - now: what the template's clock says.
    /// - Throws: `InputError`: `.value` for no messages, or a conversation that the template does
    ///   not take; `.unsupported` for tools when the template has no place for them, and for a
    ///   template that wants too much work.
    /// - Complexity: O(work of the template), bounded by the size of the conversation.
    public func prompt(_ request: ChatRequest, now: Date = Date()) throws(InputError) -> ChatPrompt {
        guard let last = request.messages.last else {
            throw InputError(.value, in: "messages", expected: "at least one message", found: "none")
        }
        let second = request.tools.isEmpty ? nil : toolUse
        let program = second?.program ?? program
        try checkPlace(forToolsOf: request, program)
        if request.continueFinalMessage, last.role != .assistant {
            throw InputError(
                .value, in: "messages", expected: "a last message of the assistant, which continues",
                found: "one of the \(last.role)")
        }

        let values = request.messages.enumerated().map { message($1, at: $0, in: program) }
        var variables: [(name: String, value: JinjaValue)] = [
            ("messages", .sequence(JinjaSequence(values.map { .dictionary($0) }))),
            ("tools", request.tools.isEmpty ? .none : JinjaValue(.array(request.tools))),
            ("documents", .none), ("add_generation_prompt", .bool(request.addGenerationPrompt)),
        ]
        variables += specialTokens.map { ($0.name, .string($0.text)) }
        variables += request.templateArguments.members.map { ($0.name, JinjaValue($0.value)) }
        let run: JinjaRun
        do {
            let limits = JinjaLimits(conversationBytes: request.roughSize)
            run = try program.run(variables, limits: limits, now: now)
        } catch let failure as JinjaFailure {
            throw failure.inputError(place: second?.place ?? place, remedy: "")
        } catch {
            throw InputError(.value, in: place, expected: "a template that runs", found: "\(error)")
        }

        var prompt = ChatPrompt(
            text: run.output.string, turns: Set(run.turns.values).union([0]).sorted(), content: run.output.content)
        if request.addGenerationPrompt, let end = run.loopEnd, end < run.output.bytes.count {
            prompt.generationPrompt = end
        }
        prompt.warnings = unused(of: request, values, program)
        if request.continueFinalMessage { try prompt.cut(behind: last.content ?? "") }
        return prompt
    }

    /// - Throws: `InputError` when the conversation has tools and the template never looks at them.
    private func checkPlace(forToolsOf request: ChatRequest, _ program: JinjaTemplate) throws(InputError) {
        let hasCalls = request.messages.contains { !$0.toolCalls.isEmpty }
        let lacksTools = !request.tools.isEmpty && !program.words.names.contains("tools")
        let lacksCalls = hasCalls && !program.words.members.contains("tool_calls")
        guard lacksTools || lacksCalls else { return }
        throw InputError(
            .unsupported, in: "messages", expected: "no tools: the template has no place for them",
            found: lacksTools ? "tools" : "tool calls",
            remedy: "Use --template qwen3 if the model knows the tool format of Qwen3, or another with tools.")
    }

    /// A message as the template sees it.
    private func message(_ message: ChatMessage, at index: Int, in program: JinjaTemplate) -> JinjaDictionary {
        let value = JinjaDictionary()
        let known = program.words.members
        let isKnown = message.role != .developer || known.contains("developer")
        value.set("role", .string(isKnown ? message.role.rawValue : "system"))
        for (name, member) in message.members.members { value.set(name, JinjaValue(member)) }
        // A thought is passed under the name that the template looks for.
        if let thought = message.reasoning {
            for name in ChatMessage.thoughts where known.contains(name) && message.members[name] == nil {
                value.set(name, .text(JinjaText(thought, isContent: true)))
            }
        }
        value.message = index
        value.watch()
        return value
    }

    /// Members of messages and arguments that the template has not looked at, a sentence each.
    private func unused(
        of request: ChatRequest, _ messages: [JinjaDictionary], _ program: JinjaTemplate
    ) -> [String] {
        // What only ties calls and results together carries nothing that a model would read.
        let ties: Set<String> = ["role", "id", "type", "index", "tool_call_id"]
        var warnings: [String] = []
        for (index, message) in messages.enumerated() {
            let thoughtIsRead = zip(message.keys, message.reads).contains { key, isRead in
                if case .text(let name) = key { isRead && ChatMessage.thoughts.contains(name.string) } else { false }
            }
            for (position, key) in message.keys.enumerated() where !message.reads[position] {
                guard case .text(let name) = key, !ties.contains(name.string), message.values[position].isTrue else {
                    continue
                }
                if thoughtIsRead, ChatMessage.thoughts.contains(name.string) { continue }
                warnings.append("messages[\(index)].\(name.string) is not used by the template.")
            }
        }
        for name in request.templateArguments.names where !program.words.names.contains(name) {
            warnings.append("\(name) is not used by the template.")
        }
        return warnings
    }
}

extension ChatRequest {
    /// About as many bytes as the conversation has as JSON.
    fileprivate var roughSize: Int {
        func size(_ json: JSON) -> Int {
            switch json {
            case .null, .bool: 4
            case .number(let text), .string(let text): text.utf8.count + 2
            case .array(let items): items.reduce(8) { $0 + size($1) }
            case .object(let object): object.members.reduce(8) { $0 + $1.name.utf8.count + size($1.value) }
            }
        }
        return messages.reduce(0) { $0 + 64 + size(.object($1.members)) } + tools.reduce(0) { $0 + size($1) }
    }
}

extension ChatPrompt {
    /// Ends the prompt behind the last place where the content of the last message stands.
    ///
    /// A template may have stripped the content; then white space behind it goes too.
    ///
    /// - Throws: `InputError` when the content is not in the prompt.
    fileprivate mutating func cut(behind content: String) throws(InputError) {
        let whole = JinjaText(text)
        let wanted = JinjaText(content).stripped { $0.isPythonSpace }
        var end: Int?
        for range in self.content.reversed() {
            guard let place = whole.findLast(wanted, in: range) else { continue }
            let start = JinjaText(content).stripped(trailing: false) { $0.isPythonSpace }
            let isWhole =
                place + start.bytes.count <= range.upperBound && whole[place..<place + start.bytes.count] == start
            end = place + (isWhole ? start.bytes.count : wanted.bytes.count)
            break
        }
        guard let end, !wanted.isEmpty else {
            throw InputError(
                .value, in: "continue_final_message", expected: "the content of the last message in the prompt",
                found: wanted.isEmpty ? "no content" : "a template that changes it")
        }
        text = whole[0..<end].string
        turns.removeAll { $0 > end }
        self.content = self.content.compactMap { range in
            let part = range.clamped(to: 0..<end)
            return part.isEmpty ? nil : part
        }
        generationPrompt = nil
    }
}

extension JinjaValue {
    /// A value of the conversation: its strings count as content.
    init(_ json: JSON) {
        switch json {
        case .null: self = .none
        case .bool(let value): self = .bool(value)
        case .number(let literal): self.init(number: literal)
        case .string(let text): self = .text(JinjaText(text, isContent: true))
        case .array(let items): self = .sequence(JinjaSequence(items.map { JinjaValue($0) }))
        case .object(let object):
            let dictionary = JinjaDictionary()
            for (name, value) in object.members { dictionary.set(name, JinjaValue(value)) }
            self = .dictionary(dictionary)
        }
    }

    /// A number as Python's `json` reads it.
    private init(number literal: String) {
        let digits = literal.hasPrefix("-") ? literal.dropFirst() : literal[...]
        if !digits.isEmpty, digits.utf8.allSatisfy({ 48...57 ~= $0 }) {
            self = Int(literal).map { .int($0) } ?? .wideInteger(literal)
        } else {
            self = .float(Double(literal) ?? .nan)
        }
    }
}
