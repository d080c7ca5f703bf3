#!/usr/bin/env python3
"""Two ranks of one thread beside one process of two threads, in alternation.

    make mpi
    .build-mpi/release/duality synthesize --shape hqwen3-0.6b --precision int8 --out .build/bench/hqwen3-0.6b
    python3 Benchmarks/parallel.py --model .build/bench/hqwen3-0.6b [--rounds 5] [--ranks 2] [--json]

Every round runs `duality bench` both ways and prints tokens per second of both and their ratio. Both compute the same
bits; `make test-mpi` compares them.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess

parser = argparse.ArgumentParser()
parser.add_argument("--model")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--ranks", type=int, default=2)
parser.add_argument("--prompt", type=int, default=512)
parser.add_argument("--generate", type=int, default=64)
parser.add_argument("--json", action="store_true")
arguments = parser.parse_args()

DUALITY = os.environ.get("DUALITY", str(pathlib.Path(__file__).parent.parent / ".build-mpi/release/duality"))
MPIRUN = ["mpirun", *(["--allow-run-as-root"] if os.geteuid() == 0 else []), "--oversubscribe", "--bind-to", "none"]


def bench(ranks, threads, *more):
    command = [DUALITY, "bench", "--json", "--repeats", "1", "--threads", str(threads), "--prompt", str(arguments.prompt),
               "--generate", str(arguments.generate), *(["--model", arguments.model] if arguments.model else []), *more]
    if ranks > 1:
        command = [*MPIRUN, "-n", str(ranks), *command, "--tensor-parallel", str(ranks)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(done.stderr)
    report = json.loads(done.stdout)
    return report["prompt_tokens_per_second"], report["generate_tokens_per_second"]


rounds = []
for number in range(arguments.rounds):
    one, many = bench(1, arguments.ranks), bench(arguments.ranks, 1)
    rounds.append({"one": one, "ranks": many})
    if not arguments.json:
        print(f"round {number + 1}: prompt {one[0]:.1f} and {many[0]:.1f} tokens/s ({many[0] / one[0]:.2f}), "
              f"generation {one[1]:.2f} and {many[1]:.2f} ({many[1] / one[1]:.2f})", flush=True)
ratios = [statistics.median(row["ranks"][i] / row["one"][i] for row in rounds) for i in (0, 1)]
if arguments.json:
    print(json.dumps({"rounds": rounds, "prompt_ratio": ratios[0], "generate_ratio": ratios[1]}, indent=2))
else:
    print(f"{arguments.ranks} ranks against {arguments.ranks} threads, medians: prompt {ratios[0]:.2f}, generation {ratios[1]:.2f}")
