#!/usr/bin/env python3
"""Two ranks of one thread beside one process of two threads, in alternation.

    make mpi
    .build-mpi/release/duality synthesize --shape hqwen3-0.6b --precision int8 --out .build/bench/hqwen3-0.6b
    python3 Benchmarks/parallel.py --model .build/bench/hqwen3-0.6b [--rounds 5] [--ranks 2] [--pipeline] [--json]

Every round runs `duality bench` both ways and prints tokens per second of both and their ratio. Both compute the same
bits; `make test-mpi` compares them.

    python3 Benchmarks/parallel.py --model .build/bench/hqwen3-0.6b --network tcp [--rounds 5]

has the two ranks in two network namespaces, over TCP, or with `--network 1gbit` over TCP held to that (as root, with
Open MPI and tc), and with `--network memory` where they were. Of every round it takes what ranks measure of the network
and one process of the memory, and prints what `duality family` predicts of generation from them.

    python3 Benchmarks/parallel.py --cases 1600 [--rounds 5] [--ranks 2] [--json]

shares out generated cases of `check`, and a suite of `verify` that it writes, among ranks with a core each, beside one
process on one core. Both print the same report, which is compared. Where others use the machine too, the seconds of
processor of the process that has most of them say what would be without: they are the second ratio.
"""
import argparse
import contextlib
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "Tests/MPI"))
from namespaces import Namespaces

parser = argparse.ArgumentParser()
parser.add_argument("--model")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--ranks", type=int, default=2)
parser.add_argument("--prompt", type=int, default=512)
parser.add_argument("--generate", type=int, default=64)
parser.add_argument("--pipeline", action="store_true", help="ranks with layers of their own instead of rows")
parser.add_argument("--network", choices=["memory", "tcp", "1gbit"], help="between two ranks, with predictions")
parser.add_argument("--cases", type=int)
parser.add_argument("--json", action="store_true")
arguments = parser.parse_args()
if arguments.network and not arguments.model:
    parser.error("--network needs --model: the model that is measured is the one that is predicted")

DUALITY = os.path.abspath(os.environ.get("DUALITY", pathlib.Path(__file__).parent.parent / ".build-mpi/release/duality"))
MPIRUN = ["mpirun", *(["--allow-run-as-root"] if os.geteuid() == 0 else []), "--oversubscribe", "--bind-to", "none"]


def bench(ranks, threads, *more, launcher=()):
    """The report, and what was said beside it."""
    command = [DUALITY, "bench", "--json", "--repeats", "1", "--threads", str(threads), "--prompt", str(arguments.prompt),
               "--generate", str(arguments.generate), *(["--model", arguments.model] if arguments.model else []), *more]
    if ranks > 1:
        command = [*(launcher or [*MPIRUN, "-n", str(ranks)]), *command, "--pipeline-parallel" if arguments.pipeline else "--tensor-parallel", str(ranks)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout), done.stderr


def speeds(report):
    return report["prompt_tokens_per_second"], report["generate_tokens_per_second"]


def predicted(network, bandwidth):
    """Tokens per second of one host and of two, generated."""
    command = [DUALITY, "family", "--hosts", "2", "--network", network, "--bandwidth", str(bandwidth), "--json",
               "--model", arguments.model]
    hosts = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["hosts"]
    return [row["decode_tokens_per_second"] for row in hosts]


def over_network():
    """Generation of two ranks beside two threads, and what is predicted of both."""
    with contextlib.ExitStack() as stack:
        launcher = ()
        if arguments.network != "memory":
            namespaces = stack.enter_context(Namespaces())
            launcher = namespaces.launcher
            if arguments.network == "1gbit":
                namespaces.hold_to("1gbit")
        rounds = []
        for number in range(arguments.rounds):
            one, _ = bench(1, 2, "--roofline")
            many, said = bench(2, 1, launcher=launcher)
            start, rate = re.search(r"auto \(([\d.]+) ms per exchange, ([\d.]+) GB/s\)", said).groups()
            bandwidth = one["limits"]["read_gbps"]
            # Ranks of one host have a half of its memory's rate each.
            network = f"{float(start) * 1e3:g}:{rate}"
            row = {"one": speeds(one), "ranks": speeds(many), "network": network, "bandwidth": bandwidth,
                   "predicted": [predicted(network, bandwidth)[0], predicted(network, bandwidth / 2)[1]]}
            rounds.append(row)
            if not arguments.json:
                print(f"round {number + 1}: {bandwidth:.1f} GB/s, {float(start) * 1e3:.0f} us and {rate} GB/s; generation "
                      f"{row['one'][1]:.2f} (predicted {row['predicted'][0]:.2f}) and {row['ranks'][1]:.2f} ({row['predicted'][1]:.2f}); "
                      f"prompt {row['one'][0]:.1f} and {row['ranks'][0]:.1f}", flush=True)
    ratio = statistics.median(row["ranks"][1] / row["one"][1] for row in rounds)
    off = [statistics.median(row["predicted"][i] / row[what][1] for row in rounds) for i, what in enumerate(["one", "ranks"])]
    if arguments.json:
        print(json.dumps({"rounds": rounds, "generate_ratio": ratio, "predicted_over_measured": off}, indent=2))
        return
    print(f"{arguments.network}, medians: generation of ranks against threads {ratio:.2f}; predicted over measured {off[0]:.2f} of threads, "
          f"{off[1]:.2f} of ranks")


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


if arguments.cases or arguments.network:
    share_out() if arguments.cases else over_network()
    raise SystemExit(0)

rounds = []
for number in range(arguments.rounds):
    one, many = speeds(bench(1, arguments.ranks)[0]), speeds(bench(arguments.ranks, 1)[0])
    rounds.append({"one": one, "ranks": many})
    if not arguments.json:
        print(f"round {number + 1}: prompt {one[0]:.1f} and {many[0]:.1f} tokens/s ({many[0] / one[0]:.2f}), "
              f"generation {one[1]:.2f} and {many[1]:.2f} ({many[1] / one[1]:.2f})", flush=True)
ratios = [statistics.median(row["ranks"][i] / row["one"][i] for row in rounds) for i in (0, 1)]
if arguments.json:
    print(json.dumps({"rounds": rounds, "prompt_ratio": ratios[0], "generate_ratio": ratios[1]}, indent=2))
else:
    print(f"{arguments.ranks} ranks against {arguments.ranks} threads, medians: prompt {ratios[0]:.2f}, generation {ratios[1]:.2f}")
