"""Calls, thoughts, stop strings and half characters, with a model whose answers are known byte for byte; whole and streamed."""

import json
import pathlib
import sys
import tempfile

import scripted_model
from client import assembled, server

PARAMETERS = {"type": "object", "properties": {"word": {"type": "string"}, "limit": {"type": "integer"}}, "required": ["word"]}
LOOK_UP = {"type": "function", "function": {"name": "look_up", "description": "Finds a word.", "parameters": PARAMETERS}}
COUNT = {"type": "function", "function": {"name": "count", "parameters": {"type": "object", "properties": {"of": {"type": "array", "items": {"type": "string"}}}}}}
TOOLS = [LOOK_UP, COUNT]


def both(client, content, **body):
    """The choice of the whole answer, after a look that the stream comes to the same."""
    messages = content if isinstance(content, list) else [{"role": "user", "content": content}]
    body = {"messages": messages, "temperature": 0, "logprobs": True, **body}
    whole = client.post("/v1/chat/completions", body)["choices"][0]
    events = client.events("/v1/chat/completions", {**body, "stream_options": {"include_usage": True}})
    message, calls, entries, end = assembled(events)
    assert message["content"] == (whole["message"]["content"] or ""), (message, whole)
    assert message["reasoning_content"] == whole["message"].get("reasoning_content", ""), (message, whole)
    there = [(c["function"]["name"], c["function"]["arguments"]) for c in whole["message"].get("tool_calls", [])]
    assert [(c["name"], c["arguments"]) for c in calls] == there, (calls, there)
    assert entries == whole["logprobs"]["content"] and end == whole["finish_reason"], (end, whole)
    assert all(len(c["delta"].get("tool_calls", [])) <= 1 for e in events for c in e["choices"])
    return whole


def content(client):
    choice = both(client, "/hello")
    assert choice["message"]["content"] == "Good morning from a table." and choice["finish_reason"] == "stop"
    assert both(client, "/accents")["message"]["content"] == "fjörd 🌲🌳 東京 ok"
    assert both(client, "/object")["message"]["content"] == '{"title": "Trees", "count": 2}'


def stop_strings(client):
    for stop, text in (("HALT", "red green "), (["blue", "green H"], "red "), ("nothing", "red green HALT blue"), ("e HALT", "red green HALT blue")):
        choice = both(client, "/cut", stop=stop)
        assert choice["message"]["content"] == text, (stop, choice)
        assert choice["finish_reason"] == "stop"
    choice = both(client, "/cut", stop="HALT", include_stop_str_in_output=True)
    assert choice["message"]["content"] == "red green HALT" and choice["stop_reason"] == "HALT"
    assert both(client, "/cut", stop="red", min_tokens=3)["message"]["content"] != ""
    text = client.post("/v1/completions", {"prompt": "x", "max_tokens": 3, "stop": ["\x00"], "temperature": 0})
    assert text["usage"]["completion_tokens"] <= 3


def calls(client):
    choice = both(client, "/lookup", tools=TOOLS)
    call = choice["message"]["tool_calls"][0]
    assert call["function"] == {"name": "look_up", "arguments": '{"word": "séance", "limit": 3}'} and call["id"].startswith("call_"), call
    assert choice["finish_reason"] == "tool_calls" and choice["message"]["content"] is None
    choice = both(client, "/both", tools=TOOLS)
    assert choice["message"]["content"] == "First this:", choice
    assert [c["function"]["name"] for c in choice["message"]["tool_calls"]] == ["look_up", "count"]
    assert json.loads(choice["message"]["tool_calls"][1]["function"]["arguments"]) == {"of": ["oak", "elm"]}


def calls_nobody_asked_for(client):
    for body in ({}, {"tools": TOOLS, "tool_choice": "none"}):
        choice = both(client, "/lookup", **body)
        assert choice["message"]["content"].startswith("<tool_call>") and "tool_calls" not in choice["message"], choice
        assert choice["finish_reason"] == "stop"


def calls_cut_off(client):
    for limit in range(1, 60):
        choice = both(client, "/lookup", tools=TOOLS, max_tokens=limit)
        if choice["finish_reason"] == "tool_calls":
            break
        assert choice["finish_reason"] == "length", choice
    else:
        raise AssertionError("the call never ended")


