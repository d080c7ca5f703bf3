"""What the six 8B shapes reach of this machine's limits in int8: a prompt of 512 tokens of the int8 peak, one token of the read bandwidth.

Four layers of each shape with random weights, and embedding and head; operations and bytes are those of the matrices alone. Limits are taken in each call.
"""
import shutil
import sys

from speed import SHAPES

LAYERS = 4
# What is wanted of a prompt, in per cent of the peak; of the others it is only said.
PROMPT_BARS = {"Mamba-2": 65, "Gated DeltaNet": 65, "sliding window": 65}
TOKEN_BAR = 85


def measure(program, arguments, earlier, save):
    found = {"shares": earlier.get("shares", {})}
    for turn in range(arguments.rounds):
        for name, shape in SHAPES.items():
            if arguments.only and name not in arguments.only.split(","):
                continue
            print(f"{name}, turn {turn + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
            folder = arguments.work / f"{shape}-{LAYERS}"
            if not (folder / "config.json").exists():
                program.run("synthesize", "--shape", shape, "--layers", LAYERS, "--precision", "int8", "--out", folder)
            run = program.json(
                "bench", "--model", folder, "--resident", "--roofline", "--threads", program.threads, "--prompt", 512, "--generate", 32, "--repeats", 3)
            shutil.rmtree(folder)
            rates = {test["test"].split(" ")[0]: (test["tokens_per_second"], test["share_of_limit"]) for test in run["tests"]}
            found["shares"].setdefault(name, []).append({"prompt": rates["pp512"], "token": rates["tg32"], "limits": run["limits"]})
            save(found)


def lines(found):
    rows = ["| shape, 4 layers | prompt of 512, tokens/s | share of the int8 peak | bar | generation, tokens/s | share of reading | bar |", "|---|---|---|---|---|---|---|"]
    for name, runs in found["shares"].items():
        cells = [name]
        for kind, bar in (("prompt", PROMPT_BARS.get(name)), ("token", TOKEN_BAR)):
            rate, share = sorted((run[kind] for run in runs), key=lambda value: value[1])[len(runs) // 2]
            met = "" if bar is None else f"{bar} %, " + ("met" if 100 * share >= bar else "**not met**")
            cells += [f"{rate:.0f}" if rate >= 100 else f"{rate:.1f}", f"{100 * share:.0f} %", met]
        rows.append("| " + " | ".join(cells) + " |")
    limits = [run["limits"] for runs in found["shares"].values() for run in runs]
    low, high = ({key: pick(limit[key] for limit in limits) for key in ("int8_tops", "read_gbps")} for pick in (min, max))
    about = f"{found['machine']}; {found['threads']} threads, {found['instruction_set']}. Commit {found['commit']} on {found['date']}. Limits: int8 " \
        f"{low['int8_tops']:.2f} to {high['int8_tops']:.2f} TOPS, read {low['read_gbps']:.1f} to {high['read_gbps']:.1f} GB/s."
    return [about, "", *rows]
