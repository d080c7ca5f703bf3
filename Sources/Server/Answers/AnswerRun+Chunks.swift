//  The chunks of a streamed answer.
//
//  A chunk of a chat has at most one entry of tool calls: a call begins in a chunk of its own, and
//  its arguments follow. The log probability of a token comes with the first chunk of its step.

import DualityCore
import DualityInference

extension AnswerRun {
    /// The chunk that opens a choice of a chat.
    func firstChunk(_ index: Int) -> JSON {
        var extra: JSON.Object = [:]
        if job.options.returnsTokens, index == 0 {
            extra["prompt_token_ids"] = .array(job.requests[0].prompt.map { JSON($0) })
        }
        return chatChunk(index, ["role": "assistant", "content": ""], extra: extra)
    }

    /// The chunk that closes a choice of a chat.
    func lastChunk(_ index: Int) -> JSON {
        chatChunk(index, [:], finishReason: choices[index].finishReason, stopReason: choices[index].stopReason)
    }

    /// The chunks of one token's pieces.
    func chunks(_ index: Int, _ pieces: [AnswerPiece], entry: JSON?, token: Int?) -> [JSON] {
        guard case .chat(let includesReasoning) = job.kind else { return [] }
        var deltas: [JSON.Object] = []
        for piece in pieces {
            switch piece {
            case .reasoning(let text):
                if includesReasoning { Self.append(text, to: "reasoning_content", &deltas) }
            case .content(let text): Self.append(text, to: "content", &deltas)
            case .callBegins(let call, let name):
                deltas.append([
                    "tool_calls": [
                        [
                            "index": JSON(call), "id": .string(choices[index].calls[call].id), "type": "function",
                            "function": ["name": .string(name), "arguments": ""],
                        ]
                    ]
                ])
            case .callArguments(let call, let text):
                deltas.append([
                    "tool_calls": [["index": JSON(call), "function": ["arguments": .string(text)]]]
                ])
            }
        }
        let isTold = entry != nil || (token != nil && (job.options.returnsTokens || job.options.hasContinuousUsage))
        if deltas.isEmpty, isTold { deltas.append([:]) }
        return deltas.enumerated().map { place, delta in
            let isFirst = place == 0
            return chatChunk(
                index, delta, entries: isFirst ? entry.map { [$0] } : nil,
                tokens: isFirst && job.options.returnsTokens ? token.map { [$0] } : nil)
        }
    }

    /// Joins texts of one kind that follow one another.
    private static func append(_ text: String, to name: String, _ deltas: inout [JSON.Object]) {
        if let before = deltas.last?[name]?.string {
            deltas[deltas.count - 1][name] = .string(before + text)
        } else if let last = deltas.last, last["tool_calls"] == nil {
            deltas[deltas.count - 1][name] = .string(text)
        } else {
            deltas.append([name: .string(text)])
        }
    }

    private func chatChunk(
        _ index: Int, _ delta: JSON.Object, entries: [JSON]? = nil, tokens: [Int]? = nil,
        finishReason: JSON = .null, stopReason: JSON? = nil, extra: JSON.Object = [:]
    ) -> JSON {
        var choice: JSON.Object = [
            "index": JSON(index), "delta": .object(delta),
            "logprobs": entries.map { ["content": .array($0), "refusal": .null] } ?? .null,
            "finish_reason": finishReason,
        ]
        if let stopReason { choice["stop_reason"] = stopReason }
        if let tokens { choice["token_ids"] = .array(tokens.map { JSON($0) }) }
        return chunk(.object(choice), extra: extra)
    }

    /// A chunk of a completion; with the end of the choice once it is there.
    func textChunk(_ index: Int, _ text: String, _ scores: CompletionScores?, tokens: [Int]) -> JSON {
        var choice: JSON.Object = [
            "index": JSON(index), "text": .string(text), "logprobs": scores?.json ?? .null,
            "finish_reason": choices[index].finishReason, "stop_reason": choices[index].stopReason,
        ]
        if job.options.returnsTokens { choice["token_ids"] = .array(tokens.map { JSON($0) }) }
        return chunk(.object(choice))
    }

    private func chunk(_ choice: JSON, extra: JSON.Object = [:]) -> JSON {
        var object = head(job.isChat ? "chat.completion.chunk" : "text_completion")
        object["choices"] = .array([choice])
        if job.options.includesUsage { object["usage"] = job.options.hasContinuousUsage ? usage : .null }
        for (name, value) in extra.members { object[name] = value }
        return .object(object)
    }

    /// The chunk behind all others, when usage is wanted.
    package var usageChunk: JSON? {
        guard job.options.includesUsage else { return nil }
        var object = head(job.isChat ? "chat.completion.chunk" : "text_completion")
        object["choices"] = .array([])
        object["usage"] = usage
        return .object(object)
    }

    /// What all chunks of an answer share.
    func head(_ kind: String) -> JSON.Object {
        [
            "id": .string(job.id), "object": .string(kind), "created": JSON(job.created),
            "model": .string(job.model.name), "system_fingerprint": .string(job.model.fingerprint),
        ]
    }
}
