"""Two replicas behind HAProxy, with the configuration of docs/serve.md: a conversation stays where its snapshots are, an answer under
way outlives the end of its replica's service, and the other replica goes on.

    python3 check_replicas.py [a configuration instead of that of docs/serve.md]
"""

import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from client import ROOT, Client, server

SYSTEM = "You are a patient teller of stories about the animals of the wood, and you never use hard words. " * 6
ANIMALS = ["fox", "hare", "owl", "mole", "badger", "stork", "otter", "newt", "adder", "wren", "toad", "lynx"]


def configuration():
    if len(sys.argv) > 1:
        return open(sys.argv[1]).read()
    text = (ROOT / "docs/serve.md").read_text()
    return re.search(r"```haproxy\n(.*?)```", text, re.DOTALL)[1]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def proxy(replicas, folder):
    """HAProxy in front of replicas; its address."""
    port, text = free_port(), configuration()
    text, binds = re.subn(r"bind :\d+", f"bind 127.0.0.1:{port}", text)
    places = iter(replicas)
    text, servers = re.subn(r"(?m)^( +server \w+) \S+", lambda m: f"{m[1]} {next(places).place.netloc}", text)
    assert (binds, servers) == (1, len(replicas)), text
    path = f"{folder}/haproxy.cfg"
    with open(path, "w") as file:
        file.write(text)
    checked = subprocess.run(["haproxy", "-c", "-f", path], capture_output=True, text=True)
    assert checked.returncode == 0 and "WARNING" not in checked.stderr, checked.stderr
    process = subprocess.Popen(["haproxy", "-db", "-f", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        client = Client(f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError):
                if client.request("GET", "/health", timeout=2)[0] == 200:
                    break
            assert time.monotonic() < deadline, "HAProxy does not answer"
            time.sleep(0.1)
        yield client
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


class Conversation:
    """Turns of one conversation, and what is known of each: the replica, tokens of its prompt and those from a snapshot."""

    def __init__(self, animal, system=True, parts=False, headers=None):
        self.animal, self.parts, self.headers, self.turns = animal, parts, headers, []
        self.messages = [{"role": "system", "content": SYSTEM}] if system else []

    def ask(self, proxy, replicas, stream=False):
        text = f"Tell me about the {self.animal}, part {len(self.turns) + 1}."
        content = [{"type": "text", "text": text}] if self.parts else text
        self.messages.append({"role": "user", "content": content})
        before = [served(replica) for replica in replicas]
        body = {"messages": self.messages, "max_tokens": 12, "temperature": 0}
        if stream:
            body.update(stream=True, stream_options={"include_usage": True})
        status, _, answer = proxy.request("POST", "/v1/chat/completions", body, headers=self.headers)
        assert status == 200, (status, answer[:300])
        if stream:
            events = [json.loads(line[6:]) for line in answer.decode().splitlines() if line.startswith("data: {")]
            reply = "".join(choice["delta"].get("content") or "" for event in events for choice in event["choices"])
            usage = events[-1]["usage"]
        else:
            reply, usage = json.loads(answer)["choices"][0]["message"]["content"], json.loads(answer)["usage"]
        place, deadline = [], time.monotonic() + 5
        while not place and time.monotonic() < deadline:  # counted a little after its end
            after = [served(replica) for replica in replicas]
            place = [i for i, (a, b) in enumerate(zip(before, after)) if b > a]
        assert len(place) == 1, (before, after)
        self.messages.append({"role": "assistant", "content": reply})
        self.turns.append((place[0], usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]))
        return place[0]

    @property
    def places(self):
        return {turn[0] for turn in self.turns}


def served(replica):
    """Conversations' requests that a replica has answered; nothing where it is gone."""
    try:
        lines = replica.request("GET", "/metrics", timeout=5)[2].decode().splitlines()
    except OSError:
        return 0
    wanted = [line for line in lines if line.startswith("http_requests_total{") and "chat/completions" in line and 'status="2' in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in wanted)


def one_replica_each(proxy, replicas, what, conversations, stream=False):
    """Three turns of each, in turn, so that a hit is no matter of what came last."""
    for _ in range(3):
        for conversation in conversations:
            conversation.ask(proxy, replicas, stream)
    for conversation in conversations:
        assert len(conversation.places) == 1, f"{what}: the {conversation.animal} moved: {conversation.turns}"
        for (_, before, _), (_, prompt, cached) in zip(conversation.turns, conversation.turns[1:]):
            assert cached >= before - 16 and cached < prompt, f"{what}: the {conversation.animal} was read again: {conversation.turns}"
    counts = [sum(conversation.places == {i} for conversation in conversations) for i in range(len(replicas))]
    print(f"ok    {what}: conversations stay, {counts[0]} and {counts[1]} of them; "
          f"{sum(t[2] for c in conversations for t in c.turns)} of {sum(t[1] for c in conversations for t in c.turns)} tokens from snapshots", flush=True)
    return counts


def slow_stream(proxy, messages, first):
    """A long answer through the proxy; `first` is set when it has begun."""
    connection = proxy.connect(timeout=120)
    body = {"messages": messages, "max_tokens": 1500, "temperature": 1, "seed": 3, "stream": True, "ignore_eos": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), proxy.headers(True))
    answer = connection.getresponse()
    assert answer.status == 200, answer.status
    times, text = [], b""
    while line := answer.readline():
        times.append(time.monotonic())
        text += line
        first.set()
    return times, text.decode()


