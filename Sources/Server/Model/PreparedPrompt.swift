//  From a conversation to tokens, and to the places at which the next request may resume.

import DualityCore
import DualityInference
import Foundation

/// The tokens of one prompt.
package struct PreparedPrompt: Sendable {
    package var tokens: [Int]
    package var places: [SnapshotPlace] = []
    /// Whether the answer begins inside a thought, or may.
    package var thought = AnswerRules.Thought.none
}

extension ServedModel {
    /// The prompt of a conversation.
    ///
    /// - Throws: `RequestError`: what the template does not take, and `.unsupported` without one.
    package func prompt(_ conversation: ConversationFields) throws(RequestError) -> PreparedPrompt {
        guard let template else {
            throw RequestError(
                .unsupported, "messages: this model has no chat template; start the server with --chat-template qwen3",
                param: "messages")
        }
        let text: ChatPrompt
        do {
            text = try template.prompt(conversation.request)
        } catch  where error.kind == .unsupported && !conversation.request.tools.isEmpty {
            throw RequestError(
                .unsupported,
                "tools: the chat template has no place for them; start the server with --chat-template qwen3 if the "
                    + "model knows the tool format of Qwen3", param: "tools")
        } catch {
            throw RequestError(error)
        }
        let tokens = tokenizer.encode(text)
        return PreparedPrompt(
            tokens: tokens, places: places(text, tokens, conversation.request), thought: thought(text, conversation))
    }

    // MARK: Places

    private func places(_ prompt: ChatPrompt, _ tokens: [Int], _ request: ChatRequest) -> [SnapshotPlace] {
        var offsets: [(kind: SnapshotKind, offset: Int, isKept: Bool)] = []
        let turns = prompt.turns.filter { $0 > 0 }
        let role = request.messages.first?.role
        let beginsWithSystem = role == .system || role == .developer
        // Without a system message a template may still write a block in front of the first turn.
        if let first = turns.first, beginsWithSystem || turns.count >= request.messages.count {
            offsets.append((.system, first, false))
        }
        for turn in turns.suffix(2) { offsets.append((.turn, turn, false)) }
        if let end = prompt.generationPrompt { offsets.append((.turn, end, true)) }
        var places: [SnapshotPlace] = []
        let counts = tokenCounts(at: offsets.map(\.offset), of: prompt, tokens)
        for (place, count) in zip(offsets, counts) {
            guard let count, 0 < count, count < tokens.count else { continue }
            if let same = places.firstIndex(where: { $0.tokenCount == count }) {
                places[same].isKept = places[same].isKept || place.isKept
            } else {
                places.append(SnapshotPlace(place.kind, at: count, isKept: place.isKept))
            }
        }
        return places.sorted { $0.tokenCount < $1.tokenCount }
    }

    /// How many tokens come before each offset; nil where no token begins.
    private func tokenCounts(at offsets: [Int], of prompt: ChatPrompt, _ tokens: [Int]) -> [Int?] {
        var starts: [Int: Int] = [:]
        var offset = 0
        for (index, token) in tokens.enumerated() {
            starts[offset] = index
            offset += tokenizer.contains(token) ? tokenizer.bytes(of: token).count : 0
        }
        if offset == prompt.text.utf8.count { return offsets.map { starts[$0] } }
        // Normalisation moved the offsets: the tokens before a turn are those of the text before
        // it.
        return offsets.map { offset in
            let index = prompt.text.utf8.index(prompt.text.startIndex, offsetBy: offset)
            let content = prompt.content.compactMap { range in
                let part = range.clamped(to: 0..<offset)
                return part.isEmpty ? nil : part
            }
            let before = tokenizer.encode(String(prompt.text[..<index]), asTextOnly: content)
            return tokens.starts(with: before) ? before.count : nil
        }
    }

    // MARK: Thoughts

    private func thought(_ prompt: ChatPrompt, _ conversation: ConversationFields) -> AnswerRules.Thought {
        guard parsers.qwen3 else { return .none }
        let mayBegin = conversation.enableThinking != false && !conversation.request.continueFinalMessage
        return AnswerRules.Thought(behind: prompt, mayBegin: mayBegin)
    }
}
