"""A server of the model on this machine, asked over HTTP as many clients would: tokens per second of streams, and the first token of a turn of a chat.

    serve_worker.py duality|llama-server|vllm PROGRAM MODEL THREADS REPEATS PRECISION STREAMS…      prints JSON, {"1 stream": [tokens/s], …}
    serve_worker.py duality|llama-server PROGRAM MODEL THREADS REPEATS PRECISION chat               prints {"turn 1": [s], …, "turn 5": [s]}

Prompts are token ids (16 of them before streams), answers of 64 tokens are greedy and go on over an end token. A rate is all tokens over the time from the
first request to the last answer. A chat begins with 1,792 tokens; a turn is what was read and answered before and 30 new tokens, and its time is that of a
request for one token.
"""
import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time

GENERATED, CHAT, ANSWER, MORE, TURNS = 64, 1792, 32, 30, 5
VOCABULARY = 50000


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def command(kind, program, model, threads, precision, port, streams):
    if kind == "duality":
        return [program, "serve", "--model", model, "--threads", threads, "--precision", precision, "--port", port, "--resident", "--max-model-len", 4096]
    if kind == "llama-server":
        # A place for each stream, of 4096 tokens for one and 512 for several: what is not used costs nothing.
        room = 4096 if streams == 1 else 512 * streams
        return [program, "-m", model, "-t", threads, "-tb", threads, "--port", port, "--host", "127.0.0.1", "-np", streams, "-c", room, "--load-mode", "none"]
    return [program, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--load-format", "dummy", "--skip-tokenizer-init", "--dtype", "bfloat16",
            "--max-model-len", 4096, "--max-num-seqs", max(streams, 8), "--port", port, "--host", "127.0.0.1"]


class Server:
    def __init__(self, kind, port):
        self.kind, self.port, self.random = kind, port, random.Random(5)

    def post(self, path, body, timeout=900):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status != 200:
            raise SystemExit(f"{self.kind}: {answer.status} {content[:500]}")
        return json.loads(content)

    def prompt(self, count):
        return [self.random.randrange(200, self.vocabulary) for _ in range(count)]

    def complete(self, prompt, tokens):
        """Seconds, and the tokens that came."""
        start = time.perf_counter()
        if self.kind == "llama-server":
            answer = self.post("/completion", {
                "prompt": prompt, "n_predict": tokens, "temperature": 0, "ignore_eos": True, "cache_prompt": True, "return_tokens": True})
            ids = answer["tokens"]
        else:
            answer = self.post("/v1/completions", {
                "prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True, "return_token_ids": True, **({"model": self.model} if self.model else {})})
            ids = answer["choices"][0]["token_ids"]
        if len(ids) != tokens:
            raise SystemExit(f"{self.kind} answered {len(ids)} tokens instead of {tokens}")
        return time.perf_counter() - start, ids

    def rate(self, streams):
        prompts = [self.prompt(16) for _ in range(streams)]
        start = time.perf_counter()
        with concurrent.futures.ThreadPoolExecutor(streams) as pool:
            list(pool.map(lambda prompt: self.complete(prompt, GENERATED), prompts))
        return streams * GENERATED / (time.perf_counter() - start)

    def chat(self):
        conversation, times = self.prompt(CHAT), []
        for _ in range(TURNS):
            times.append(self.complete(conversation, 1)[0])
            conversation += self.complete(conversation, ANSWER)[1] + self.prompt(MORE)
        return times


@contextlib.contextmanager
def running(kind, program, model, threads, precision, streams):
    with tempfile.TemporaryFile() as log:
        port = free_port()
        environment = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_CPU_OMP_THREADS_BIND": f"0-{threads - 1}", "VLLM_LOGGING_LEVEL": "WARNING"}
        if kind == "vllm":
            libraries = [*filter(None, [os.environ.get("PEERS_PRELOAD")]), *pathlib.Path(program).parent.parent.glob("lib/libiomp5.so")]
            environment |= {"OMP_NUM_THREADS": str(threads), "LD_PRELOAD": ":".join(map(str, libraries))}
        process = subprocess.Popen(
            list(map(str, command(kind, program, model, threads, precision, port, streams))), stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            server = Server(kind, port)
            end = time.time() + 600
            while True:
                try:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                    connection.request("GET", "/health")
                    if connection.getresponse().status == 200:
                        break
                except OSError:
                    pass
                if process.poll() is not None or time.time() > end:
                    log.seek(0)
                    raise SystemExit(f"{kind} did not start: {log.read()[-3000:].decode(errors='replace')}")
                time.sleep(0.2)
            server.model = str(model) if kind == "vllm" else None
            server.vocabulary = VOCABULARY if kind != "duality" or "tiny" not in str(model) else 4000
            yield server
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def main():
    kind, program, model, threads, repeats, precision, *tests = sys.argv[1:]
    threads, repeats, found = int(threads), int(repeats), {}
    if tests == ["chat"]:
        with running(kind, program, model, threads, precision, 1) as server:
            server.rate(1)
            for _ in range(repeats):
                for turn, seconds in enumerate(server.chat()):
                    found.setdefault(f"turn {turn + 1}", []).append(seconds)
    else:
        counts = list(map(int, tests))
        with running(kind, program, model, threads, precision, max(counts)) as server:
            server.rate(max(counts))
            for count in counts:
                found[f"{count} streams"] = [server.rate(count) for _ in range(repeats)]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
