#!/usr/bin/env python3
"""What serving costs: streams beside each other, prefixes read again, long prompts between other people's tokens.

    make server && python3 Benchmarks/serving.py [--shape hqwen3-8b --layers 4] [--threads 2]
    python3 Benchmarks/serving.py --model Models/duality-tiny --tokens 64

Starts one server on a model of a real shape with random weights (`duality synthesize`; with fewer layers its ratios are those of the whole,
but for the head, which weighs more) and asks it over HTTP. Every figure is a ratio of two measurements of one run, medians of --repeats,
beside what is wanted of it. Wants a quiet machine. --json prints the figures.
"""
import argparse
import concurrent.futures
import http.client
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
os.environ.setdefault("DUALITY", str(ROOT / ".build-server/release/duality"))
sys.path.insert(0, str(ROOT / "Tests/Server"))
from client import BINARY, server  # noqa: E402


class Stream:
    """A streamed completion: when its tokens came, in seconds from sending."""

    def __init__(self, client, prompt, tokens, leave_after=None, **more):
        body = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True, "stream": True, "return_token_ids": True, **more}
        connection = http.client.HTTPConnection(client.place.hostname, client.place.port, timeout=1200)
        start = time.perf_counter()
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise SystemExit(f"{answer.status}: {answer.read()[:300]}")
        self.times, self.ids = [], []
        for line in answer:
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            for choice in event["choices"]:
                ids = choice.get("token_ids") or []
                self.times += [time.perf_counter() - start] * max(len(ids), 1 if choice["text"] else 0)
                self.ids += ids
            if leave_after is not None and len(self.times) >= leave_after:
                break
        connection.close()

    @property
    def first(self):
        return self.times[0]

    @property
    def gaps(self):
        return [b - a for a, b in zip(self.times, self.times[1:])]


