//  The bodies of requests to the server.

import DualityCore
import DualityInference
import DualityServer

extension FuzzTarget {
    private static let context = RequestContext(
        names: ["tiny"], vocabularySize: 262, maxLength: 4096, defaults: SamplingParameters())

    /// Reads the bytes as a request of every kind; one of them at least is read or refused, and a
    /// refusal names a status.
    func readRequest(_ bytes: [UInt8]) throws {
        let object = try RequestBody.object(bytes)
        func attempt(_ read: () throws(RequestError) -> Void) {
            do throws(RequestError) {
                try read()
            } catch {
                precondition(400..<500 ~= error.status, "status \(error.status) for what a client sent")
                _ = error.json.serialized()
            }
        }
        attempt { () throws(RequestError) in _ = try ChatCall(object, Self.context) }
        attempt { () throws(RequestError) in _ = try CompletionCall(object, Self.context) }
        attempt { () throws(RequestError) in _ = try TokenizeCall(object, Self.context) }
        attempt { () throws(RequestError) in _ = try DetokenizeCall(object, Self.context) }
    }
}

extension FuzzSeeds {
    static let requests = [
        #"""
        {"model": "tiny", "messages": [{"role": "system", "content": "a"}, {"role": "user", "content": [{"type": "text",
         "text": "b"}]}, {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function", "function":
         {"name": "f", "arguments": "{}"}}]}, {"role": "tool", "tool_call_id": "c", "content": "d"}], "temperature": 0.5,
         "top_p": 1, "top_k": -1, "min_p": 0, "n": 2, "seed": -1, "stop": ["x"], "stop_token_ids": [1], "logit_bias": {"5":
         -1e0}, "logprobs": true, "top_logprobs": 2, "stream": true, "stream_options": {"include_usage": true}, "tools":
         [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}], "tool_choice": "required",
         "response_format": {"type": "text"}, "chat_template_kwargs": {"enable_thinking": false}, "max_tokens": 7.0}
        """#,
        #"""
        {"prompt": [[1, 2], [3]], "max_tokens": 0, "echo": true, "logprobs": 1, "structured_outputs": {"regex": "a+"},
         "truncate_prompt_tokens": -1, "cache_salt": "s", "min_tokens": 0, "return_token_ids": true}
        """#,
        #"{"prompt": ["a", "b"], "suffix": "", "best_of": 1, "guided_choice": ["x"], "blah": 1e300}"#,
        #"{"tokens": [1, 2e0, 261]}"#,
        #"{"messages": [{"role": "user", "content": "\ud83d\ude00"}], "response_format": {"type":"#
            + #" "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": true}}}"#,
    ]
}
