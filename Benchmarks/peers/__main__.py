#!/usr/bin/env python3
"""Duality beside its peers on this machine: llama.cpp, ik_llama.cpp, OpenVINO, oneDNN, PyTorch.

    python3 Benchmarks/peers                    install and build, measure everything, write docs/performance.md and its plots
    python3 Benchmarks/peers --only dense,scan  some of it; what was measured before stays in the table
    python3 Benchmarks/peers --report           only write table and plots again

Everybody computes the same shapes with random weights, in turns, on the same threads. Results gather in results.json of the working directory,
with date and commit; the tables of docs/performance.md are written from there. The machine must be quiet: what else ran is shown. Measuring all takes about
40 minutes; installing needs pip's package index, a C++ compiler, 40 GB of disk with the models, 24 GB of memory for the 8B shape, and an hour.
"""
import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent))

import pages
import report
from engines import roofline
from install import ROOT, Installation
from measurements import LARGE, MEASUREMENTS
from timing import Samples, alternate


def commit(program):
    """The commit that is checked out where the program was built."""
    return subprocess.run(
        ["git", "-C", program.parent, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()


def prepared(contenders, parts):
    """Those whose names contain one of the parts (all, without any), each with what it needs; without those that cannot be had."""
    ready = {}
    for who, prepare in contenders.items():
        if parts and not any(part in who for part in parts.split(",")):
            continue
        try:
            ready[who] = prepare()
        except (subprocess.CalledProcessError, RuntimeError, OSError) as error:
            print(f"  {who} cannot be prepared and is left out: {error}", file=sys.stderr, flush=True)
    return ready


def measure(name, installation, arguments, results, path):
    """Measures one thing, and keeps what is known of it after every turn."""
    function, rounds, _ = MEASUREMENTS[name]
    print(f"{name}: {function.__doc__.splitlines()[0]}", file=sys.stderr, flush=True)
    contenders = prepared(function(installation, arguments.threads), arguments.who)
    if not contenders:
        print("  nobody to measure", file=sys.stderr, flush=True)
        return
    about = {"date": datetime.date.today().isoformat(), "commit": commit(installation.duality), "machine": pages.machine(),
             "threads": arguments.threads, "layers": arguments.layers or 36}
    found, earlier = {}, results.get(name, {})
    if arguments.more and all(earlier.get(key) == value for key, value in about.items()):
        found = {who: {test: Samples(old["repeats"], old["load_of_others"]) for test, old in tests.items()}
                 for who, tests in earlier["contenders"].items()}
    about["limits"] = roofline(installation, arguments.threads)

    def save():
        results[name] = about | {"contenders": {
            who: {test: samples.json() for test, samples in tests.items()} for who, tests in found.items()}}
        path.write_text(json.dumps(results, indent=1))

    alternate(contenders, arguments.rounds or rounds, found, save)


def main():
    parser = argparse.ArgumentParser(
        prog="python3 Benchmarks/peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAMES", help=f"measure these, separated by commas: {', '.join(MEASUREMENTS)}")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, help="turns of everybody (default: 1 to 3, by measurement)")
    parser.add_argument("--who", metavar="PARTS", help="install and measure only contenders whose names contain one of these, separated by commas; "
                             "rows of the table that need others say so")
    parser.add_argument("--layers", type=int, metavar="N", help="measure the 8B shape with N of its 36 layers, in 8b-prefill and 8b-decode")
    parser.add_argument("--more", action="store_true", help="add to what was measured of the same commit on the same day")
    parser.add_argument("--work", default=pathlib.Path(__file__).parent.parent / ".build/peers", metavar="DIR",
                        help="packages, builds, models and results (default: Benchmarks/.build/peers)")
    parser.add_argument("--no-build", action="store_true", help="measure our programs as they have been built")
    parser.add_argument("--duality", type=pathlib.Path, metavar="PROGRAM", help="measure this build of duality")
    parser.add_argument("--server", type=pathlib.Path, metavar="PROGRAM", help="serve with this build of duality")
    parser.add_argument("--report", action="store_true", help="measure nothing, write table and plots")
    parser.add_argument("--json", action="store_true", help="print what was measured as JSON")
    arguments = parser.parse_args()
    names = arguments.only.split(",") if arguments.only else list(MEASUREMENTS)
    if unknown := [name for name in names if name not in MEASUREMENTS]:
        parser.error(f"no measurement is called {unknown[0]}; there are {', '.join(MEASUREMENTS)}")

    installation = Installation(arguments.work)
    if arguments.duality:
        installation.duality = arguments.duality.resolve()
    if arguments.server:
        installation.server = arguments.server.resolve()
    if arguments.layers:
        LARGE.update({who: f"{shape}/{arguments.layers}" for who, shape in LARGE.items()})
    path = installation.work / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    if not arguments.report:
        if not arguments.no_build:
            installation.ours()
        for name in names:
            measure(name, installation, arguments, results, path)
    if arguments.json:
        print(json.dumps({name: results[name] for name in names if name in results}, indent=1))
    report.write(results, ROOT / "docs")


if __name__ == "__main__":
    main()