class Bench:
    def __init__(self, client, options):
        self.client, self.options, self.random = client, options, random.Random(11)
        self.rows = []
        self.vocabulary = options.vocabulary

    def prompt(self, count):
        """Token ids that no other prompt begins with."""
        return [self.random.randrange(10, self.vocabulary) for _ in range(count)]

    def add(self, what, figure, wanted, is_least, note):
        met = figure >= wanted if is_least else figure <= wanted
        self.rows.append({"what": what, "figure": figure, "wanted": wanted, "is_least": is_least, "met": met, "note": note})
        sign = ">=" if is_least else "<="
        print(f"{what:78} {figure:8.3f}  ({sign} {wanted:g}{'' if met else ', FALLS SHORT'})  {note}", flush=True)

    def median(self, measure):
        return statistics.median(measure() for _ in range(self.options.repeats))

    def together(self, jobs):
        with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
            return [future.result() for future in [pool.submit(job) for job in jobs]]

    def rate(self, count):
        """Tokens a second of `count` streams, from the last one's first token to the first one's last."""

        def measure():
            # Long enough that the first still runs when the last has its prompt read.
            tokens = self.options.tokens * (1 + count // 8)
            prompts = [self.prompt(16) for _ in range(count)]
            streams = self.together([lambda p=p: Stream(self.client, p, tokens) for p in prompts])
            start, end = max(s.first for s in streams), min(s.times[-1] for s in streams)
            return sum(sum(start < t <= end for t in s.times) for s in streams) / (end - start)

        return self.median(measure)

    def streams(self):
        one = self.rate(1)
        wanted = {8: 3 if self.options.is_tiny else 6, 32: 6 if self.options.is_tiny else 14}
        for count in (8, 32):
            many = self.rate(count)
            self.add(f"{count} streams against 1, tokens/s", many / one, wanted[count], True, f"{many:.1f} against {one:.2f}")
        found = subprocess.run(
            [BINARY, "bench", "--model", self.options.model, "--precision", self.options.precision, "--threads", str(self.options.threads), "--prompt", "0", "--generate",
             str(self.options.tokens), "--repeats", str(self.options.repeats), "--json", *self.options.resident],
            capture_output=True, text=True, check=True)
        alone = json.loads(found.stdout)["tests"][0]["tokens_per_second"]
        self.add("a stream over HTTP against `duality bench`", one / alone, 0.85 if self.options.is_tiny else 0.97, True, f"{one:.2f} against {alone:.2f} tokens/s")

    def prefixes(self):
        length = self.options.prefix
        cold, again, turn = [], [], []
        for _ in range(self.options.repeats):
            prompt = self.prompt(length)
            answer = Stream(self.client, prompt, 4)
            cold.append(answer.first)
            again.append(Stream(self.client, prompt, 4).first)
            turn.append(Stream(self.client, prompt + answer.ids + self.prompt(30), 4).first)
        cold, again, turn = (statistics.median(values) for values in (cold, again, turn))
        self.add(f"time to first token, {length} tokens of a chat and 30 new, against cold", turn / cold, 0.05, False, f"{1e3 * turn:.0f} of {1e3 * cold:.0f} ms")
        self.add("the same prompt again, against cold", again / cold, 0.03, False, f"{1e3 * again:.0f} of {1e3 * cold:.0f} ms")
        shared = self.prompt(length)
        before = self.computed()
        self.together([lambda: Stream(self.client, shared + self.prompt(4), 2) for _ in range(8)])
        read = self.computed() - before
        self.add(f"8 requests with one prefix of {length} at once: tokens read, against one request", read / (length + 4), 1.3, False, f"{read:.0f} tokens")

    def computed(self):
        """Prompt tokens that were computed, those from the cache left out."""
        return self.client.metric("vllm:prompt_tokens_total") - self.client.metric("vllm:prefix_cache_hits_total")

    def long_prompts(self):
        long, longer = 2 * self.options.prefix, 4 * self.options.prefix
        alone = self.median(lambda: Stream(self.client, self.prompt(long), 1).first)
        prompts = [self.prompt(16) for _ in range(4)]
        quiet = [gap for s in self.together([lambda p=p: Stream(self.client, p, self.options.tokens) for p in prompts]) for gap in s.gaps[2:]]
        count = max(self.options.tokens, int(3 * alone / statistics.median(quiet)))
        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            running = [pool.submit(Stream, self.client, self.prompt(16), count) for _ in range(4)]
            time.sleep(8 * statistics.median(quiet))
            start = time.perf_counter()
            reading = pool.submit(Stream, self.client, self.prompt(long), 1).result().first
            streams = [future.result() for future in running]
        # Gaps that end while the prompt is read; streams began about then.
        begun = 8 * statistics.median(quiet)
        gaps = [b - a for s in streams for a, b in zip(s.times, s.times[1:]) if begun < b < begun + reading]
        worst = sorted(gaps)[int(0.95 * (len(gaps) - 1))]
        self.add(f"gaps of 4 streams while {long} tokens are read, p95 against p50 without", worst / statistics.median(quiet), 2.5, False, f"{1e3 * worst:.0f} against {1e3 * statistics.median(quiet):.0f} ms")
        self.add("reading them meanwhile, against alone", reading / alone, 1.5, False, f"{reading:.2f} against {alone:.2f} s")
        idle = self.median(lambda: Stream(self.client, self.prompt(20), 1).first)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            reading = pool.submit(Stream, self.client, self.prompt(longer), 1)
            time.sleep(alone / 2)
            short = Stream(self.client, self.prompt(20), 1).first
            reading.result()
        self.add(f"first token of 20 tokens while {longer} are read, against idle", short / idle, 3, False, f"{1e3 * short:.0f} against {1e3 * idle:.0f} ms, one step allowed besides")

    def leaving(self):
        self.client.wait_until_idle(60)
        before = self.client.metric("vllm:generation_tokens_total")
        left = Stream(self.client, self.prompt(16), 512, leave_after=8)
        self.client.wait_until_idle(60)
        extra = self.client.metric("vllm:generation_tokens_total") - before - len(left.times)
        self.add("tokens computed for a client that left after 8", extra, 2, False, "")

    def memory(self):
        peak = self.client.metric("process_resident_memory_bytes") / 2**30
        weights = sum(f.stat().st_size for f in pathlib.Path(self.options.model).glob("*.safetensors")) / 2**30
        print(f"resident memory {peak:.2f} GiB, files of weights {weights:.2f} GiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="hqwen3-8b")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--model", help="a model instead of a shape")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--tokens", type=int, default=32, help="tokens of a stream")
    parser.add_argument("--prefix", type=int, default=2048, help="tokens of a long conversation")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.is_tiny = options.model is not None and "tiny" in options.model
    with tempfile.TemporaryDirectory() as folder:
        if options.model is None:
            options.model = folder
            subprocess.run([BINARY, "synthesize", "--shape", options.shape, "--layers", str(options.layers), "--precision", options.precision, "--out", f"{folder}/m"], check=True, stdout=subprocess.DEVNULL)
            options.model = f"{folder}/m"
            # Random weights have no words: those of the embedded model do, for the ids that it has.
            shutil.copy(ROOT / "Models/duality-tiny/tokenizer.json", options.model)
        options.vocabulary = 4000
        options.resident = [] if options.is_tiny else ["--resident"]
        start = time.perf_counter()
        with server("--model", options.model, "--precision", options.precision, "--threads", str(options.threads), *options.resident) as client:
            print(f"ready after {time.perf_counter() - start:.2f} s; {options.threads} threads, {options.precision}, {options.shape if not options.is_tiny else options.model}, {options.layers} layers", flush=True)
            bench = Bench(client, options)
            first = bench.median(lambda: Stream(client, bench.prompt(8), 1).first)
            print(f"first token of 8 tokens, idle: {1e3 * first:.1f} ms", flush=True)
            for part in (bench.streams, bench.prefixes, bench.long_prompts, bench.leaving, bench.memory):
                part()
    if options.json:
        print(json.dumps(bench.rows, indent=1))


if __name__ == "__main__":
    main()
