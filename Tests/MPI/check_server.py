"""Requests to a server whose model is on several ranks: the answers of one process, also to many clients at once."""

import concurrent.futures
import http.client
import json
import os
import re
import signal
import subprocess
import time

from launch import DUALITY, PROMPT, Running, expect, mpirun, ranks_of

version = subprocess.run([DUALITY, "serve", "--model", "/nowhere"], capture_output=True, text=True).stderr
if "trait Server" in version:
    print("skip  needs a build with the trait Server")
    raise SystemExit(0)

SYSTEM = "You are a patient teller of stories about animals of the wood, and you never use hard words. " * 4


def requests():
    """Bodies with whole and streamed answers, a shared beginning, several choices, log probabilities and a schema."""
    for seed in range(3):
        yield "/v1/completions", {"prompt": PROMPT, "max_tokens": 24, "seed": seed, "temperature": 0.8, "logprobs": 3}
        yield "/v1/chat/completions", {
            "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": f"Tell me about fox {seed}."}],
            "max_tokens": 24, "seed": seed, "temperature": 0.7, "stream": seed == 1}
    yield "/v1/completions", {"prompt": [PROMPT, SYSTEM], "max_tokens": 16, "n": 2, "seed": 5, "temperature": 1}
    yield "/v1/chat/completions", {
        "messages": [{"role": "user", "content": "What is 17 plus 25?"}], "max_tokens": 40, "temperature": 0,
        "response_format": {"type": "json_schema", "json_schema": {
            "name": "sum", "schema": {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}}}}


def ask(port, path, body):
    """What an answer says: texts, reasons and log probabilities, of a stream put together."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    text = response.read().decode()
    if response.status != 200:
        return response.status, text
    if not body.get("stream"):
        answer = json.loads(text)
        return [[choice[key] for key in sorted(choice)] for choice in answer["choices"]]
    chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    deltas = [choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]]
    return "".join(deltas), [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]][-1]


def seconds_of(process):
    fields = open(f"/proc/{process}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Server(Running):
    def __init__(self, ranks, *more):
        launcher = mpirun(ranks) if ranks else []
        super().__init__([*launcher, DUALITY, "serve", "--port", "0", "--threads", "1", "--max-model-len", "2048", *more])

    def port(self):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            found = re.search(r"Serving .* at http://127\.0\.0\.1:(\d+)", self.text(self.err))
            if found:
                return int(found.group(1))
            time.sleep(0.05)
        expect(False, "the server starts", self.text(self.err))


with Server(0) as server:
    port = server.port()
    expected = [ask(port, path, body) for path, body in requests()]
expect(not any(isinstance(answer[0], int) for answer in expected), "one process answers", str(expected))

for ranks, more, what in [(2, [], "2 ranks"), (3, [], "3 ranks"), (2, ["--pipeline-parallel", "2"], "2 stages"),
                          (4, ["--tensor-parallel", "2", "--pipeline-parallel", "2"], "2 by 2 ranks")]:
    with Server(ranks, *more) as server:
        port = server.port()
        found = [ask(port, path, body) for path, body in requests()]
        expect(found == expected, f"{what}: the same answers one after another", f"{found}\n{expected}")
        with concurrent.futures.ThreadPoolExecutor(8) as clients:
            found = list(clients.map(lambda request: ask(port, *request), requests()))
        expect(found == expected, f"{what}: the same answers to all at once", f"{found}\n{expected}")
        processes = ranks_of(server.process.pid)
        before = seconds_of(processes[ranks - 1])
        time.sleep(5)
        used = (seconds_of(processes[ranks - 1]) - before) / 5
        expect(used <= 0.05, f"{what}: an idle one uses {100 * used:.1f} % of a core")
        found = ask(port, *next(iter(requests())))
        expect(found == expected[0], f"{what}: the same answer after a pause", str(found))
        if ranks == 2:
            os.kill(processes[1], signal.SIGKILL)
            out, err, status, seconds = server.wait(30)
            expect(status not in (0, None) and seconds <= 5, f"{what}, rank 1 killed: the server ended after {seconds:.1f} s with {status}", err)
        else:
            server.process.send_signal(signal.SIGTERM)
            out, err, status, seconds = server.wait(60)
            expect(status is not None and not ranks_of(server.process.pid), f"{what}, SIGTERM: all ended after {seconds:.1f} s with {status}", err)

with Server(2) as first:
    port = first.port()
    command = [*mpirun(2), DUALITY, "serve", "--port", str(port), "--threads", "1"]
    with Running(command) as second:
        out, err, status, seconds = second.wait(60)
        expect(status == 1 and "cannot be listened at" in err, f"a port in use: both ranks end with {status}", err)
