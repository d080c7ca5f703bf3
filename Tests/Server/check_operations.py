"""The server under signals, floods, departures and clients that do not read."""

import concurrent.futures
import json
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

from client import BINARY, ROOT, SUM, server

LONG = {"prompt": "The end", "max_tokens": 4000, "ignore_eos": True, "temperature": 1}


def open_stream(client, body, receive=True):
    """The socket of a stream that has begun."""
    data = json.dumps({**body, "stream": True}).encode()
    s = client.socket()
    s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
    if receive:
        assert b" 200 " in s.recv(100), "no stream"
    return s


def read_to_end(s):
    data = b""
    while piece := s.recv(1 << 16):
        data += piece
        if data.endswith(b"0\r\n\r\n"):
            break
    return data


def departures(client):
    for half in (False, True):
        streams = [open_stream(client, {**LONG, "n": 2}) for _ in range(4)]
        waiting = client.socket()
        body = json.dumps({**LONG, "stream": False}).encode()
        waiting.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        time.sleep(0.3)
        assert client.metric("vllm:num_requests_running") >= 8
        for s in (*streams, waiting):
            s.shutdown(socket.SHUT_WR) if half else s.close()
        client.wait_until_idle(5)
        for s in (*streams, waiting):
            s.close()


def a_full_queue(client):
    streams = [open_stream(client, LONG) for _ in range(4)]
    waiting = [open_stream(client, LONG, receive=False) for _ in range(2)]
    end = time.time() + 5
    while client.metric("vllm:num_requests_waiting") < 2 and time.time() < end:
        time.sleep(0.05)
    got, headers, content = client.request("POST", "/v1/completions", LONG)
    assert got == 429 and 1 <= int(headers["Retry-After"]) <= 60, (got, content)
    assert json.loads(content)["error"]["code"] == "queue_full"
    for s in (*streams, *waiting):
        s.close()
    client.wait_until_idle()


def a_client_that_does_not_read(client):
    """Its sequence pauses, then it is cut off; others go on."""
    before = client.metric("vllm:generation_tokens_total")
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect((client.place.hostname, client.place.port))
    # Twice what the system (4 MiB) and the server (1 MiB) may keep for it.
    data = json.dumps({**LONG, "prompt": [5] * 100, "echo": True, "max_tokens": 8000, "logprobs": 20, "stream": True}).encode()
    s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
    time.sleep(1)
    assert client.chat(SUM)["choices"][0]["message"]["content"] == "17 + 25 = 42."
    client.wait_until_idle(120)
    made = client.metric("vllm:generation_tokens_total") - before
    assert made < 7500, made
    s.close()


def a_flood(client):
    """Requests of all kinds with departures at random moments: nothing leaks and others get their answers."""
    rng = random.Random(7)
    requests = [rng.choice(("whole", "stream", "leave", "wrong", "big")) for _ in range(300)]

    def one(kind):
        try:
            if kind == "whole":
                got = client.request("POST", "/v1/chat/completions", {"messages": SUM, "temperature": 0})
                assert got[0] == 429 or json.loads(got[2])["choices"][0]["message"]["content"] == "17 + 25 = 42.", got
            elif kind == "stream":
                data = read_to_end(open_stream(client, {"prompt": "Once", "max_tokens": 8}, receive=False))
                assert b"data: [DONE]" in data or b" 429 " in data, data[-200:]
            elif kind == "leave":
                s = open_stream(client, LONG, receive=False)
                time.sleep(random.random() * 0.2)
                s.close()
            elif kind == "wrong":
                assert client.request("POST", "/v1/completions", {"prompt": 7})[0] == 400
            else:
                got = client.request("POST", "/tokenize", raw=b'{"prompt": "' + b"a " * 20000 + b'"}')
                assert got[0] == 200
        except OSError as error:
            raise AssertionError(f"{kind}: {error}") from error

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        list(pool.map(one, requests))
    client.wait_until_idle()
    assert client.metric("duality:open_connections") <= 2, client.metric("duality:open_connections")


