"""Two network namespaces with two cables: the launcher has one, and messages go over TCP through the other, which is cut."""

import json
import os
import stat
import subprocess
import tempfile
import time

from launch import DUALITY, PROMPT, Running, duality, expect, is_open_mpi, need, ranks_of, run

need("ip", "mpirun")
if os.geteuid() != 0 or not is_open_mpi():
    print("skip  network namespaces need root, and their launcher is Open MPI's")
    raise SystemExit(0)

NAMES = ["duality-a", "duality-b"]
# Of the launcher's cable; messages have 10.77.0.
ADDRESSES = ["10.78.0.1", "10.78.0.2"]


def ip(*arguments, check=True):
    subprocess.run(["ip", *arguments], check=check, capture_output=True)


def remove():
    for name in NAMES:
        ip("netns", "delete", name, check=False)


def build():
    remove()
    for name in NAMES:
        ip("netns", "add", name)
        ip("-n", name, "link", "set", "lo", "up")
    for cable, network in [("duality0", "10.77.0"), ("duality1", "10.78.0")]:
        ip("link", "add", cable, "netns", NAMES[0], "type", "veth", "peer", "name", cable, "netns", NAMES[1])
        for number, name in enumerate(NAMES, 1):
            ip("-n", name, "address", "add", f"{network}.{number}/24", "dev", cable)
            ip("-n", name, "link", "set", cable, "up")


AGENT = f"""#!/bin/sh
# Called as a remote shell: host, command.
host=$1; shift
case $host in {ADDRESSES[0]}) name={NAMES[0]};; *) name={NAMES[1]};; esac
exec ip netns exec $name unshare -u sh -c "hostname $name; $*"
"""


def launcher(agent):
    """A launcher in the first namespace with a rank in each."""
    return [
        "ip", "netns", "exec", NAMES[0], "unshare", "-u", "sh", "-c", f'hostname {NAMES[0]}; exec "$@"', "sh",
        "mpirun", "--allow-run-as-root", "--bind-to", "none", "--mca", "plm_rsh_agent", agent, "--mca", "btl", "self,tcp",
        "--mca", "btl_tcp_if_include", "10.77.0.0/24", "--mca", "oob_tcp_if_include", "10.78.0.0/24",
        "--host", ",".join(ADDRESSES), "-n", "2"]


def wait_for_more(job, seconds=60):
    """Until more is on standard output than now."""
    before, deadline = len(job.text(job.out)), time.monotonic() + seconds
    while len(job.text(job.out)) == before and time.monotonic() < deadline:
        time.sleep(0.05)
    return len(job.text(job.out)) > before


def cable(state):
    ip("-n", NAMES[1], "link", "set", "duality0", state)


ends = ["--seed", "7", "--ignore-end", "--context", "200000", "--threads", "1"]
arguments = ["generate", PROMPT, "--seed", "7", "--max-tokens", "24", "--json", "--threads", "1"]
long = ["generate", PROMPT, "--max-tokens", "600", *ends]
endless = ["generate", PROMPT, "--max-tokens", "100000", *ends]
expected = json.loads(duality(0, *arguments)[0])["tokens"]
expected_long = duality(0, *long)[0]
try:
    build()
    with tempfile.TemporaryDirectory() as folder:
        agent = f"{folder}/agent"
        with open(agent, "w") as file:
            file.write(AGENT)
        os.chmod(agent, os.stat(agent).st_mode | stat.S_IXUSR)
        ranks = [*launcher(agent), os.path.abspath(DUALITY)]
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
                    cable("down")
                    began = time.monotonic()
                    while ranks_of() and time.monotonic() < began + 30:
                        time.sleep(0.05)
                    # The launcher takes some seconds more to end by itself.
                    seconds = time.monotonic() - began
                    expect(seconds <= 3 + 2, f"{cut}, cable cut: all ranks have ended after {seconds:.1f} s", job.text(job.err))
                    out, err, status, more = job.wait(30)
                    expect(status == 3, f"{cut}: and their launcher {more:.1f} s later", err)
                    expect("no answer from rank" in err and status not in (0, None), f"{cut}: the silent rank is named (exit {status})", err)
                cable("up")
finally:
    remove()
