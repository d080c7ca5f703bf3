"""Equal answers, down to the last bit of every log probability, whatever they were computed beside and begun from.

    python check_bits.py [N] [SEED]

About N answers: each prompt alone and uncached on one thread, then in batches of 64, cached, streamed, with one to three threads,
evicted, preempted, in small pieces, guessed at, and behind a restart that keeps snapshots.
"""

import concurrent.futures
import json
import random
import sys
import tempfile
import threading
import time

from client import SUM, assembled, server

TEXTS = (
    "The harbour was quiet in the morning and the boats lay side by side along the wall. ", "one two three four one two three five one two ",
    "Once upon a time there was a little fox named Pip who lived by the sea. ", '{"name": "Pip", "age": 3}, {"name": "Ann", "age": 4}, ')
SCHEMA = {"type": "object", "properties": {"word": {"enum": ["oak", "elm", "ash"]}, "n": {"type": "integer", "minimum": 0, "maximum": 500}}, "required": ["word", "n"]}
PASSES = 12


def settings(rng, seed):
    """How an answer is drawn: greedy and not, with penalties and without."""
    body = rng.choice(({"temperature": 0}, {"temperature": 1}, {"temperature": 0.7, "top_p": 0.9}, {"temperature": 0, "frequency_penalty": 0.4},
                       {"temperature": 0.9, "repetition_penalty": 1.15, "top_k": 40}, {"temperature": 1.2, "min_p": 0.05, "presence_penalty": 0.6}))
    return {**body, "seed": seed}


def requests(client, count, rng):
    """Prompts that begin alike and end at every length, most of them around the ends of chunks and pages; and conversations."""
    bases = [client.post("/tokenize", {"prompt": text * 30})["tokens"] for text in TEXTS]
    lengths = [*range(55, 75), *range(118, 140), *range(180, 204, 3), *range(250, 262, 2), *range(1, 40, 7)]
    result = []
    for seed in range(count):
        if seed % 9 == 8:
            system = {"role": "system", "content": TEXTS[seed % 4] * (3 + seed % 5)}
            result.append(("/v1/chat/completions", {"messages": [system, *SUM], "max_tokens": 6, "logprobs": True, "top_logprobs": 2, **settings(rng, seed)}))
            continue
        body = {"prompt": rng.choice(bases)[: rng.choice(lengths)], "max_tokens": rng.choice((3, 6, 6, 40)), "logprobs": 2, **settings(rng, seed)}
        if seed % 11 == 0:
            body.update(structured_outputs={"json": SCHEMA}, max_tokens=60)
        if seed % 13 == 0:
            body["n"] = 3
        result.append(("/v1/completions", body))
    return result


