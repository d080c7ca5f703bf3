"""A server that guesses by look-up gives the answers of one that does not, down to the last bit of every log probability.

    python check_lookup.py [PROMPTS] [SEED]

Prompts of held-out text, of tables and of conversations, in half of which the beginning comes a second time; each greedily, drawn, drawn with penalties, and
under a grammar (JSON of any form, a schema, a choice). Three run at once, so that guesses share steps with other sequences: many would leave no room for them.
"""

import concurrent.futures
import json
import random
import sys

from client import ROOT, server

SCHEMA = {
    "type": "object", "required": ["name", "kind", "ages"], "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "maxLength": 12}, "kind": {"enum": ["little fox", "little bear"]},
        "ages": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 99}, "maxItems": 3}}}
KINDS = {
    "greedy": lambda rng: {"temperature": 0},
    "drawn": lambda rng: {"temperature": rng.choice((0.5, 0.9, 1.2)), "top_p": rng.choice((0.9, 1)), "top_k": rng.choice((-1, 40)), "min_p": rng.choice((0, 0.05))},
    "penalties": lambda rng: {
        "temperature": rng.choice((0, 0.8)), "repetition_penalty": rng.choice((1, 1.2)), "presence_penalty": rng.choice((0.3, -0.2)),
        "frequency_penalty": rng.choice((0, 0.4))},
    "grammar": lambda rng: {
        "temperature": rng.choice((0, 0.9)), "structured_outputs": rng.choice(({"json": SCHEMA}, {"json_object": True}, {"choice": ["a little fox", "a little bear"]}))},
}


def prompts(count, rng):
    text = (ROOT / "Models/duality-tiny/data/heldout.txt").read_text()
    for index in range(count):
        begin, length = rng.randrange(len(text) - 700), rng.randrange(40, 600)
        prompt = text[begin:begin + length]
        if index % 5 == 4:
            prompt = "".join(f'{{"name": "{rng.choice(("Pip", "Ann", "Tom"))}", "age": {rng.randrange(99)}}}\n' for _ in range(rng.randrange(2, 12)))
        if index % 2:
            prompt += "\n" + prompt[: rng.randrange(20, 200)]
        yield prompt


def answers(client, jobs):
    def one(job):
        choice = client.post("/v1/completions", job)["choices"][0]
        return json.dumps([choice["text"], choice["logprobs"], choice["finish_reason"], choice.get("token_ids")], sort_keys=True)

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        return list(pool.map(one, jobs))


def main():
    count, seed = (int(sys.argv[i]) if len(sys.argv) > i else value for i, value in ((1, 40), (2, 1)))
    rng = random.Random(seed)
    jobs, kinds = [], []
    for index, prompt in enumerate(prompts(count, rng)):
        for kind, settings in KINDS.items():
            jobs.append({"prompt": prompt, "max_tokens": rng.choice((8, 24, 48)), "logprobs": 2, "seed": index, "return_token_ids": True, **settings(rng)})
            kinds.append(kind)
    with server() as client:
        expected = answers(client, jobs)
    with server("--lookup") as client:
        found = answers(client, jobs)
        guessed, accepted = (client.metric(f"vllm:spec_decode_num_{name}_tokens_total") for name in ("draft", "accepted"))
    differing = [place for place, (a, b) in enumerate(zip(expected, found)) if a != b]
    for place in differing[:3]:
        print(f"{kinds[place]}: {jobs[place]}\n  without {expected[place][:300]}\n  with    {found[place][:300]}")
    assert accepted > count / 10, f"{accepted:.0f} guesses came true, too few for {count} prompts to show anything"
    print(f"{len(jobs)} answers to {count} prompts ({', '.join(KINDS)}), {accepted:.0f} of {guessed:.0f} guesses right: {len(differing)} differ")
    return bool(differing)


if __name__ == "__main__":
    sys.exit(main())
