import DualityCore
import DualityInference
import DualityServer
import Testing

/// Members of requests: what they may be, and what is said of them when they are something else.
@Suite struct RequestTests {
    static let context = RequestContext(
        names: ["tiny", "a/b"], vocabularySize: 100, maxLength: 1000, defaults: SamplingParameters())

    private func chat(_ members: String) throws(RequestError) -> ChatCall {
        let text = #"{"messages": [{"role": "user", "content": "hi"}], \#(members)}"#
        return try ChatCall(RequestBody.object(Array(text.utf8)), Self.context)
    }

    private func completion(_ members: String) throws(RequestError) -> CompletionCall {
        try CompletionCall(RequestBody.object(Array("{\(members)}".utf8)), Self.context)
    }

    private func error(_ body: () throws(RequestError) -> Void) -> RequestError? {
        do throws(RequestError) {
            try body()
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: [
        ("temperature", "-1"), ("temperature", "true"), ("temperature", #""1""#), ("top_p", "0"), ("top_p", "1.1"),
        ("top_k", "-2"), ("top_k", "1.5"), ("min_p", "2"), ("presence_penalty", "2.1"), ("frequency_penalty", "-3"),
        ("repetition_penalty", "0"), ("n", "0"), ("n", "129"), ("n", "true"), ("seed", "9223372036854775808"),
        ("seed", #""7""#), ("max_tokens", "0"), ("max_tokens", "-1"), ("max_completion_tokens", "1.5"),
        ("stop", "1"), ("stop", #""""#), ("stop_token_ids", "[100]"), ("stop_token_ids", "7"),
        ("min_tokens", "-1"), ("logit_bias", #"{"x": 1}"#), ("logit_bias", #"{"100": 1}"#), ("logit_bias", "[]"),
        ("logprobs", "1"), ("top_logprobs", "21"), ("top_logprobs", "2"), ("stream", #""yes""#),
        ("stream_options", "{}"), ("tools", "[]"), ("tools", "{}"), ("tool_choice", #""all""#),
        ("tool_choice", #""required""#), ("response_format", #"{"type": "sound"}"#), ("response_format", "7"),
        ("structured_outputs", "{}"), ("structured_outputs", #"{"regex": "a", "json_object": true}"#),
        ("chat_template_kwargs", #"{"enable_thinking": 1}"#), ("reasoning_effort", #""huge""#),
        ("truncate_prompt_tokens", "0"), ("truncate_prompt_tokens", "1001"), ("cache_salt", #""""#),
        ("continue_final_message", "true"), ("add_generation_prompt", "1"), ("parallel_tool_calls", "0"),
        ("model", "7"),
    ])
    func aWrongValueNamesItsMember(name: String, value: String) {
        let error = error { () throws(RequestError) in _ = try chat(#""\#(name)": \#(value)"#) }
        #expect(error?.status == 400 && error?.code == .invalidValue, "\(name) \(value): \(String(describing: error))")
        #expect(error?.param?.hasPrefix(name) == true, "\(error?.param ?? "nil")")
        #expect(error?.message.contains("expected") == true)
    }

    @Test(arguments: [
        #""best_of": 2"#, #""use_beam_search": true"#, #""suffix": "x""#, #""functions": [{"name": "f"}]"#,
        #""function_call": {"name": "f"}"#, #""echo": true"#, #""audio": {}"#, #""modalities": ["audio"]"#,
        #""prompt_logprobs": 1"#, #""prompt_embeds": "x""#,
    ])
    func whatIsKnownAndNotDoneIsRefused(member: String) {
        #expect(error { () throws(RequestError) in _ = try chat(member) }?.code == .unsupported, "\(member)")
    }

    @Test func nullIsAbsentAndHarmlessWishesAreGranted() throws {
        let call = try chat(
            #""temperature": null, "tools": null, "best_of": 1, "use_beam_search": false, "modalities": ["text"], "user": 7"#
        )
        #expect(call.options.sampling.temperature == 1 && call.ignored.isEmpty)
        #expect(try chat(#""blah": 1, "seed": 3.0"#).ignored == ["blah"])
    }

    @Test func limitsOfTokens() throws {
        #expect(try chat(#""max_tokens": 5, "max_completion_tokens": 7"#).options.maxTokens == 7)
        #expect(try chat(#""max_tokens": 5"#).options.maxTokens == 5)
        #expect(try chat(#""n": 1"#).options.maxTokens == nil)
        #expect(try completion(#""prompt": "a""#).options.maxTokens == 16)
        #expect(try completion(#""prompt": "a", "max_tokens": 0, "echo": true"#).options.maxTokens == 0)
        #expect(
            error { () throws(RequestError) in _ = try completion(#""prompt": "a", "max_tokens": 0"#) }?.param
                == "max_tokens")
    }

    @Test(arguments: [
        #""prompt": """#, #""prompt": []"#, #""prompt": [[]]"#, #""prompt": [1, "a"]"#, #""prompt": ["a", 1]"#,
        #""prompt": [100]"#, #""prompt": [-1]"#, #""prompt": [[1], "a"]"#, #""prompt": {}"#, #""prompt": [true]"#,
    ])
    func aPromptIsTextsOrTokens(member: String) {
        #expect(error { () throws(RequestError) in _ = try completion(member) }?.code == .invalidValue, "\(member)")
    }

    @Test func promptsOfAllKinds() throws {
        #expect(try completion(#""prompt": "a""#).prompts == [.text("a")])
        #expect(try completion(#""prompt": ["a", "b"]"#).prompts == [.text("a"), .text("b")])
        #expect(try completion(#""prompt": [1, 2.0]"#).prompts == [.tokens([1, 2])])
        #expect(try completion(#""prompt": [[1], [2, 3]]"#).prompts == [.tokens([1]), .tokens([2, 3])])
        #expect(error { () throws(RequestError) in _ = try completion("") }?.code == .missing)
    }

    @Test(arguments: [
        (#"[]"#, RequestError.Code.invalidValue, "messages"), (#"[7]"#, .invalidValue, "messages[0]"),
        (#"[{"content": "x"}]"#, .missing, "messages[0].role"),
        (#"[{"role": "wizard", "content": "x"}]"#, .invalidValue, "messages[0].role"),
        (#"[{"role": "user"}]"#, .missing, "messages[0].content"),
        (#"[{"role": "user", "content": null}]"#, .missing, "messages[0].content"),
        (#"[{"role": "user", "content": 7}]"#, .invalidValue, "messages[0].content"),
        (
            #"[{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]"#, .unsupported,
            "messages[0].content[0]"
        ),
    ])
    func messagesAreChecked(messages: String, code: RequestError.Code, param: String) {
        let text = #"{"messages": \#(messages)}"#
        let error = error { () throws(RequestError) in
            _ = try ChatCall(RequestBody.object(Array(text.utf8)), Self.context)
        }
        #expect(error?.code == code && error?.param == param, "\(messages): \(String(describing: error))")
    }

    @Test func theModelMustBeServed() throws {
        #expect(error { () throws(RequestError) in _ = try chat(#""model": "nobody""#) }?.status == 404)
        _ = try chat(#""model": "a/b""#)
    }

    @Test func errorsHaveFourMembers() {
        let body = RequestError("stop", expected: "a string", found: "7").json["error"]?.object
        #expect(body?.names == ["message", "type", "param", "code"])
        #expect(RequestError(.queueFull, "").json["error"]?["param"] == .null)
        for code in RequestError.Code.allCases { #expect(400...503 ~= RequestError(code, "").status) }
    }
}
