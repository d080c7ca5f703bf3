"""lm-evaluation-harness against `duality serve`: it runs, and its log likelihoods are those of `duality evaluate` on the same task files
and those of `duality logits`, to 2e-4.

    python3 check_lm_eval.py            needs `lm-eval[api]` and a command with the server (DUALITY names it)
"""

import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy

from command import BINARY, ROOT, duality

os.environ["DUALITY"] = BINARY
sys.path.insert(0, str(ROOT / "Tests/Server"))
from client import server  # noqa: E402

TASKS = ROOT / "Tests/Fixtures/evaluation/lm-eval"
NAMES = ("own_mc", "own_roll", "own_gen")
LIMIT = 2e-4


def rows(task):
    """The harness is started in the folder of the task files, to which their data files are relative."""
    name = task.removeprefix("own_")
    return [json.loads(line) for line in (TASKS / f"{name}.jsonl").read_text().splitlines()]


def by_client(folder):
    """Samples of lm-eval, by task."""
    with server() as running:
        arguments = f"model={running.name},base_url={running.url}/v1/completions,tokenizer_backend=remote,max_length=8192,num_concurrent=4"
        command = [
            sys.executable, "-m", "lm_eval", "run", "--model", "local-completions", "--model_args", arguments, "--tasks", ",".join(NAMES),
            "--include_path", str(TASKS), "--output_path", str(folder / "out"), "--log_samples",
        ]
        offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder)}
        run = subprocess.run(command, capture_output=True, text=True, cwd=TASKS, env={**os.environ, **offline})
    assert run.returncode == 0, run.stderr[-3000:]
    samples = {}
    for name in NAMES:
        log = next((folder / "out").rglob(f"samples_{name}_*.jsonl"))
        samples[name] = sorted((json.loads(line) for line in log.read_text().splitlines()), key=lambda sample: sample["doc_id"])
    results = json.loads(next((folder / "out").rglob("results_*.json")).read_text())["results"]
    return samples, results


def by_evaluate(folder):
    tasks = ",".join(str(TASKS / f"{name}.yaml") for name in NAMES)
    results = json.loads(duality("evaluate", "--tasks", tasks, "--out", folder / "run", "--json"))["results"]
    samples = {name: {} for name in NAMES}
    for line in (folder / "run/samples.jsonl").read_text().splitlines():
        sample = json.loads(line)
        samples[sample["task"]][int(sample["id"])] = sample
    return samples, {result["task"]: result for result in results}


def encode(text):
    return json.loads(duality("tokenize", "--json", text))


def likelihood(tokens, start, folder):
    """Σ ln p of the tokens from `start` on, of what `duality logits` writes."""
    duality("logits", "--engine", "fast", "--precision", PRECISION, "--ids", ",".join(map(str, tokens)), "--out", folder / "logits.safetensors")
    data = (folder / "logits.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])["logits"]
    begin, end = header["data_offsets"]
    kind = {"F32": numpy.float32, "F64": numpy.float64}[header["dtype"]]
    logits = numpy.frombuffer(data[8 + size + begin : 8 + size + end], kind).reshape(header["shape"]).astype(numpy.float64)
    total = 0.0
    for i in range(start, len(tokens)):
        row = logits[i - 1]
        total += row[tokens[i]] - row.max() - math.log(numpy.exp(row - row.max()).sum())
    return total


def by_logits(folder):
    """The likelihoods of own_mc, a list a row, and of own_roll."""
    choices = []
    for row in rows("own_mc"):
        choices.append([])
        for choice in row["choices"]:
            # White space at the end of the context goes to the continuation.
            context = row["question"].rstrip()
            whole, head = encode(row["question"] + " " + choice), encode(context)
            choices[-1].append(likelihood(whole, len(head), folder))
    config = json.loads((ROOT / "Models/duality-tiny/tokenizer_config.json").read_text())
    first = encode(config.get("bos_token") or config["eos_token"])
    pages = [likelihood(first + encode(row["page"]), 1, folder) for row in rows("own_roll")]
    return choices, pages


def compare(name, found, expected):
    assert len(found) == len(expected), (name, found, expected)
    worst = max(abs(a - b) for a, b in zip(found, expected))
    assert worst < LIMIT, f"{name}: {worst} apart: {found} and {expected}"
    return worst


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        client, client_results = by_client(folder)
        own, own_results = by_evaluate(folder)
        choices, pages = by_logits(folder)
        worst = 0.0
        for i, sample in enumerate(client["own_mc"]):
            theirs = [float(answer[0][0]) for answer in sample["resps"]]
            worst = max(worst, compare(f"own_mc {i}, evaluate", theirs, own["own_mc"][i]["loglikelihoods"]))
            worst = max(worst, compare(f"own_mc {i}, logits", theirs, choices[i]))
        for i, sample in enumerate(client["own_roll"]):
            answer = sample["resps"][0][0]
            theirs = [float(answer[0] if isinstance(answer, list) else answer)]
            worst = max(worst, compare(f"own_roll {i}, evaluate", theirs, own["own_roll"][i]["loglikelihoods"]))
            worst = max(worst, compare(f"own_roll {i}, logits", theirs, pages[i : i + 1]))
        for i, sample in enumerate(client["own_gen"]):
            assert sample["resps"][0][0].strip() == own["own_gen"][i]["outputs"][0].strip(), (sample["resps"], own["own_gen"][i])
        for task, metric in (("own_mc", "acc"), ("own_mc", "acc_norm"), ("own_gen", "exact_match"), ("own_roll", "bits_per_byte"), ("own_roll", "word_perplexity")):
            theirs = client_results[task].get(f"{metric},none", client_results[task].get(f"{metric},strip"))
            ours = next(value for key, value in own_results[task]["metrics"].items() if key.split(",")[0] == metric)
            assert math.isclose(theirs, ours, rel_tol=1e-3, abs_tol=1e-9), (task, metric, theirs, ours)
    print(f"ok      lm-eval beside evaluate and logits: {worst:.1e} apart at most")
    return 0


PRECISION = os.environ.get("PRECISION", "bf16")

if __name__ == "__main__":
    sys.exit(main())
