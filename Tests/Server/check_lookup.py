"""Guessing by look-up changes no bit: answers of the server and of `duality generate`, with and without.

    python check_lookup.py [N] [N OF THE COMMAND]

N prompts (200), greedy and drawn, with penalties and under JSON grammars, each with `serve` and with `serve --lookup`; the first of
them (N / 10) also with `duality generate` and `duality generate --lookup`, whose tokens have to be those of the server.
"""

import concurrent.futures
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from client import BINARY, ROOT, server

PHRASES = ("The old lighthouse stood at the end of the pier. ", "Pip the fox ran over the hill and", "one two three ", '{"name": "Ann", "age": 7}, ', "She said: I have seen the sea. ",
           "Copy this line again: ", "def area(width, height):\n    return width * height\n", "It was a cold evening in November, and ", "The cat sat on the mat. ")
SCHEMA = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 8}, "colour": {"enum": ["red", "green", "blue"]}, "ages": {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 99}, "minItems": 2, "maxItems": 5}}, "required": ["name", "colour", "ages"]}
WAYS = ({"temperature": 0}, {"temperature": 0.8, "top_p": 0.95}, {"temperature": 0, "repetition_penalty": 1.15, "frequency_penalty": 0.2}, {"temperature": 1, "presence_penalty": 0.5, "top_k": 50},
        {"temperature": 0, "schema": True}, {"temperature": 1.3, "schema": True})


def jobs(count):
    rng = random.Random(3)
    result = []
    for index in range(count):
        parts = [rng.choice(PHRASES) * rng.randrange(1, 4) for _ in range(rng.randrange(1, 5))]
        text = "".join(parts) + rng.choice(("", parts[0][: rng.randrange(1, len(parts[0]))]))
        result.append((text, rng.choice((12, 24, 48, 120)), index, WAYS[index % len(WAYS)]))
    return result


def body(job):
    text, limit, seed, way = job
    way = dict(way)
    form = {"structured_outputs": {"json": SCHEMA}} if way.pop("schema", False) else {}
    return {"prompt": text, "max_tokens": limit, "seed": seed, "logprobs": 2, "return_token_ids": True, **form, **way}


def served(client, work, workers):
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda job: client.post("/v1/completions", body(job))["choices"][0], work))


def generated(job, folder, *more):
    text, limit, seed, way = job
    arguments = [BINARY, "generate", text, "--json", "--max-tokens", str(limit), "--seed", str(seed), *more]
    for name, value in way.items():
        arguments += ["--json-schema", str(folder / "schema.json")] if name == "schema" else ["--" + name.replace("_", "-"), str(value)]
    run = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    start, work, notes = time.time(), jobs(count), []
    with server("--no-enable-prefix-caching") as client:
        plain = served(client, work, 6)
    for workers in (1, 5):
        with server("--lookup") as client:
            guessed = served(client, work, workers)
            right, all_of_them = (client.metric(f"vllm:spec_decode_num_{name}_tokens_total") for name in ("accepted", "draft"))
            steps = client.metric("duality:step_rows_count")
        differing = [(job, a, b) for job, a, b in zip(work, plain, guessed) if a != b]
        assert not differing, f"{len(differing)} answers differ: {str(differing[0])[:1000]}"
        assert right > 0
        notes.append(f"{right:.0f} of {all_of_them:.0f} guesses right in {steps:.0f} steps, {workers} at a time")
    some = int(sys.argv[2]) if len(sys.argv) > 2 else count // 10
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "schema.json").write_text(json.dumps(SCHEMA))

        def both(pair):
            job, answer = pair
            one, other = generated(job, folder), generated(job, folder, "--lookup")
            assert one["tokens"] == other["tokens"] and one["text"] == other["text"] and one["finish_reason"] == other["finish_reason"], (job, one, other)
            # An end token is counted by the server and not part of the command's text.
            tokens = answer["token_ids"][: len(one["tokens"])]
            assert tokens == one["tokens"] and len(answer["token_ids"]) - len(tokens) in (0, 1), (job, one, answer)

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(both, list(zip(work, plain))[:some]))
    print(f"ok      look-up changes no bit ({count} prompts; {'; '.join(notes)}; {some} by the command; {time.time() - start:.0f} s)")


if __name__ == "__main__":
    main()