def one_call_only(client):
    choice = both(client, "/both", tools=TOOLS, parallel_tool_calls=False)
    assert len(choice["message"]["tool_calls"]) == 1 and choice["finish_reason"] == "tool_calls"


def forced_calls(client):
    for tool_choice, names in (("required", ("look_up", "count")), ({"type": "function", "function": {"name": "count"}}, ("count",))):
        for thinking in (True, False):
            choice = both(client, "/hello", tools=TOOLS, tool_choice=tool_choice, chat_template_kwargs={"enable_thinking": thinking}, max_tokens=300)
            if choice["finish_reason"] == "length":
                continue  # a thought that goes on, or a string that this model does not end
            assert choice["message"]["tool_calls"][0]["function"]["name"] in names, choice
            json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"])


def thoughts(client):
    choice = both(client, "/think")
    assert choice["message"]["reasoning_content"] == "Oak, then elm." and choice["message"]["content"] == "Two trees.", choice
    choice = both(client, "/think", chat_template_kwargs={"enable_thinking": False})
    assert "reasoning_content" not in choice["message"], choice
    assert "reasoning_content" not in both(client, "/think", reasoning_effort="none")["message"]
    choice = client.chat("/think", include_reasoning=False)["choices"][0]["message"]
    assert "reasoning_content" not in choice and choice["content"] == "Two trees."
    usage = client.chat("/think")["usage"]
    assert 0 < usage["completion_tokens_details"]["reasoning_tokens"] < usage["completion_tokens"]
    cut = both(client, "/think", max_tokens=3)
    assert cut["message"]["content"] is None and cut["finish_reason"] == "length", cut


def results(client):
    messages = [
        {"role": "user", "content": "/lookup"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"word": "oak"}'}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "a tree"},
    ]
    assert both(client, messages, tools=TOOLS)["message"]["content"] == "There are two of them."
    for arguments in ("", '{"word": "o', {"word": "oak"}, "[1]"):
        messages[1]["tool_calls"][0]["function"]["arguments"] = arguments
        both(client, messages, tools=TOOLS)


def markers_are_text(client):
    """What a user types is no structure: a forged turn has more tokens than a real one."""
    count = lambda text: client.post("/tokenize", {"messages": [{"role": "user", "content": text}]})["count"]
    assert count("<|im_end|>") > count("x") + 3


def continuing(client):
    messages = [{"role": "user", "content": "/hello"}, {"role": "assistant", "content": "Good"}]
    choice = both(client, messages, continue_final_message=True, max_tokens=2)
    assert choice["message"]["content"] is not None


def tokens_on_request(client):
    body = client.chat("/hello", return_token_ids=True, return_tokens_as_token_ids=True, logprobs=True, top_logprobs=2)
    choice = body["choices"][0]
    assert len(choice["token_ids"]) == body["usage"]["completion_tokens"] == len(choice["logprobs"]["content"])
    assert len(body["prompt_token_ids"]) == body["usage"]["prompt_tokens"]
    assert choice["logprobs"]["content"][0]["token"] == f"token_id:{choice['token_ids'][0]}"


def tagged(client):
    choice = both(client, "hello", tools=TOOLS)
    message = choice["message"]
    assert message["reasoning_content"] == "One token each." and message["content"] == "Now:", choice
    assert message["tool_calls"][0]["function"] == {"name": "count", "arguments": '{"of": ["ash"]}'}, choice


CHECKS = (content, stop_strings, calls, calls_nobody_asked_for, calls_cut_off, one_call_only, forced_calls, thoughts, results, markers_are_text, continuing, tokens_on_request)


def run(client, checks):
    failed = 0
    for check in checks:
        try:
            check(client)
            print(f"ok      {check.__name__.replace('_', ' ')}")
        except Exception as error:
            failed += 1
            print(f"FAILED  {check.__name__.replace('_', ' ')}: {type(error).__name__}: {str(error)[:900]}")
    return failed


def main():
    with tempfile.TemporaryDirectory() as folder:
        plain, tags = pathlib.Path(folder) / "plain", pathlib.Path(folder) / "tags"
        scripted_model.build(plain)
        scripted_model.build(tags, tags=True)
        with server(str(plain), "--template", "qwen3") as client:
            failed = run(client, CHECKS)
        with server(str(tags), "--template", "qwen3", "--tool-call-parser", "hermes", "--reasoning-parser", "qwen3") as client:
            return failed + run(client, (tagged,))


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
