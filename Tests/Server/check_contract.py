"""What the interface promises of right requests: fields, defaults, shapes of answers and streams, metrics, limits of connections."""

import http.client
import json
import math
import re
import sys

from client import SUM, server

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
METRICS = """gauge vllm:num_requests_running vllm:num_requests_waiting vllm:kv_cache_usage_perc duality:state_snapshots duality:state_snapshot_bytes
duality:memory_bytes duality:open_connections process_resident_memory_bytes process_open_fds process_start_time_seconds vllm:cache_config_info
counter vllm:prompt_tokens_total vllm:generation_tokens_total vllm:prefix_cache_queries_total vllm:prefix_cache_hits_total vllm:num_preemptions_total
vllm:request_success_total duality:prefix_tokens_reused_total duality:snapshot_placed_total duality:snapshot_hits_total duality:snapshot_evictions_total
duality:prompt_tokens_read_total duality:prefix_waits_total duality:requests_cancelled_total duality:requests_rejected_total process_cpu_seconds_total
http_requests_total vllm:spec_decode_num_draft_tokens_total vllm:spec_decode_num_accepted_tokens_total
histogram vllm:time_to_first_token_seconds vllm:inter_token_latency_seconds vllm:request_time_per_output_token_seconds vllm:e2e_request_latency_seconds
vllm:request_queue_time_seconds vllm:request_prefill_time_seconds vllm:request_decode_time_seconds vllm:request_inference_time_seconds
vllm:request_prompt_tokens vllm:request_generation_tokens vllm:request_params_n vllm:request_params_max_tokens vllm:iteration_tokens_total
vllm:request_max_num_generation_tokens duality:snapshot_restore_seconds duality:step_seconds duality:step_rows"""


def models(client):
    body = json.loads(client.request("GET", "/v1/models")[2])
    assert set(body) == {"object", "data"} and body["object"] == "list" and [c["id"] for c in body["data"]] == ["house/first", "second"], body
    for card in body["data"]:
        assert set(card) == {"id", "object", "created", "owned_by", "root", "parent", "max_model_len"} and card["owned_by"] == "duality", card
        assert card["object"] == "model" and card["parent"] is None and card["max_model_len"] == 8192, card
    for path in ("house/first", "house%2Ffirst", "second"):
        assert json.loads(client.request("GET", "/v1/models/" + path)[2])["id"] == path.replace("%2F", "/")
    for name in ("house/first", "second"):
        assert client.chat(SUM, model=name, max_tokens=1)["model"] == "house/first"


def tokens(client):
    body = client.post("/tokenize", {"prompt": "a fjörd 🌲", "return_token_strs": True, "add_special_tokens": True})
    assert set(body) == {"count", "max_model_len", "tokens", "token_strs"} and body["count"] == len(body["tokens"]) == len(body["token_strs"]), body
    assert client.post("/detokenize", {"tokens": body["tokens"]}) == {"prompt": "a fjörd 🌲"}
    count = lambda **more: client.post("/tokenize", {"messages": SUM, **more})["count"]
    assert count() == count(add_generation_prompt=True) > count(add_generation_prompt=False)
    answer = [*SUM, {"role": "assistant", "content": "42"}]
    whole, going = (client.post("/tokenize", {"messages": answer, **m})["tokens"] for m in ({"add_generation_prompt": False}, {"continue_final_message": True}))
    assert whole[: len(going)] == going and len(going) < len(whole)
    assert count() == client.chat(SUM, max_tokens=1)["usage"]["prompt_tokens"]
    info = json.loads(client.request("GET", "/tokenizer_info")[2])
    assert set(info) == {"tokenizer_class", "eos_token", "bos_token", "pad_token", "chat_template", "model_max_length"} and info["eos_token"], info
    assert set(json.loads(client.request("GET", "/version")[2])) == {"version"} and json.loads(client.request("GET", "/health")[2]) == {"status": "ok"}


