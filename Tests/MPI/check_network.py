"""Two network namespaces with two cables: the launcher has one, and messages go over TCP through the other, which is cut."""

import json
import os
import time

from launch import DUALITY, PROMPT, Running, duality, expect, is_open_mpi, need, ranks_of, run
from namespaces import NAMES, Namespaces, ip

need("ip", "mpirun")
if os.geteuid() != 0 or not is_open_mpi():
    print("skip  network namespaces need root, and their launcher is Open MPI's")
    raise SystemExit(0)


def wait_for_more(job, seconds=60):
    """Until more is on standard output than now."""
    before, deadline = len(job.text(job.out)), time.monotonic() + seconds
    while len(job.text(job.out)) == before and time.monotonic() < deadline:
        time.sleep(0.05)
    return len(job.text(job.out)) > before


def cable(state):
    ip("-n", NAMES[1], "link", "set", "duality0", state)


def ends_by_a_cut(job, what):
    """Cuts the cable and waits for all ranks to end under `--rank-timeout 3`; what the launcher says, its status, and how much later it ended."""
    cable("down")
    began = time.monotonic()
    while ranks_of() and time.monotonic() < began + 30:
        time.sleep(0.05)
    seconds = time.monotonic() - began
    expect(seconds <= 3 + 2, f"{what}, cable cut: all ranks have ended after {seconds:.1f} s", job.text(job.err))
    # The launcher takes some seconds more to end by itself.
    _, err, status, more = job.wait(30)
    return err, status, more


ends = ["--seed", "7", "--ignore-end", "--context", "200000", "--threads", "1"]
arguments = ["generate", PROMPT, "--seed", "7", "--max-tokens", "24", "--json", "--threads", "1"]
long = ["generate", PROMPT, "--max-tokens", "600", *ends]
endless = ["generate", PROMPT, "--max-tokens", "100000", *ends]
expected = json.loads(duality(0, *arguments)[0])["tokens"]
expected_long = duality(0, *long)[0]
with Namespaces() as namespaces:
    ranks = [*namespaces.launcher, os.path.abspath(DUALITY)]
    for cut in ["--tensor-parallel", "--pipeline-parallel"]:
        out, err, status, seconds = run([*ranks, *arguments, cut, "2"])
        expect(status == 0, f"{cut}: two namespaces over TCP ({seconds:.1f} s)", err)
        expect(json.loads(out)["tokens"] == expected, f"{cut}: the same tokens", out)

        # Down for less than a rank waits.
        with Running([*ranks, *long, cut, "2", "--rank-timeout", "30"]) as job:
            expect(job.wait_for_output(), f"{cut}: text comes", job.text(job.err))
            cable("down")
            time.sleep(4)
            still = len(job.text(job.out))
            cable("up")
            out, err, status, seconds = job.wait(90)
            expect(status == 0 and still < len(expected_long), f"{cut}: down for 4 s in {still} of {len(expected_long)} bytes, and at the end {seconds:.1f} s later", err)
            expect(out == expected_long, f"{cut}: the same text", out)

        for _ in range(3):
            with Running([*ranks, *endless, cut, "2", "--rank-timeout", "3"]) as job:
                expect(job.wait_for_output() and wait_for_more(job), f"{cut}: text comes", job.text(job.err))
                err, status, more = ends_by_a_cut(job, cut)
                expect(status == 3, f"{cut}: and their launcher {more:.1f} s later", err)
                expect("no answer from rank" in err and status not in (0, None), f"{cut}: the silent rank is named (exit {status})", err)
            cable("up")

    # Nobody has work.
    with Running([*ranks, "serve", "--port", "0", "--threads", "1", "--tensor-parallel", "2", "--rank-timeout", "3"]) as job:
        deadline = time.monotonic() + 60
        while "Serving" not in job.text(job.err) and job.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        if "trait Server" not in job.text(job.err):
            time.sleep(5)
            expect(len(ranks_of()) == 2, "an idle server goes on", job.text(job.err))
            err, status, _ = ends_by_a_cut(job, "idle")
            expect(status == 3 and "for 3 s between passes" in err, f"idle: the silent rank is named (exit {status})", err)