def usage_is_what_metrics_count(client):
    before = {n: client.metric(n) for n in ("vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:request_success_total")}
    prompt = answer = 0
    for body in ({"stop": ["25"]}, {"n": 3}, {"max_tokens": 2}, {}):
        usage = client.chat(SUM, **body)["usage"]
        prompt += usage["prompt_tokens"]
        answer += usage["completion_tokens"]
    client.wait_until_idle()
    assert client.metric("vllm:generation_tokens_total") - before["vllm:generation_tokens_total"] == answer
    assert client.metric("vllm:prompt_tokens_total") - before["vllm:prompt_tokens_total"] == prompt
    assert client.metric("vllm:request_success_total") - before["vllm:request_success_total"] == 6


def metrics_are_prometheus(client):
    text = client.request("GET", "/metrics")[2].decode()
    families, seen = {}, set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:]
            assert name not in families, f"{name} twice"
            families[name] = kind
        elif not line.startswith("#"):
            match = re.fullmatch(r'([a-zA-Z_:][\w:]*)\{((?:\w+="(?:[^"\\]|\\.)*",?)*)\} (\S+)', line)
            assert match and 'engine="0"' in match[2], line
            float(match[3])
            assert line.rsplit(" ", 1)[0] not in seen, line
            seen.add(line.rsplit(" ", 1)[0])
            base = re.sub(r"_(bucket|sum|count)$", "", match[1])
            assert match[1] in families or families.get(base) == "histogram", line
    return f"{len(families)} families"


def sigterm_under_load():
    with server("--shutdown-timeout", "30") as client:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            streams = [open_stream(client, {**LONG, "max_tokens": 300}) for _ in range(6)]
            done = [pool.submit(read_to_end, s) for s in streams]
            client.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            try:
                assert client.request("GET", "/health", timeout=2)[0] == 503
                got, headers, _ = client.request("POST", "/v1/completions", LONG, timeout=2)
                assert got == 503 and headers["Retry-After"]
            except OSError:
                pass
            for answer in done:
                data = answer.result(60)
                assert b"data: [DONE]" in data and b'"finish_reason":"length"' in data and b'"error"' not in data, data[-300:]
        assert client.process.wait(20) == 0


def sigterm_that_takes_too_long():
    with server("--shutdown-timeout", "1") as client:
        s = open_stream(client, {**LONG, "max_tokens": 8000})
        client.process.send_signal(signal.SIGINT)
        data = read_to_end(s)
        assert b"shutting_down" in data and b"data: [DONE]" in data, data[-300:]
        assert client.process.wait(20) == 0


def a_second_signal():
    with server() as client:
        s = open_stream(client, {**LONG, "max_tokens": 8000})
        client.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        client.process.send_signal(signal.SIGTERM)
        client.process.wait(3)
        s.close()


def flags():
    wrong = [
        ["--port", "70000"], ["--port", "x"], ["--mamba-ssm-cache-dtype", "bfloat16"], ["--mamba-cache-mode", "some"], ["--kv-cache-dtype", "fp8"],
        ["--max-model-len", "1000000"], ["--max-model-len", "many"], ["--max-num-seqs", "0"], ["--cache-memory", "lots"], ["--tool-call-parser", "pythonic"],
        ["--reasoning-parser", "deepseek_r1"], ["--request-timeout", "0"], ["--chat-template", "nobody"], ["--engine", "reference"], ["--no-such-flag"],
        ["--template", "/dev/null"], ["/nowhere"], ["--cache-memory", "1KiB"], ["--max-body-bytes", "0"], ["--served-model-name", ""], ["--decode-slowdown", "0.5"],
    ]
    for arguments in wrong:
        run = subprocess.run([BINARY, "serve", "--port", "0", *arguments] if "--port" not in arguments else [BINARY, "serve", *arguments], capture_output=True, text=True, timeout=60, cwd=ROOT)
        assert run.returncode == 2 and run.stderr.strip() and "Fatal" not in run.stderr, (arguments, run.returncode, run.stderr)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run = subprocess.run([BINARY, "serve", "--port", str(taken.getsockname()[1])], capture_output=True, text=True, timeout=60, cwd=ROOT)
        assert run.returncode == 1 and "error" in run.stderr, (run.returncode, run.stderr)
    return f"{len(wrong) + 1} mistakes"


