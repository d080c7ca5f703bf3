//  What a model is asked, before any tokenizer: turns of a conversation, or one text.
//
//  Turns are built as olmes builds them. The description opens the first user turn. Where the model
//  is to continue a prefix ("Answer:"), the prefix is cut from the end of every user turn, with the
//  white space before it, and opens every assistant turn, behind it a space and the target. Without
//  a prefix a target loses its leading space. With no examples nothing is cut.

import DualityCore

/// A request for one row.
package struct TaskRequest: Sendable, Equatable {
    package struct Message: Sendable, Equatable {
        package var role: String
        package var content: String
    }

    /// How a text is generated.
    package struct Generation: Sendable, Equatable {
        /// The most tokens; as far as the context goes where it is more.
        package var maxTokens: Int
        package var stop: [String] = []
        package var temperature = 0.0
        package var topP: Double?
        /// How many samples.
        package var repeats: Int?
    }

    package enum Kind: Sendable, Equatable {
        case generate(Generation)
        /// The likelihood of each of these after the text.
        case choose([String])
        /// The likelihood of the text itself.
        case rolling(String)
    }

    /// Turns; empty for a request of one plain text.
    package var messages: [Message]
    /// What the assistant's turn begins with.
    package var assistantPrefix = ""
    /// The whole text, for a request without a conversation.
    package var text: String?
    package var kind: Kind

    /// As `--show-prompts` prints it.
    package var json: JSON {
        var object = JSON.Object()
        if let text {
            object.append("text", .string(text))
        } else {
            object.append(
                "messages",
                .array(messages.map { ["role": .string($0.role), "content": .string($0.content)] }))
            object.append("assistant_prefix", .string(assistantPrefix))
        }
        switch kind {
        case .choose(let choices): object.append("continuations", .array(choices.map { .string($0) }))
        case .rolling(let page): object.append("rolling", .string(page))
        case .generate(let generation):
            object.append("max_tokens", JSON(generation.maxTokens))
            object.append("stop", .array(generation.stop.map { .string($0) }))
            object.append("temperature", JSON(generation.temperature))
            if let topP = generation.topP { object.append("top_p", JSON(topP)) }
            if let repeats = generation.repeats { object.append("repeats", JSON(repeats)) }
        }
        return .object(object)
    }
}

/// A question in a task's form and examples before it.
struct QuestionTurns {
    var description = ""
    /// Questions with their answers.
    var examples: [(query: String, target: String)] = []
    var query: String
    /// What the answer begins with, also at the end of every query.
    var prefix = ""

    func request(_ kind: TaskRequest.Kind, isChat: Bool) -> TaskRequest {
        isChat
            ? TaskRequest(messages: messages, assistantPrefix: prefix, kind: kind.trimmed)
            : TaskRequest(messages: [], text: plain, kind: kind.spaced)
    }

    private var messages: [TaskRequest.Message] {
        var messages: [TaskRequest.Message] = []
        for (query, target) in examples {
            messages.append(.init(role: "user", content: cut(query)))
            messages.append(.init(role: "assistant", content: answer(target)))
        }
        messages.append(.init(role: "user", content: examples.isEmpty ? query : cut(query)))
        messages[0].content = description + messages[0].content
        return messages
    }

    private func cut(_ query: String) -> String {
        guard !prefix.isEmpty else { return query }
        let text = Scalars(query)
        guard text.ends(with: Scalars(prefix)) else { return query }
        return text.without(suffix: prefix).strippedEnd().text
    }

    private func answer(_ target: String) -> String {
        let target = Scalars(target)
        if prefix.isEmpty { return target.strippedStart().text }
        let begins = target.first?.isPythonSpace == true || Scalars(prefix).last?.isPythonSpace == true
        return prefix + (begins ? "" : " ") + target.text
    }

    private var plain: String {
        let shown = examples.map { query, target in
            query + (Scalars(target).first?.isPythonSpace == true ? "" : " ") + target
        }
        return description + (shown + [query]).joined(separator: "\n\n")
    }
}

extension TaskRequest.Kind {
    /// Choices without leading space, as they follow the header of a turn.
    fileprivate var trimmed: Self {
        guard case .choose(let choices) = self else { return self }
        return .choose(choices.map { Scalars($0).strippedStart().text })
    }

    /// Choices with one space before them.
    fileprivate var spaced: Self {
        guard case .choose(let choices) = self else { return self }
        return .choose(choices.map { " " + Scalars($0).strippedStart().text })
    }
}
