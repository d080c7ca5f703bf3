"""What the checks of the server share: a plain client, and a server that is started for a check."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("DUALITY", str(ROOT / ".build-server/release/duality"))
SUM = [{"role": "user", "content": "What is 17 plus 25?"}]


class Client:
    """Requests to one server, each on a connection of its own."""

    def __init__(self, url, key=None):
        self.url, self.key = url.rstrip("/"), key
        self.place = urllib.parse.urlsplit(url)

    def connect(self, timeout=120):
        return http.client.HTTPConnection(self.place.hostname, self.place.port, timeout=timeout)

    def socket(self, timeout=30):
        return socket.create_connection((self.place.hostname, self.place.port), timeout)

    def headers(self, has_body, more=None):
        headers = {"Content-Type": "application/json"} if has_body else {}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        return {**headers, **(more or {})}

    def request(self, method, path, body=None, raw=None, headers=None, timeout=120):
        connection = self.connect(timeout)
        data = raw if raw is not None else json.dumps(body).encode() if body is not None else None
        connection.request(method, path, data, self.headers(data is not None, headers))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.headers, content

    def post(self, path, body, status=200):
        got, _, content = self.request("POST", path, body)
        assert got == status, f"{path}: {got} instead of {status}: {content[:300]!r}"
        return json.loads(content)

    def chat(self, messages, **body):
        messages = messages if isinstance(messages, list) else [{"role": "user", "content": messages}]
        return self.post("/v1/chat/completions", {"messages": messages, "temperature": 0, **body})

    def events(self, path, body):
        status, headers, content = self.request("POST", path, {"temperature": 0, **body, "stream": True})
        assert status == 200 and headers["content-type"].startswith("text/event-stream"), (status, content[:200])
        blocks = [b for b in content.decode("utf-8").split("\n\n") if b and not b.startswith(":")]
        assert blocks[-1] == "data: [DONE]", blocks[-1:]
        return [json.loads(b.removeprefix("data: ")) for b in blocks[:-1]]

    def metric(self, name):
        lines = self.request("GET", "/metrics")[2].decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)

    def wait_until_idle(self, seconds=10):
        end = time.time() + seconds
        while self.metric("vllm:num_requests_running") or self.metric("vllm:num_requests_waiting"):
            assert time.time() < end, "requests are still running"
            time.sleep(0.05)


def assembled(events, index=0):
    """A chat's message, log probabilities and end, put together from its stream."""
    message, entries, end, calls = {"content": "", "reasoning_content": ""}, [], None, []
    for event in events:
        for choice in event["choices"]:
            if choice["index"] != index:
                continue
            delta = choice["delta"]
            for name in ("content", "reasoning_content"):
                message[name] += delta.get(name) or ""
            for call in delta.get("tool_calls") or []:
                if call["index"] == len(calls):
                    calls.append({"id": call["id"], "name": call["function"]["name"], "arguments": ""})
                calls[call["index"]]["arguments"] += call["function"]["arguments"]
            entries += (choice.get("logprobs") or {}).get("content") or []
            end = choice["finish_reason"] or end
    return message, calls, entries, end


@contextlib.contextmanager
def server(*arguments, environment=None, stop=signal.SIGTERM):
    """A server on a free port, its client, and its log when it has ended (`log()`)."""
    process = subprocess.Popen(
        [BINARY, "serve", *arguments, *([] if "--port" in arguments else ["--port", "0"])], stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, **(environment or {})})
    lines = []
    while True:
        line = process.stderr.readline()
        if not line:
            raise SystemExit(f"the server did not start:\n{''.join(lines)}")
        lines.append(line)
        found = re.match(r"Serving (\S+) at (http://\S+)", line)
        if found:
            break
    import threading

    reader = threading.Thread(target=lambda: lines.extend(process.stderr), daemon=True)
    reader.start()
    client = Client(found[2])
    client.name, client.process, client.log = found[1], process, lambda: "".join(lines)
    try:
        yield client
    finally:
        if process.poll() is None:
            process.send_signal(stop)
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
        reader.join(5)