def restarted(replica):
    """A server at the address of one that has ended."""
    return server("--host", "127.0.0.1", "--max-model-len", "4096", "--threads", "1", "--port", str(replica.place.port))


def main():
    if shutil.which("haproxy") is None:
        print("skip  needs haproxy")
        return
    flags = ["--max-model-len", "4096", "--threads", "1"]
    with tempfile.TemporaryDirectory() as folder, server(*flags) as one, server(*flags) as two:
        replicas = [one, two]
        with proxy(replicas, folder) as front:
            time.sleep(2.5)  # both have been checked
            told = [Conversation(animal) for animal in ANIMALS]
            counts = one_replica_each(front, replicas, "one system message", told)
            assert min(counts) >= 2, f"nearly all conversations are on one replica: {counts}"
            for what, options in [("no system message", {"system": False}), ("content in parts", {"parts": True}), ("parts alone", {"system": False, "parts": True})]:
                counts = one_replica_each(front, replicas, what, [Conversation(a, **options) for a in ANIMALS], stream="parts" not in options)
                assert min(counts) >= 1, f"{what}: all conversations are on one replica: {counts}"
            named = [Conversation("fox", headers={"X-Conversation": str(i)}) for i in range(8)]
            counts = one_replica_each(front, replicas, "the header X-Conversation", named)
            assert min(counts) >= 1, f"the header does not tell conversations apart: {counts}"

            # The end of one replica's service, with an answer under way on it.
            leaving, staying = told[0].turns[0][0], 1 - told[0].turns[0][0]
            first, done = threading.Event(), None
            with concurrent.futures.ThreadPoolExecutor(9) as pool:
                done = pool.submit(slow_stream, front, told[0].messages[:2], first)
                assert first.wait(60), "the answer has not begun"
                replicas[leaving].process.send_signal(signal.SIGTERM)
                began = time.monotonic()
                moved = [c for c in told if c.places == {leaving}]
                kept = [c for c in told if c.places == {staying}]
                for conversation in moved + kept:
                    assert conversation.ask(front, [replicas[staying]]) == 0
                seconds = time.monotonic() - began
                times, text = done.result(120)
            assert "data: [DONE]" in text and '"finish_reason":"length"' in text and '"error"' not in text, text[-300:]
            gaps = max(b - a for a, b in zip(times, times[1:]))
            spread = times[-1] - times[0]
            assert spread > 0.5 and gaps < spread, f"the stream came at once: {spread:.2f} s"
            assert times[-1] > began, "the answer was over before the signal"
            assert replicas[leaving].process.wait(40) == 0
            print(f"ok    SIGTERM: {len(moved) + len(kept)} conversations went on within {seconds:.1f} s, "
                  f"the answer under way came to its end, {times[-1] - began:.1f} s after the signal", flush=True)
            time.sleep(1)
            for conversation in moved + kept:
                conversation.ask(front, [replicas[staying]])
                _, prompt, cached = conversation.turns[-1]
                assert cached >= conversation.turns[-2][1] - 16, f"the {conversation.animal} was read again: {conversation.turns}"
            print("ok    and each is read once on the replica that is left", flush=True)

            with restarted(replicas[leaving]) as back:
                replicas[leaving] = back
                time.sleep(5)
                places = [(conversation, conversation.ask(front, replicas)) for conversation in moved + kept]
                wrong = [c.animal for c, place in places if place != c.turns[0][0]]
                assert not wrong, f"not back where they were: {wrong}"
            print("ok    a replica that is back has its conversations again", flush=True)


main()
