"""Cases shared out among ranks with a whole model each: the reports of one process."""

import json
import os
import tempfile

from launch import duality, expect


def report(path):
    """What a run found, without how long it took."""
    found = json.load(open(f"{path}/results.json"))
    for item in [found, *found["results"]]:
        item.pop("seconds", None)
    return found


def samples(path):
    return sorted(open(f"{path}/samples.jsonl"))


tasks = ["--tasks", "niah_single_1,vt", "--lengths", "256", "--count", "4", "--max-tokens", "8", "--threads", "1"]
with tempfile.TemporaryDirectory() as folder:
    for ranks in [0, 2, 3]:
        out, err, status, seconds = duality(ranks, "evaluate", *tasks, "--out", f"{folder}/run{ranks}")
        expect(status == 0, f"evaluate on {max(ranks, 1)} ranks ({seconds:.1f} s)", err)
    for ranks in [2, 3]:
        expect(report(f"{folder}/run{ranks}") == report(f"{folder}/run0"), f"the same results on {ranks} ranks", str(report(f"{folder}/run{ranks}")))
        expect(samples(f"{folder}/run{ranks}") == samples(f"{folder}/run0"), f"the same samples on {ranks} ranks")
    out, err, status, _ = duality(2, "evaluate", *tasks, "--out", f"{folder}/run0")
    expect(status == 0 and report(f"{folder}/run0")["results"] == report(f"{folder}/run2")["results"], "nothing left to ask", err)
    out, err, status, _ = duality(2, "evaluate", *tasks, "--out", f"{folder}/dry", "--dry-run")
    expect(status == 0 and not os.path.exists(f"{folder}/dry"), "the cost of a run, said once", err)
