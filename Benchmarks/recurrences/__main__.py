#!/usr/bin/env python3
"""The recurrences over a matrix-valued state beside other people's, in turns: L = 2048, 32 heads of 128, float32.

    python3 Benchmarks/recurrences [--rounds 5]    measure, write the table of docs/performance.md
    python3 Benchmarks/recurrences --prepare       only install and build what is measured

Gated DeltaNet beside ggml's operator and transformers' PyTorch form; Gated KalmaNet beside PyTorch of our own (kalma_torch.py says how). The least
time of each is compared, since other work on a machine only ever adds to it. A turn is one process; the first repetition of each is left out.
"""
import argparse
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path += [str(HERE.parent), str(HERE.parent / "peers")]

import pages
from install import ROOT, Installation

LENGTH, HEADS, DIM = 2048, 32, 128
# (operation, contender): how many times as long as ours it must take at least.
BARS = {
    ("Gated DeltaNet", "ggml"): 2, ("Gated DeltaNet", "transformers, PyTorch"): 5,
    ("Gated KalmaNet", "PyTorch, token by token"): 5, ("Gated KalmaNet", "PyTorch, chunks"): 5,
}
# Operations of one token and head: two for each multiply-add; of the delta rule three products and a multiplication by the decay, of Gated KalmaNet
# thirty products of the solver, and its two states.
OPERATIONS = {"Gated DeltaNet": 7 * DIM * DIM, "Gated KalmaNet": (30 * 2 + 5 + 5) * DIM * DIM}


def seconds_of(command):
    """What a process prints: a JSON list, or numbers."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout) if done.stdout.startswith("[") else list(map(float, done.stdout.split()))


def contenders(installation, python, threads):
    """{operation: {contender: command}}."""
    kernels, sizes = installation.products / "kernels", [threads, LENGTH, HEADS, DIM]
    return {
        "Gated DeltaNet": {
            "Duality": [kernels, "--threads", threads, "--delta", LENGTH, "--repeats", 9],
            "ggml": [installation.program("llama.cpp", "ggml_delta"), HEADS, DIM, LENGTH, threads, 9],
            "transformers, PyTorch": [python, HERE / "delta_torch.py", *sizes, 1],
        },
        "Gated KalmaNet": {
            "Duality": [kernels, "--threads", threads, "--kalma", LENGTH, "--repeats", 3],
            "PyTorch, chunks": [python, HERE / "kalma_torch.py", "chunked", *sizes, 1],
            "PyTorch, token by token": [python, HERE / "kalma_torch.py", "recurrent", *sizes, 1],
        },
    }


def table(found):
    lines = [f"{found['about']}; {found['threads']} threads, {found['rounds']} round{'s' if found['rounds'] > 1 else ''} of turns.", "",
             "| recurrence | who | least, ms | median, ms | times ours | bar | met |", "|---|---|---|---|---|---|---|"]
    for operation, entries in found["seconds"].items():
        ours = min(entries["Duality"])
        for who, seconds in entries.items():
            middle = sorted(seconds)[len(seconds) // 2]
            ratio, bar = min(seconds) / ours, BARS.get((operation, who))
            cells = [operation if who == "Duality" else "", who, f"{1e3 * min(seconds):.1f}", f"{1e3 * middle:.1f}"]
            if bar is None:
                rate = OPERATIONS[operation] * LENGTH * HEADS / ours
                cells += [f"{100 * rate / max(found['peak'][operation]):.0f} % of the float32 peak", "", ""]
            else:
                cells += [f"{ratio:.2f}", f">= {bar}", "yes" if ratio >= bar else "**no**"]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def main():
    parser = argparse.ArgumentParser(
        prog="python3 Benchmarks/recurrences", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=list(OPERATIONS), help="one of the two")
    parser.add_argument("--skip", default="", metavar="NAMES", help="contenders to leave out, separated by semicolons; their old figures are kept")
    parser.add_argument("--peers", type=pathlib.Path, default=ROOT / "Benchmarks/.build/peers", metavar="DIR", help="where Benchmarks/peers builds")
    parser.add_argument("--python", type=pathlib.Path, metavar="PROGRAM", help="an interpreter with torch and transformers (default: installed)")
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--no-build", action="store_true", help="measure our programs as they have been built")
    parser.add_argument("--no-report", action="store_true", help="print the table only")
    arguments = parser.parse_args()
    installation = Installation(arguments.peers)
    if not arguments.no_build:
        subprocess.run(["swift", "build", "-c", "release", "--package-path", "Benchmarks", "--product", "kernels"], cwd=ROOT, check=True)
    if arguments.python is None:
        installation.packages("transformers")
    python = arguments.python or installation.python
    commands = contenders(installation, python, arguments.threads)
    if arguments.prepare:
        return
    path = installation.work / "recurrences.json"
    earlier = json.loads(path.read_text()) if path.exists() else {}
    found = {"about": pages.words(pages.about(ROOT)), "threads": arguments.threads, "rounds": arguments.rounds, "seconds": earlier.get("seconds", {}),
             "peak": earlier.get("peak", {})}
    fresh = set()
    for turn in range(arguments.rounds):
        for operation, entries in commands.items():
            if arguments.only not in (None, operation):
                continue
            for who, command in entries.items():
                if who in arguments.skip.split(";"):
                    continue
                print(f"{operation}, {who}, round {turn + 1}", file=sys.stderr, flush=True)
                seconds = seconds_of(command)
                if who == "Duality":
                    found["peak"].setdefault(operation, []).append(seconds.pop())
                known = found["seconds"].setdefault(operation, {})
                known[who] = (known.get(who, []) if (operation, who) in fresh else []) + seconds
                fresh.add((operation, who))
                path.write_text(json.dumps(found, indent=1))
    lines = table(found)
    print("\n".join(lines))
    if not arguments.no_report:
        pages.write(ROOT / "docs/performance.md", "recurrences", lines)


if __name__ == "__main__":
    main()
