"""Wrong requests of all kinds, with the status, code and member that each has to get."""

U = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CHAT, TEXT, TOKENIZE, DETOKENIZE = "/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize"


def schema(value):
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": value}}


def chat(name, value, code="invalid_value", param=None):
    return (400, code, param or name, CHAT, {"messages": U, name: value})


def message(value, param, code="invalid_value"):
    return (400, code, param, CHAT, {"messages": value})


def prompt(value, param="prompt", code="invalid_value", **more):
    return (400, code, param, TEXT, {"prompt": value, **more})


def keyword(value, path, code="unsupported"):
    return (400, code, f"response_format.json_schema.schema{path}", CHAT, {"messages": U, "response_format": schema(value)})


BODIES = [
    # Numbers, in and out of their ranges.
    *[chat("temperature", v) for v in (-1, -0.001, "0.5", True, [], {})],
    *[chat("top_p", v) for v in (0, -0.1, 1.01, "1", False)],
    *[chat("top_k", v) for v in (-2, 1.5, "5", True)],
    *[chat("min_p", v) for v in (-0.1, 1.1, "0")],
    *[chat("presence_penalty", v) for v in (-2.1, 2.1, "0")],
    *[chat("frequency_penalty", v) for v in (-3, 5, None.__class__.__name__)],
    *[chat("repetition_penalty", v) for v in (0, -1, "1")],
    *[chat("n", v) for v in (0, -1, 129, 1.5, "2", True)],
    *[chat("seed", v) for v in (1.5, "7", True, 2**63, -(2**63) - 1, 10**30)],
    *[chat("max_tokens", v) for v in (0, -5, 1.5, "10", True)],
    *[chat("max_completion_tokens", v) for v in (0, -1, "10")],
    *[chat("min_tokens", v) for v in (-1, "1", 1.5)],
    (400, "invalid_value", "min_tokens", CHAT, {"messages": U, "max_tokens": 3, "min_tokens": 4}),
    *[chat("top_logprobs", v) for v in (1, 21, -1, "3")],
    *[chat("logprobs", v) for v in (1, "true", 0)],
    *[chat("truncate_prompt_tokens", v) for v in (0, -2, 10**9, "5")],
    # Booleans and words.
    *[chat("stream", v) for v in (1, "true")],
    *[chat(n, 1) for n in ("ignore_eos", "skip_special_tokens", "include_stop_str_in_output", "include_reasoning")],
    *[chat(n, "yes") for n in ("return_token_ids", "return_tokens_as_token_ids", "add_generation_prompt", "parallel_tool_calls")],
    chat("stream_options", {}), chat("stream_options", {"include_usage": True}),
    (400, "invalid_value", "stream_options.include_usage", CHAT, {"messages": U, "stream": True, "stream_options": {"include_usage": 1}}),
    (400, "invalid_value", "stream_options", CHAT, {"messages": U, "stream": True, "stream_options": 7}),
    chat("reasoning_effort", "enormous"), chat("reasoning_effort", 3),
    chat("chat_template_kwargs", []), chat("chat_template_kwargs", {"enable_thinking": 1}, param="chat_template_kwargs.enable_thinking"),
    chat("continue_final_message", True),
    (400, "invalid_value", "continue_final_message", CHAT, {"messages": U, "add_generation_prompt": True, "continue_final_message": True}),
    chat("cache_salt", ""), chat("cache_salt", 5),
    (404, "model_not_found", "model", CHAT, {"messages": U, "model": "nobody"}), chat("model", 7),
    # Lists and objects.
    chat("stop", 1), chat("stop", ""), chat("stop", ["a", ""], param="stop[1]"), chat("stop", [1], param="stop[0]"),
    chat("stop", ["a"] * 65), chat("stop", {"a": 1}),
    chat("stop_token_ids", 5), chat("stop_token_ids", [-1], param="stop_token_ids[0]"), chat("stop_token_ids", [10**6], param="stop_token_ids[0]"),
    chat("logit_bias", []), chat("logit_bias", {"x": 1}), chat("logit_bias", {"-1": 1}), chat("logit_bias", {"1000000": 1}),
    chat("logit_bias", {"5": 101}, param="logit_bias.5"), chat("logit_bias", {"5": "1"}, param="logit_bias.5"), chat("logit_bias", {"05": 1}),
    # Tools.
    chat("tools", []), chat("tools", {}), chat("tools", [7], param="tools[0]"), chat("tools", [{}], "missing", "tools[0].type"),
    chat("tools", [{"type": "retrieval"}], param="tools[0].type"), chat("tools", [{"type": "function"}], "missing", "tools[0].function"),
    chat("tools", [{"type": "function", "function": {}}], "missing", "tools[0].function.name"),
    chat("tools", [{"type": "function", "function": {"name": "a b"}}], param="tools[0].function.name"),
    chat("tools", [{"type": "function", "function": {"name": "x" * 65}}], param="tools[0].function.name"),
    chat("tools", [{"type": "function", "function": {"name": "f", "parameters": 7}}], param="tools[0].function.parameters"),
    chat("tools", [TOOL] * 129), chat("tools", [TOOL, TOOL], param="tools[1].function.name"),
    chat("tool_choice", "always"), chat("tool_choice", "required"), chat("tool_choice", 5),
    (400, "invalid_value", "tool_choice.function.name", CHAT, {"messages": U, "tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}}),
    (400, "missing", "tool_choice.function", CHAT, {"messages": U, "tools": [TOOL], "tool_choice": {"type": "function"}}),
    (400, "unsupported", "tools", CHAT, {"messages": U, "tools": [TOOL]}),
    # Structured output.
    chat("response_format", 5), chat("response_format", {}, "missing", "response_format.type"), chat("response_format", {"type": "sound"}, param="response_format.type"),
    chat("response_format", {"type": "json_schema"}, "missing", "response_format.json_schema"),
    chat("response_format", {"type": "json_schema", "json_schema": {"name": "x"}}, "missing", "response_format.json_schema.schema"),
    chat("response_format", {"type": "json_schema", "json_schema": {"schema": {}}}, "missing", "response_format.json_schema.name"),
    chat("structured_outputs", {}), chat("structured_outputs", 5), chat("structured_outputs", {"regex": "a", "choice": ["b"]}),
    chat("structured_outputs", {"regex": 5}, param="structured_outputs.regex"), chat("structured_outputs", {"choice": []}, param="structured_outputs.choice"),
    chat("structured_outputs", {"choice": [5]}, param="structured_outputs.choice[0]"),
    chat("structured_outputs", {"json": "{"}, param="structured_outputs.json"),
    chat("structured_outputs", {"grammar": "root ::= 'a'"}, "unsupported", "structured_outputs.grammar"),
    chat("guided_grammar", "x", "unsupported"),
    (400, "invalid_value", None, CHAT, {"messages": U, "response_format": {"type": "json_object"}, "guided_regex": "a"}),
    *[(400, None, "structured_outputs.regex", CHAT, {"messages": U, "structured_outputs": {"regex": r}}) for r in ("(", "a{2,1}", "[z-a]", "(?=a)b", "a" * 1025)],
    *[keyword({"type": "object", k: v}, f".{k}") for k, v in (("not", {}), ("if", {}), ("patternProperties", {}), ("dependentRequired", {}), ("minProperties", 1))],
    keyword({"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}, ".properties.a.uniqueItems"),
    keyword({"type": "lion"}, ".type", None), keyword({"$ref": "#/$defs/none"}, ".$ref", None), keyword({"minimum": "5"}, ".minimum", None),
    # What is known and not done.
    *[chat(n, v, "unsupported") for n, v in (
        ("best_of", 2), ("suffix", "x"), ("use_beam_search", True), ("prompt_embeds", "x"), ("functions", [{"name": "f"}]),
        ("function_call", {"name": "f"}), ("echo", True), ("audio", {"voice": "x"}), ("modalities", ["text", "audio"]), ("prompt_logprobs", 1))],
    # Messages.
    (400, "missing", "messages", CHAT, {}), message([], "messages"), message("hi", "messages"), message([7], "messages[0]"),
    message([{"content": "x"}], "messages[0].role", "missing"), message([{"role": "wizard", "content": "x"}], "messages[0].role"),
    message([{"role": 5, "content": "x"}], "messages[0].role"), message([{"role": "user"}], "messages[0].content", "missing"),
    message([{"role": "user", "content": None}], "messages[0].content", "missing"), message([{"role": "user", "content": 5}], "messages[0].content"),
    message([*U, {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}], "messages[1].content[0]", "unsupported"),
    message([{"role": "user", "content": ["x"]}], "messages[0].content[0]", "unsupported"),
    message([{"role": "assistant", "tool_calls": 5}], "messages[0].tool_calls"),
    message([{"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]}], None, "missing"),
    # Prompts.
    (400, "missing", "prompt", TEXT, {}), prompt(""), prompt([]), prompt([[]], "prompt[0]"), prompt(5), prompt({}), prompt([1, "a"], "prompt[1]"),
    prompt(["a", 1], "prompt[1]"), prompt(["a", ""], "prompt[1]"), prompt([-1], "prompt[0]"), prompt([10**6], "prompt[0]"), prompt([1.5], "prompt[0]"),
    prompt([[1], ["a"]], "prompt[1][0]"), prompt(["a"] * 1025), prompt([True], None),
    prompt("a", "max_tokens", max_tokens=0), prompt("a", "max_tokens", max_tokens=-1), prompt("a", "logprobs", logprobs=21), prompt("a", "logprobs", logprobs=True),
    prompt("a", "echo", echo="yes"),
    (400, "context_length_exceeded", "prompt", TEXT, {"prompt": [5] * 8192}),
    (400, "context_length_exceeded", "prompt", TEXT, {"prompt": [5] * 10, "max_tokens": 8183}),
    (400, "context_length_exceeded", "messages", CHAT, {"messages": U, "max_tokens": 2**62}),
    # Tokens.
    (400, "missing", "prompt", TOKENIZE, {}), (400, "invalid_value", "prompt", TOKENIZE, {"prompt": 5}),
    (400, "invalid_value", "messages", TOKENIZE, {"prompt": "a", "messages": U}), (400, "invalid_value", "messages", TOKENIZE, {"messages": []}),
    (400, "missing", "tokens", DETOKENIZE, {}), (400, "invalid_value", "tokens", DETOKENIZE, {"tokens": "a"}),
    (400, "invalid_value", "tokens[0]", DETOKENIZE, {"tokens": [10**6]}), (400, "invalid_value", "tokens[0]", DETOKENIZE, {"tokens": ["a"]}),
]

RAW = [
    b"", b" ", b"{", b"}", b"[1]", b"7", b"null", b'"x"', b"{}{}", b"{} x", b"[" * 100_000, b'{"a":' * 300 + b"1" + b"}" * 300,
    b'{"messages": [{"role": "user", "content": "\xff"}]}', b'{"messages": [], "temperature": NaN}', b'{"temperature": Infinity, "messages": []}',
    b'{"messages": [], "temperature": 1e999}', b'{"messages": [], "messages": []}', b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
    b'{"messages": [{"role": "user", "content": "\\udc00\\ud800"}]}', b"{'messages': []}", b'{"messages": [],}', b'{"n": 01}', b'\xef\xbb\xbf{}', b'{"a": "\xc0\x80"}',
    b'{"a": "line\nfeed"}', b'{"a": tru}', b"\x00",
]
