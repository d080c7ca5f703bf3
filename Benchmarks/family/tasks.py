"""Scores on generated tasks by number format, with intervals, and whether a difference to bf16 is one.

The embedded model looks things up and is asked several tasks at several lengths. The family's models do not (Models/family/README.md): they
are asked two, which shows that no format invents a score.
"""
import sys

from program import FAMILY, ROOT

PRECISIONS = ("bf16", "int8", "int4")
EMBEDDED = ("niah_single_1,niah_single_2,niah_multikey_1,niah_multivalue,vt,babilong_qa1", "1K,2K,4K")
OTHERS = ("niah_single_2,babilong_qa1", "1K")


def measure(program, arguments, earlier, save):
    found = {"limit": arguments.limit, "models": earlier.get("models", {}) if earlier.get("limit") == arguments.limit else {}}
    for name in ("duality-tiny", *FAMILY):
        if arguments.only and name not in arguments.only.split(","):
            continue
        (asked, lengths) = EMBEDDED if name == "duality-tiny" else OTHERS
        model = ROOT / "Models" / (name if name == "duality-tiny" else f"family/{name}")
        entry = found["models"].setdefault(name, {})
        for precision in PRECISIONS:
            print(f"{name}, {precision}", file=sys.stderr, flush=True)
            # A run that was stopped goes on in its folder.
            folder = arguments.work / f"tasks-{arguments.limit}" / f"{name}-{precision}"
            result = program.json(
                "evaluate", model, "--tasks", asked, "--lengths", lengths, "--limit", arguments.limit, "--precision", precision,
                "--threads", program.threads, "--max-tokens", 40, "--out", folder)
            entry[precision] = [
                {key: row.get(key) for key in ("task", "length", "n", "score", "ci95")} for row in result["results"]]
            if precision != "bf16":
                compared = program.json("evaluate", "--compare", folder, arguments.work / f"tasks-{arguments.limit}" / f"{name}-bf16")
                entry[f"{precision} against bf16"] = compared["tasks"]
            save(found)
