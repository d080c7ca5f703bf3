#!/usr/bin/env python3
"""The family of layers on this machine: what the model card's efficiency table looks like on a CPU, and what number formats cost.

    python3 Benchmarks/family speed      six 8B shapes in int8: decoding behind 16K to 128K tokens and time to the first token
    python3 Benchmarks/family shares     the same shapes: a prompt and a token as shares of the machine's limits
    python3 Benchmarks/family formats    the trained family: KL, top-1 and perplexity of each format against float64
    python3 Benchmarks/family tasks      scores on generated tasks in int8, int4 and bf16, with intervals
    python3 Benchmarks/family report     write the tables of docs/performance.md and docs/evaluation.md and the plot again

Results gather in results.json of the working directory, with date and commit. `speed` wants a quiet machine, 8 GB of memory and of disk,
and at 128K three hours of two cores (`--lengths 16384,32768` half an hour); the others compute the same on any machine, in an hour or two.
"""
import argparse
import json
import os
import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent))

import formats
import pages
import report
import shares
import speed
import tasks
from program import ROOT, Program

PARTS = {"speed": speed.measure, "shares": shares.measure, "formats": formats.measure, "tasks": tasks.measure}


def about(program, threads):
    return pages.about(ROOT) | {"threads": threads, "instruction_set": program.instruction_set()}


def main():
    parser = argparse.ArgumentParser(
        prog="python3 Benchmarks/family", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=[*PARTS, "report"])
    parser.add_argument("--duality", type=pathlib.Path, metavar="PROGRAM", help="measure this build of duality (default: build one)")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "Benchmarks/.build/family", metavar="DIR")
    parser.add_argument("--lengths", default="16384,32768,65536,131072", help="speed: tokens of context")
    parser.add_argument("--rounds", type=int, default=1, help="speed, shares: turns of all shapes, one after another")
    parser.add_argument("--only", help="speed, shares, formats, tasks: these models, separated by commas")
    parser.add_argument("--tokens", type=int, default=16384, help="formats: tokens of the held-out text, in windows of 2048")
    parser.add_argument("--limit", type=int, default=32, help="tasks: rows of each task and length")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    path = arguments.work / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    if arguments.part != "report":
        program = Program(arguments.duality, arguments.threads)

        def save(found):
            results[arguments.part] = about(program, arguments.threads) | found
            path.write_text(json.dumps(results, indent=1))

        PARTS[arguments.part](program, arguments, results.get(arguments.part, {}), save)
    report.write(results, ROOT / "docs")


if __name__ == "__main__":
    main()