def waiting_requests_are_refused_at_the_end():
    with server("--max-num-seqs", "1") as client:
        running = open_stream(client, {**LONG, "max_tokens": 300})
        waiting = [open_stream(client, LONG, receive=False) for _ in range(2)]
        end = time.time() + 5
        while client.metric("vllm:num_requests_waiting") < 2 and time.time() < end:
            time.sleep(0.05)
        client.process.send_signal(signal.SIGTERM)
        for s in waiting:
            answer = s.recv(4096)
            assert b" 503 " in answer.split(b"\r\n")[0] and b"shutting_down" in answer, answer[:200]
        assert b"data: [DONE]" in read_to_end(running)
        assert client.process.wait(20) == 0


def a_silent_stream_is_kept_alive():
    with server("--max-num-seqs", "1") as client:
        running = open_stream(client, {**LONG, "max_tokens": 8000})
        s = open_stream(client, {"prompt": "x", "max_tokens": 2}, receive=False)
        s.settimeout(15)
        answer = s.recv(4096)
        while b": keep-alive\n\n" not in answer:
            answer += s.recv(4096)
        assert answer.startswith(b"HTTP/1.1 200")
        running.close()
        assert b"data: [DONE]" in read_to_end(s)


def snapshots_outlive_a_restart():
    import tempfile

    body = {"messages": [{"role": "system", "content": "You keep a lighthouse. " * 40}, *SUM], "temperature": 0, "logprobs": True}
    with tempfile.TemporaryDirectory() as folder:
        answers = []
        for _ in range(2):
            with server("--state-dir", folder) as client:
                answers.append(client.post("/v1/chat/completions", body))
        hits = [a["usage"]["prompt_tokens_details"]["cached_tokens"] for a in answers]
        assert hits[0] == 0 and hits[1] > 100, hits
        assert answers[0]["choices"] == answers[1]["choices"]
    return f"{hits[1]} of {answers[1]['usage']['prompt_tokens']} tokens"


def the_same_bits():
    """Alone, in a batch, from the cache, with few threads: equal tokens and log probabilities."""
    text = "The harbour was quiet in the morning and the boats lay side by side along the wall. " * 12
    answers = {}
    for arguments in (["--threads", "1"], ["--threads", "2"], ["--no-enable-prefix-caching"], ["--max-num-seqs", "2", "--max-num-batched-tokens", "48"]):
        with server(*arguments) as client:
            ids = client.post("/tokenize", {"prompt": text})["tokens"]

            def one(length):
                body = {"prompt": ids[:length], "max_tokens": 6, "temperature": 1, "seed": length, "logprobs": 3}
                return json.dumps(client.post("/v1/completions", body)["choices"])

            lengths = [*range(60, 70), *range(124, 134), 190]
            with concurrent.futures.ThreadPoolExecutor(12) as pool:
                for length, answer in zip(lengths * 2, pool.map(one, lengths * 2)):
                    assert answers.setdefault(length, answer) == answer, (arguments, length)
    return f"{len(answers)} prompts, 8 times each"


def attempt(check, *arguments):
    name = check.__name__.replace("_", " ")
    try:
        note = check(*arguments)
        print(f"ok      {name}{f' ({note})' if note else ''}", flush=True)
        return 0
    except Exception as error:
        print(f"FAILED  {name}: {type(error).__name__}: {str(error)[:600]}", flush=True)
        return 1


def main():
    failed = 0
    with server("--max-num-seqs", "4", "--max-queue", "2") as client:
        failed += attempt(a_full_queue, client)
    with server("--request-timeout", "2") as client:
        failed += attempt(a_client_that_does_not_read, client)
    with server() as client:
        for check in (usage_is_what_metrics_count, departures, a_flood, metrics_are_prometheus):
            failed += attempt(check, client)
    for check in (sigterm_under_load, sigterm_that_takes_too_long, a_second_signal, waiting_requests_are_refused_at_the_end, a_silent_stream_is_kept_alive, snapshots_outlive_a_restart, the_same_bits, flags):
        failed += attempt(check)
    return failed


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