def members(client):
    """Null is absent, whole numbers may be written in any way, and what nobody knows is named."""
    names = """model max_completion_tokens max_tokens temperature top_p top_k min_p presence_penalty frequency_penalty repetition_penalty n seed stop
        stop_token_ids include_stop_str_in_output ignore_eos skip_special_tokens min_tokens logit_bias logprobs top_logprobs stream stream_options tools
        tool_choice parallel_tool_calls response_format structured_outputs guided_json guided_regex guided_choice chat_template_kwargs reasoning_effort
        include_reasoning add_generation_prompt continue_final_message truncate_prompt_tokens return_token_ids return_tokens_as_token_ids cache_salt
        best_of suffix use_beam_search prompt_embeds functions function_call echo audio modalities prompt_logprobs""".split()
    plain = client.chat(SUM)
    nothing = client.post(CHAT, {"messages": SUM, **dict.fromkeys(names), "temperature": 0})
    assert nothing["choices"] == plain["choices"], nothing
    idle = {"user": "u", "metadata": {"a": "b"}, "store": True, "service_tier": "auto", "prompt_cache_key": "k", "safety_identifier": "s", "verbosity": "low", "prediction": {"type": "content"}, "web_search_options": {}, "best_of": 1, "suffix": "", "use_beam_search": False, "modalities": ["text"], "functions": [], "function_call": "none"}
    status, headers, content = client.request("POST", CHAT, {"messages": SUM, "temperature": 0, **idle}, headers={"x-request-id": "mine-7"})
    assert status == 200 and json.loads(content)["choices"] == plain["choices"] and "x-duality-ignored" not in headers and headers["x-request-id"] == "mine-7", content
    status, headers, _ = client.request("POST", CHAT, {"messages": SUM, "max_tokens": 1, "zebra": {"deep": 1}, "cow": None})
    assert status == 200 and headers["x-duality-ignored"] == "zebra, cow", headers.items()
    for number in ("3", "3.0", "0.3e1", "30e-1", "3E0", "3.00e+0"):
        status, _, content = client.request("POST", CHAT, raw=b'{"messages": [{"role": "user", "content": "x"}], "ignore_eos": true, "max_tokens": ' + number.encode() + b"}")
        assert status == 200 and json.loads(content)["usage"]["completion_tokens"] == 3, (number, content)
    assert client.chat(SUM, max_tokens=9, max_completion_tokens=2)["usage"]["completion_tokens"] == 2
    parts = [{"role": "developer", "content": [{"type": "text", "text": "Be"}, {"type": "text", "text": "brief."}]}, *SUM]
    joined = [{"role": "system", "content": "Be\nbrief."}, *SUM]
    assert client.chat(parts)["choices"] == client.chat(joined)["choices"]
    nested = b'{"zebra": ' + b"[" * 198 + b"]" * 198 + b', "prompt": "x"}'
    assert client.request("POST", "/tokenize", raw=nested)[0] == 200


def drawing(client):
    """Every way to draw does what it says, and the ends of all ranges are answered."""
    body = {"prompt": "Once upon a time", "max_tokens": 8, "return_token_ids": True}
    ids = lambda **more: client.post(TEXT, {**body, **more})["choices"][0]["token_ids"]
    greedy = ids(temperature=0)
    assert ids(top_k=1) == ids(temperature=1, top_p=1e-9) == ids(min_p=1) == greedy and ids(top_k=-1, seed=4) == ids(top_k=0, seed=4) == ids(seed=4)
    assert set(ids(logit_bias={"700": 100}, temperature=0)) == {700} and greedy[0] not in ids(logit_bias={str(greedy[0]): -100}, temperature=0)
    whole = client.post(TEXT, {**body, "n": 3, "seed": 2**63 - 2, "temperature": 1})["choices"]
    assert [c["token_ids"] for c in whole] == [ids(seed=s, temperature=1) for s in (2**63 - 2, 2**63 - 1, -(2**63))]
    for more in ({"temperature": 1e308}, {"temperature": 1e-308}, {"repetition_penalty": 1e308}, {"repetition_penalty": 1e-308}, {"presence_penalty": 2, "frequency_penalty": -2}, {"top_k": 2**62}, {"top_p": 5e-324}, {"logit_bias": {str(i): 100 for i in range(4000)}}, {"min_p": 1, "top_p": 1e-300, "top_k": 1}, {"min_tokens": 8, "stop": "e"}, {"seed": -(2**63)}):
        assert len(ids(**more)) >= 1, more
    for more in ({"ignore_eos": True}, {"min_tokens": 30}):
        choice = client.post(TEXT, {"prompt": "The end.", "max_tokens": 30, "temperature": 0, "return_token_ids": True, **more})["choices"][0]
        assert len(choice["token_ids"]) == 30 and choice["finish_reason"] == "length", choice
    choice = client.post(TEXT, {**body, "temperature": 0, "stop_token_ids": [greedy[2]]})["choices"][0]
    assert choice["finish_reason"] == "stop" and choice["stop_reason"] == greedy[2] and len(choice["token_ids"]) == greedy.index(greedy[2]) + 1, choice


