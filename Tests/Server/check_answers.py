"""Calls, thoughts, stop strings and half characters, with a model whose answers are known byte for byte; whole and streamed."""

import concurrent.futures
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import scripted_model
from client import BINARY, ROOT, assembled, server

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


def texts_put_together(client):
    """A streamed completion is the whole one, with its prompts, choices and log probabilities."""
    ids = client.post("/tokenize", {"prompt": "Once upon a time there was a fjörd 🌲"})["tokens"]
    for more in ({}, {"echo": True}, {"echo": True, "max_tokens": 0}, {"stop": ["e"]}, {"logprobs": None}, {"echo": True, "logprobs": 0}):
        body = {"prompt": [ids, ids[:3]], "n": 2, "seed": 5, "temperature": 1, "max_tokens": 6, "logprobs": 2, **more}
        whole = client.post("/v1/completions", body)
        events = client.events("/v1/completions", {**body, "stream_options": {"include_usage": True}})
        assert [c["index"] for c in whole["choices"]] == [0, 1, 2, 3]
        for choice in whole["choices"]:
            parts = [c for e in events for c in e["choices"] if c["index"] == choice["index"]]
            assert "".join(c["text"] for c in parts) == choice["text"], (more, choice, parts)
            assert parts[-1]["finish_reason"] == choice["finish_reason"] and parts[-1]["stop_reason"] == choice["stop_reason"]
            for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
                pieces = [x for c in parts if c["logprobs"] for x in c["logprobs"][name]]
                assert pieces == (choice["logprobs"] or {}).get(name, []), (more, name, pieces, choice)
        assert events[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]
        if more.get("echo"):
            assert whole["choices"][0]["text"].startswith("Once upon a time there was a fjörd 🌲")
    for index, choice in enumerate(whole["choices"]):
        alone = client.post("/v1/completions", {**body, "prompt": body["prompt"][index // 2], "n": 1, "seed": 5 + index % 2})["choices"][0]
        assert {**alone, "index": index} == choice, (alone, choice)


def offsets_count_characters(client):
    body = client.post("/v1/completions", {"prompt": "fjörd 🌲🌳 東京", "max_tokens": 8, "echo": True, "logprobs": 1, "temperature": 0})["choices"][0]
    assert body["logprobs"]["text_offset"][0] == 0
    for token, offset in zip(body["logprobs"]["tokens"], body["logprobs"]["text_offset"]):
        assert "\ufffd" in token or token.startswith("<|") or body["text"][offset : offset + len(token)] == token, (token, offset, body["text"])


def usage_so_far(client):
    events = client.events("/v1/chat/completions", {"messages": [{"role": "user", "content": "/hello"}], "stream_options": {"include_usage": True, "continuous_usage_stats": True}})
    counts = [e["usage"]["completion_tokens"] for e in events]
    assert counts == sorted(counts) and counts[-1] == events[-1]["usage"]["completion_tokens"] > 0
    assert "usage" not in client.events("/v1/chat/completions", {"messages": [{"role": "user", "content": "/hello"}], "stream_options": {}})[0]


def documents(client):
    """Structured answers are valid and have no runs of white space, whatever the model likes."""
    schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 12}, "n": {"type": "integer", "minimum": 3, "maximum": 77}, "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1, "maxItems": 3}, "sub": {"$ref": "#/$defs/s"}}, "required": ["name", "n", "tags", "sub"], "$defs": {"s": {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}}}
    for seed in range(6):
        for temperature in (0, 1.5):
            choice = both(client, "Describe it.", temperature=temperature, seed=seed, max_tokens=4000, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}, chat_template_kwargs={"enable_thinking": False})
            text = choice["message"]["content"]
            assert choice["finish_reason"] == "stop", choice
            value = json.loads(text)
            assert 3 <= value["n"] <= 77 and 1 <= len(value["tags"]) <= 3 and isinstance(value["sub"]["ok"], bool), text
            assert not re.search(r"\n{3}|[ \t]{21}|\s{23}", text), text
    assert both(client, "Pick.", structured_outputs={"regex": "[0-9]{3}-[a-f]{2}"}, chat_template_kwargs={"enable_thinking": False})["message"]["content"].count("-") == 1
    assert both(client, "Pick.", structured_outputs={"choice": ["fjörd", "oak"]}, chat_template_kwargs={"enable_thinking": False})["message"]["content"] in ("fjörd", "oak")


def hostile_schemas(client):
    """A schema that is made to take long is answered, or refused, in time; others are served meanwhile."""
    def nest(depth):
        return {"type": "object", "properties": {"a": nest(depth - 1), "b": nest(depth - 1)}} if depth else {"type": "string"}

    hostile = [
        {"json": nest(10)}, {"json": {"type": "string", "pattern": "(a{1,200}b{1,200}){1,200}"}}, {"regex": "(a|aa|aaa|aaaa){1,900}x{1,900}"},
        {"regex": "(.{0,900}x){0,9}"}, {"regex": "(((a*)*)*)*b"}, {"choice": ["x" * k for k in range(1, 900)]},
        {"json": {"anyOf": [{"type": "object", "properties": {f"k{i}{j}": {"type": "string"} for j in range(12)}} for i in range(40)]}},
        {"json": {"type": "array", "items": {"type": "string", "minLength": 100000, "maxLength": 200000}}}, {"json": {"type": "integer", "minimum": 3, "multipleOf": 99999999}},
        {"json": {"type": "array", "minItems": 100000, "items": {"type": "integer"}}}, {"json": {"$ref": "#"}}, {"json": {"allOf": [{"$ref": "#"}]}},
        {"json": {"enum": [f"value {i}" for i in range(3000)]}},
    ]
    slowest = 0
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        for outputs in hostile:
            start = time.time()
            job = pool.submit(client.request, "POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "structured_outputs": outputs, "max_tokens": 4, "chat_template_kwargs": {"enable_thinking": False}})
            while not job.done():
                before = time.time()
                assert client.request("GET", "/health")[0] == 200 and time.time() - before < 3, f"others wait for {str(outputs)[:80]}"
                time.sleep(0.05)
            status, _, content = job.result()
            slowest = max(slowest, time.time() - start)
            assert status in (200, 400) and time.time() - start < 15, (str(outputs)[:80], status, content[:200], time.time() - start)
    return f"at most {slowest:.1f} s"


def log_likelihoods(client):
    """Scores of prompts are those of `duality logits` in the same format: within 1e-3, and greedy where it is."""
    import numpy as np

    texts = ["Once upon a time there was a little fox named Pip.", "What is 17 plus 25? 17 + 25 = 42.", "The harbour was quiet in the morning. " * 9]
    for text in texts:
        scores = client.post("/v1/completions", {"prompt": text, "max_tokens": 1, "logprobs": 1, "echo": True, "temperature": 0})["choices"][0]["logprobs"]
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "logits.safetensors"
            subprocess.run([BINARY, "logits", "--engine", "fast", "--precision", "bf16", "--text", text, "--out", str(path)], check=True, capture_output=True, cwd=ROOT)
            data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        kinds = {"F64": np.float64, "F32": np.float32, "I64": np.int64, "I32": np.int32}

        def tensor(name):
            entry = header[name]
            start, end = entry["data_offsets"]
            return np.frombuffer(data[8 + length + start : 8 + length + end], kinds[entry["dtype"]]).reshape(entry["shape"])

        logits, ids = tensor("logits").astype(np.float64), tensor("input_ids").reshape(-1)
        logits = logits.reshape(len(ids), -1)
        expected = logits - logits.max(-1, keepdims=True)
        expected -= np.log(np.exp(expected).sum(-1, keepdims=True))
        for i in range(1, len(ids)):
            found, top = scores["token_logprobs"][i], scores["top_logprobs"][i]
            row = expected[i - 1]
            assert abs(found - row[ids[i]]) < 1e-3, (text, i, found, row[ids[i]])
            gap = np.sort(row)[-1] - np.sort(row)[-2]
            assert gap < 1e-3 or (found == max(top.values())) == (row.argmax() == ids[i]), (text, i)


CHECKS = (content, texts_put_together, offsets_count_characters, usage_so_far, documents, hostile_schemas, stop_strings, calls, calls_nobody_asked_for, calls_cut_off, one_call_only, forced_calls, thoughts, results, markers_are_text, continuing, tokens_on_request)


def run(client, checks):
    failed = 0
    for check in checks:
        try:
            note = check(client)
            print(f"ok      {check.__name__.replace('_', ' ')}{f' ({note})' if note else ''}", flush=True)
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
        with server() as client:
            failed += run(client, (log_likelihoods,))
        with server(str(tags), "--template", "qwen3", "--tool-call-parser", "hermes", "--reasoning-parser", "qwen3") as client:
            return failed + run(client, (tagged,))


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