def answer(client, path, body, streamed):
    if not streamed:
        choices = client.post(path, body)["choices"]
        parts = [(c.get("text", c.get("message", {}).get("content")), c["logprobs"], c["finish_reason"]) for c in choices]
        return json.dumps(parts, sort_keys=True)
    events = client.events(path, body)
    choices = []
    for index in range(body.get("n", 1)):
        if "messages" in body:
            message, _, entries, end = assembled(events, index)
            choices.append((message["content"], {"content": entries, "refusal": None}, end))
            continue
        parts = [c for e in events for c in e["choices"] if c["index"] == index]
        scores = {name: [x for c in parts if c["logprobs"] for x in c["logprobs"][name]] for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset")}
        choices.append(("".join(c["text"] for c in parts), scores, parts[-1]["finish_reason"]))
    return json.dumps(choices, sort_keys=True)


class Comparison:
    def __init__(self):
        self.expected, self.answers, self.differing = {}, 0, []
        self.lock = threading.Lock()

    def run(self, client, jobs, name, workers=64, streamed=False):
        def one(job):
            path, body = job
            found = answer(client, path, body, streamed)
            with self.lock:
                self.answers += 1
                if self.expected.setdefault(json.dumps(job), found) != found:
                    self.differing.append(f"{name}: {json.dumps(body)[:200]}: {found[:300]} instead of {self.expected[json.dumps(job)][:300]}")

        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            for _ in pool.map(one, jobs):
                pass


# Together they outgrow the memory that each began with.
GROWING = [
    ("/v1/completions", {"prompt": f"{who} went to the harbour", "max_tokens": 370, "ignore_eos": True, "temperature": 1, "seed": 5, "logprobs": 1})
    for who in ("Pip", "Mira", "Tom", "Lena", "Otto")
]


def compare(count, seed):
    rng, comparison, notes = random.Random(seed), Comparison(), []
    queue = ["--max-queue", "1000"]
    with server("--threads", "1", "--no-enable-prefix-caching", *queue) as client:
        jobs = requests(client, max(count // PASSES, 20), rng)
        comparison.run(client, jobs, "alone", workers=1)
        comparison.run(client, GROWING, "alone", workers=1)

    def shuffled():
        return rng.sample(jobs, len(jobs))

    with server("--threads", "2", *queue) as client:
        comparison.run(client, shuffled(), "in batches of 64")
        comparison.run(client, shuffled(), "cached")
        comparison.run(client, shuffled(), "streamed", streamed=True)
        hits = client.metric("vllm:prefix_cache_hits_total")
        assert hits > 0, "nothing came from the cache"
        notes.append(f"{hits:.0f} tokens from the cache")
    with server("--threads", "3", *queue) as client:
        comparison.run(client, shuffled(), "with three threads")
        comparison.run(client, shuffled(), "with three threads, cached", workers=7)
    with server("--max-model-len", "400", "--cache-memory", "9MiB", *queue) as client:
        comparison.run(client, shuffled(), "evicted and preempted")
        comparison.run(client, shuffled(), "evicted and preempted again")
        comparison.run(client, GROWING, "grown together")
        preempted, evicted = client.metric("vllm:num_preemptions_total"), client.metric("duality:snapshot_evictions_total")
        assert preempted > 0 and evicted > 0, (preempted, evicted)
        notes.append(f"{preempted:.0f} preemptions, {evicted:.0f} evictions")
    with server("--lookup", *queue) as client:
        comparison.run(client, shuffled(), "guessed at", workers=3)
        accepted, guessed = client.metric("vllm:spec_decode_num_accepted_tokens_total"), client.metric("vllm:spec_decode_num_draft_tokens_total")
        assert accepted > 0, f"none of {guessed:.0f} guesses was right"
        notes.append(f"{accepted:.0f} of {guessed:.0f} guesses right")
    with server("--max-num-batched-tokens", "37", "--max-num-seqs", "5", *queue) as client:
        comparison.run(client, shuffled(), "in small pieces")
    with tempfile.TemporaryDirectory() as folder:
        hits = []
        for name in ("before a restart", "behind a restart"):
            with server("--state-dir", folder, *queue) as client:
                comparison.run(client, shuffled(), name, workers=16)
                hits.append(client.metric("vllm:prefix_cache_hits_total"))
        # The requests share beginnings among themselves too: what was kept adds to that.
        assert hits[1] > hits[0], f"{hits[1]:.0f} tokens from the cache behind the restart, {hits[0]:.0f} before it"
        notes.append(f"{hits[1]:.0f} tokens from the cache behind the restart, {hits[0]:.0f} before it")
    return comparison, notes


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    start = time.time()
    comparison, notes = compare(count, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    verdict = "FAILED " if comparison.differing else "ok     "
    print(f"{verdict} equal bits ({comparison.answers} answers to {len(comparison.expected)} requests, {len(comparison.differing)} differ, {time.time() - start:.0f} s; {'; '.join(notes)})")
    for line in comparison.differing[:10]:
        print("   ", line)
    return 1 if comparison.differing else 0


if __name__ == "__main__":
    sys.exit(main())