def whole_answers(client):
    body = client.chat(SUM, logprobs=True, top_logprobs=5, n=2)
    assert set(body) == {"id", "object", "created", "model", "system_fingerprint", "choices", "usage"} and body["object"] == "chat.completion" and body["id"].startswith("chatcmpl-"), body
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] and set(usage["prompt_tokens_details"]) == {"cached_tokens"}, usage
    for index, choice in enumerate(body["choices"]):
        assert set(choice) == {"index", "message", "logprobs", "finish_reason", "stop_reason"} and choice["index"] == index
        assert choice["message"] == {"role": "assistant", "content": "17 + 25 = 42.", "refusal": None} and choice["finish_reason"] == "stop" and choice["stop_reason"] is None, choice
        entries = choice["logprobs"]["content"]
        for entry in entries:
            top = [t["logprob"] for t in entry["top_logprobs"]]
            assert set(entry) == {"token", "logprob", "bytes", "top_logprobs"} and len(top) == 5 and top == sorted(top, reverse=True) and math.fsum(map(math.exp, top)) < 1.0001
            assert entry["logprob"] <= top[0] and entry["bytes"] == list(entry["token"].encode())
    assert "".join(e["token"] for e in entries[:-1]) == "17 + 25 = 42."
    again = client.chat(SUM, cache_salt="salt"), client.chat(SUM), client.chat(SUM, cache_salt="salt")
    hits = [a["usage"]["prompt_tokens_details"]["cached_tokens"] for a in again]
    assert hits[0] == 0 and hits[1] == hits[2] == usage["prompt_tokens"] - 1, hits
    body = client.post(TEXT, {"prompt": ["a b", "c d"], "n": 2, "temperature": 1, "seed": 3})
    assert body["object"] == "text_completion" and body["id"].startswith("cmpl-") and [c["index"] for c in body["choices"]] == [0, 1, 2, 3]
    assert body["usage"]["completion_tokens"] <= 64 and all(set(c) == {"index", "text", "logprobs", "finish_reason", "stop_reason"} for c in body["choices"])
    tail = client.post(TEXT, {"prompt": "a b c d e f g h", "truncate_prompt_tokens": 3, "echo": True, "max_tokens": 0})
    assert tail["usage"]["prompt_tokens"] == 3 and "a b c d e f g h".endswith(tail["choices"][0]["text"].strip()), tail


def scores(client):
    """What lm-evaluation-harness rests on."""
    end = client.post("/tokenize", {"prompt": "<|im_end|>"})["tokens"][0]
    ids = client.post("/tokenize", {"prompt": "What is 17 plus 25? 17 + 25 = 42."})["tokens"]
    for more in ({}, {"logit_bias": {str(end): 100}}):
        for _ in range(2):
            choice = client.post(TEXT, {"prompt": [ids], "max_tokens": 1, "logprobs": 1, "echo": True, "temperature": 0, **more})["choices"][0]
            lists = choice["logprobs"]
            assert {len(v) for v in lists.values()} == {len(ids) + 1} and lists["token_logprobs"][0] is None and lists["top_logprobs"][0] is None, lists
            for number, top in list(zip(lists["token_logprobs"], lists["top_logprobs"]))[1:]:
                assert 1 <= len(top) <= 2 and number in top.values() and number >= -9999
    for k in (0, 3, 20):
        lists = client.post(TEXT, {"prompt": "a", "max_tokens": 4, "logprobs": k, "temperature": 1})["choices"][0]["logprobs"]
        assert all(1 <= len(top) <= k + 1 for top in lists["top_logprobs"]), lists


