#!/usr/bin/env python3
"""Two ranks of one thread beside one process of two threads, in alternation.

    make mpi
    .build-mpi/release/duality synthesize --shape hqwen3-0.6b --precision int8 --out .build/bench/hqwen3-0.6b
    python3 Benchmarks/parallel.py --model .build/bench/hqwen3-0.6b [--rounds 5] [--ranks 2] [--pipeline] [--json]

Every round runs `duality bench` both ways and prints tokens per second of both and their ratio. Both compute the same
bits; `make test-mpi` compares them.

    python3 Benchmarks/parallel.py --cases 1600 [--rounds 5] [--ranks 2] [--json]

shares out generated cases of `check`, and a suite of `verify` that it writes, among ranks with a core each, beside one
process on one core. Both print the same report, which is compared. Where others use the machine too, the seconds of
processor of the process that has most of them say what would be without: they are the second ratio.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

parser = argparse.ArgumentParser()
parser.add_argument("--model")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--ranks", type=int, default=2)
parser.add_argument("--prompt", type=int, default=512)
parser.add_argument("--generate", type=int, default=64)
parser.add_argument("--pipeline", action="store_true", help="ranks with layers of their own instead of rows")
parser.add_argument("--cases", type=int)
parser.add_argument("--json", action="store_true")
arguments = parser.parse_args()

DUALITY = os.environ.get("DUALITY", str(pathlib.Path(__file__).parent.parent / ".build-mpi/release/duality"))
MPIRUN = ["mpirun", *(["--allow-run-as-root"] if os.geteuid() == 0 else []), "--oversubscribe", "--bind-to", "none"]


def bench(ranks, threads, *more):
    command = [DUALITY, "bench", "--json", "--repeats", "1", "--threads", str(threads), "--prompt", str(arguments.prompt),
               "--generate", str(arguments.generate), *(["--model", arguments.model] if arguments.model else []), *more]
    if ranks > 1:
        command = [*MPIRUN, "-n", str(ranks), *command, "--pipeline-parallel" if arguments.pipeline else "--tensor-parallel", str(ranks)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(done.stderr)
    report = json.loads(done.stdout)
    return report["prompt_tokens_per_second"], report["generate_tokens_per_second"]


MEASURED = ["bash", "-c", 'TIMEFORMAT="processor %U %S"; time "$0" "$@"', DUALITY]


def timed(launcher, command):
    """Seconds, those of processor of the busiest process, and the report with its exit status."""
    began = time.perf_counter()
    done = subprocess.run([*launcher, *MEASURED, *command], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    used = [sum(map(float, line.split()[1:])) for line in done.stderr.splitlines() if line.startswith("processor ")]
    if done.returncode not in (0, 1) or not done.stdout or not used:
        raise SystemExit(done.stderr)
    return (seconds, max(used)), (done.stdout, done.returncode)


def results_of_scans(folder):
    """A suite of one shape, and float32 results."""
    suite, results = f"{folder}/suite", f"{folder}/results"
    shape = ["--heads", "16", "--head-dim", "64", "--state", "64", "--chunk", "128", "--length", "1024"]
    subprocess.run([DUALITY, "vectors", suite, *shape, "--kinds", "scan"], check=True, capture_output=True)
    os.mkdir(results)
    for case in json.load(open(f"{suite}/manifest.json"))["cases"]:
        options = [] if case["options"].get("dt_softplus", True) else ["--no-dt-softplus"]
        subprocess.run([DUALITY, "ssd", "--in", f"{suite}/{case['file']}", "--out", f"{results}/{case['file']}",
                        "--precision", "f32", *options], check=True, capture_output=True)
    return suite, results


def share_out():
    """`check` and `verify` of one process on one core, and of ranks with a core each."""
    alone = ["taskset", "-c", "0"]
    ranks = [*[option for option in MPIRUN if option not in ("--bind-to", "none", "--oversubscribe")],
            "--bind-to", "core", "-n", str(arguments.ranks)]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        suite, results = results_of_scans(folder)
        for what, command in {"check": ["check", "--cases", str(arguments.cases)], "verify": ["verify", suite, "--against", results]}.items():
            rounds = []
            for number in range(arguments.rounds):
                (one, first), (many, second) = timed(alone, command), timed(ranks, command)
                if first != second:
                    raise SystemExit(f"{what}: other reports on {arguments.ranks} ranks")
                rounds.append({"one": one, "ranks": many})
                if not arguments.json:
                    print(f"{what}, round {number + 1}: {one[0]:.2f} s and {many[0]:.2f} s ({one[0] / many[0]:.2f}), "
                          f"of processor {one[1]:.2f} and {many[1]:.2f} ({one[1] / many[1]:.2f})", flush=True)
            ratios = [statistics.median(row["one"][i] / row["ranks"][i] for row in rounds) for i in (0, 1)]
            found[what] = {"rounds": rounds, "ratio": ratios[0], "processor_ratio": ratios[1]}
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    medians = [f"{what} {row['ratio']:.2f} (of processor {row['processor_ratio']:.2f})" for what, row in found.items()]
    print(f"{arguments.ranks} ranks of one core against one, medians: {', '.join(medians)}")


if arguments.cases:
    share_out()
    raise SystemExit(0)

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
