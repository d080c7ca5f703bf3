//  A request in tokens.

import DualityCore
import DualityInference
import DualityVerify

/// What is read and what is wanted of it.
package struct TokenRequest: Sendable {
    package enum Kind: Sendable {
        /// Samples of text.
        case generate(TaskRequest.Generation)
        /// The likelihood of each of these after the prompt.
        case choose([[Int]])
        /// The likelihood of these tokens, in windows that begin with the prompt's one token.
        case rolling([Int])
    }

    package var prompt: [Int]
    package var kind: Kind
    /// Names the request's random numbers.
    package var name: String
    /// SHA-256 of the prompt's text.
    package var promptHash = ""
    /// Whether the answer ends at the tokens that end a turn.
    package var isChat: Bool

    /// The most tokens that are generated, over all samples.
    package var mostGenerated: Int {
        if case .generate(let generation) = kind { generation.maxTokens * (generation.repeats ?? 1) } else { 0 }
    }

    /// The most tokens of an answer that memory is set aside for; limits of 999,999 are no
    /// forecast.
    package static let answerShare = 4096

    /// The longest sequence, of an answer at most its share.
    package func longest(_ context: Int?) -> Int {
        switch kind {
        case .generate(let generation):
            let room = max((context ?? .max) - prompt.count, 1)
            return prompt.count + min(generation.maxTokens, Self.answerShare, room)
        case .choose(let choices): return prompt.count + (choices.map(\.count).max() ?? 0)
        case .rolling(let tokens): return min(tokens.count + 1, context ?? .max)
        }
    }
}

/// What a request came to.
package struct Outcome: Sendable {
    package var response: Response
    /// Why each sample ended: stop, length.
    package var finish: [String] = []
    package var promptTokens = 0
    package var reusedTokens = 0
    package var generatedTokens = 0
}

/// Makes tokens of requests.
package struct RequestEncoder: Sendable {
    let tokenizer: Tokenizer
    /// Nil where nothing is asked as a conversation.
    let template: ChatTemplate?
    /// What windows of a rolling likelihood begin with.
    let first: Int

    package init(_ tokenizer: Tokenizer, template: ChatTemplate?, first: Int) {
        (self.tokenizer, self.template, self.first) = (tokenizer, template, first)
    }

    package func encode(_ request: TaskRequest, name: String) throws(InputError) -> TokenRequest {
        if case .rolling(let page) = request.kind {
            return TokenRequest(
                prompt: [first], kind: .rolling(tokenizer.encode(page)), name: name, promptHash: hash(page),
                isChat: false)
        }
        let isChat = request.text == nil
        var prompt = ChatPrompt(text: request.text ?? "")
        if isChat { prompt = try conversation(request) }
        switch request.kind {
        case .generate(let generation):
            return TokenRequest(
                prompt: tokenizer.encode(prompt), kind: .generate(generation), name: name,
                promptHash: hash(prompt.text), isChat: isChat)
        case .choose(let choices):
            var continuations: [[Int]] = []
            var context: [Int] = []
            for choice in choices {
                let pair = pair(prompt, choice)
                (context, continuations) = (pair.context, continuations + [pair.continuation])
            }
            return TokenRequest(
                prompt: context, kind: .choose(continuations), name: name, promptHash: hash(prompt.text), isChat: isChat
            )
        case .rolling: return TokenRequest(prompt: [], kind: .rolling([]), name: name, isChat: false)
        }
    }

    private func hash(_ text: String) -> String {
        var text = text
        return text.withUTF8 { sha256(UnsafeRawBufferPointer($0)) }
    }

    private func conversation(_ request: TaskRequest) throws(InputError) -> ChatPrompt {
        guard let template else {
            throw InputError(
                .missing, in: "chat template", expected: "one in the model's folder", found: "none",
                remedy: "Give --no-chat to ask in plain text.")
        }
        var messages: [ChatMessage] = []
        for message in request.messages {
            guard let role = ChatMessage.Role(rawValue: message.role) else {
                throw InputError(.value, in: "messages", expected: "system, user or assistant", found: message.role)
            }
            messages.append(ChatMessage(role: role, content: message.content))
        }
        var prompt = try template.prompt(ChatRequest(messages: messages, addGenerationPrompt: true))
        prompt.text += request.assistantPrefix
        return prompt
    }

    /// The tokens of a text and of what continues it. White space at the end of the text goes to
    /// the continuation; that has the tokens of both together, after as many as the text has.
    private func pair(_ prompt: ChatPrompt, _ continuation: String) -> (context: [Int], continuation: [Int]) {
        let text = Scalars(prompt.text)
        let context = text.strippedEnd()
        var (head, whole) = (prompt, prompt)
        head.text = context.text
        let length = head.text.utf8.count
        head.content = prompt.content.compactMap { range in
            range.lowerBound < length ? range.lowerBound..<min(range.upperBound, length) : nil
        }
        whole.text = head.text + Scalars(text[context.count...]).text + continuation
        let ids = tokenizer.encode(head)
        return (ids.isEmpty ? [first] : ids, Array(tokenizer.encode(whole).dropFirst(ids.count)))
    }
}
