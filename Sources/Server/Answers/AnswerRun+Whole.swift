//  A whole answer, and what it cost.

import DualityCore
import DualityInference

extension AnswerRun {
    /// The answer as one object.
    package var whole: JSON {
        var object = head(job.isChat ? "chat.completion" : "text_completion")
        object["choices"] = .array(choices.indices.map { job.isChat ? chatChoice($0) : textChoice($0) })
        object["usage"] = usage
        if job.isChat, job.options.returnsTokens {
            object["prompt_token_ids"] = .array(job.requests[0].prompt.map { JSON($0) })
        }
        return .object(object)
    }

    private func chatChoice(_ index: Int) -> JSON {
        guard case .chat(let includesReasoning) = job.kind else { return .null }
        let state = choices[index]
        var choice: JSON.Object = [
            "index": JSON(index), "message": state.message(includesReasoning: includesReasoning),
            "logprobs": job.options.logprobs == nil ? .null : ["content": .array(state.entries), "refusal": .null],
            "finish_reason": state.finishReason, "stop_reason": state.stopReason,
        ]
        if job.options.returnsTokens { choice["token_ids"] = .array(state.tokens.map { JSON($0) }) }
        return .object(choice)
    }

    private func textChoice(_ index: Int) -> JSON {
        let state = choices[index]
        var choice: JSON.Object = [
            "index": JSON(index), "text": .string(state.content),
            "logprobs": job.options.logprobs == nil ? .null : state.scores.json,
            "finish_reason": state.finishReason, "stop_reason": state.stopReason,
        ]
        if job.options.returnsTokens {
            let prompt = job.requests[index / job.options.choices].prompt
            choice["prompt_token_ids"] = .array(prompt.map { JSON($0) })
            choice["token_ids"] = .array(state.tokens.map { JSON($0) })
        }
        return .object(choice)
    }

    /// Tokens drawn, over all choices.
    package var completionTokens: Int { choices.reduce(0) { $0 + $1.reader.tokenCount } }

    /// The tokens so far. A prompt counts once for all of its choices.
    var usage: JSON {
        let (prompt, completion) = (job.promptTokenCount, completionTokens)
        var usage: JSON.Object = [
            "prompt_tokens": JSON(prompt), "completion_tokens": JSON(completion),
            "total_tokens": JSON(prompt + completion),
            "prompt_tokens_details": ["cached_tokens": JSON(cachedTokens)],
        ]
        if job.isChat, job.model.parsers.qwen3 {
            let reasoning = choices.reduce(0) { $0 + $1.reader.reasoningCount }
            usage["completion_tokens_details"] = ["reasoning_tokens": JSON(reasoning)]
        }
        return .object(usage)
    }
}