def streams(client):
    body = {"messages": SUM, "temperature": 0, "stream": True, "n": 2, "stream_options": {"include_usage": True}, "logprobs": True}
    status, headers, content = client.request("POST", CHAT, body)
    assert status == 200 and headers["content-type"] == "text/event-stream; charset=utf-8" and headers["cache-control"] == "no-cache" and headers["x-accel-buffering"] == "no"
    blocks = content.decode().split("\n\n")
    assert blocks[-1] == "" and blocks[-2] == "data: [DONE]" and all(b.startswith("data: {") and "\n" not in b for b in blocks[:-2])
    events = [json.loads(b[6:]) for b in blocks[:-2]]
    assert len({(e["id"], e["created"], e["model"], e["object"], e["system_fingerprint"]) for e in events}) == 1 and events[0]["object"] == "chat.completion.chunk"
    assert events[-1]["choices"] == [] and events[-1]["usage"]["completion_tokens"] > 4 and all(e["usage"] is None and len(e["choices"]) == 1 for e in events[:-1])
    for index in (0, 1):
        mine = [e["choices"][0] for e in events[:-1] if e["choices"][0]["index"] == index]
        assert mine[0]["delta"] == {"role": "assistant", "content": ""} and mine[-1]["delta"] == {} and mine[-1]["finish_reason"] == "stop", mine
        assert all(c["finish_reason"] is None for c in mine[:-1]) and "".join(c["delta"].get("content", "") for c in mine) == "17 + 25 = 42."
    events = client.events(TEXT, {"prompt": "A tree", "echo": True, "max_tokens": 3})
    assert events[0]["choices"][0]["text"].startswith("A tree") and "usage" not in events[0] and events[-1]["choices"][0]["finish_reason"], events


def metrics(client):
    text = client.request("GET", "/metrics")[2].decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    kind = None
    for word in METRICS.split():
        if word in ("gauge", "counter", "histogram"):
            kind = word
        else:
            assert kinds.get(word) == kind, (word, kinds.get(word), kind)
    for reason in ("stop", "length", "abort"):
        assert f'finished_reason="{reason}"' in text
    for part in ("weights", "workspace", "live", "tree"):
        assert f'part="{part}"' in text


def heads_and_connections(client):
    """Heads are bounded, and so are connections; who behaves is served all the same."""
    with client.socket() as s:
        try:
            s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"X-A: " + b"a" * 100_000 + b"\r\n\r\n")
            answer = s.recv(4096)
        except OSError:
            answer = b""
        assert b" 200 " not in answer.split(b"\r\n")[0], answer[:100]
    for junk in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"POST /tokenize HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n", b"GET /health HTTP/1.1\r\nHost x\r\n\r\n"):
        with client.socket(5) as s:
            s.sendall(junk)
            answer = s.recv(4096)
            assert b" 400 " in answer.split(b"\r\n")[0] or answer == b"", (junk, answer[:100])
    # Of 1100 connections 1024 are taken; the others wait until some of those are closed.
    sockets = []
    try:
        for _ in range(1100):
            sockets.append(client.socket(2))
        taken, last = sockets[:1024], sockets[-1]
        for s in (taken[-1], last):
            s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in taken[-1].recv(4096).split(b"\r\n")[0]
        try:
            raise AssertionError(f"connection 1100 is answered beside 1099 others: {last.recv(4096)[:100]}")
        except TimeoutError:
            pass
        for s in taken:
            s.close()
        last.settimeout(30)
        assert b" 200 " in last.recv(4096).split(b"\r\n")[0]
    finally:
        for s in sockets:
            s.close()
    connection = http.client.HTTPConnection(client.place.hostname, client.place.port, timeout=30)
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200
    return f"{len(sockets)} connections"


def main():
    failed = 0
    with server("--served-model-name", "house/first", "second") as client:
        for check in (models, tokens, members, drawing, whole_answers, scores, streams, metrics, heads_and_connections):
            name = check.__name__.replace("_", " ")
            try:
                note = check(client)
                print(f"ok      {name}{f' ({note})' if note else ''}", flush=True)
            except Exception as error:
                failed += 1
                print(f"FAILED  {name}: {type(error).__name__}: {str(error)[:900]}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
