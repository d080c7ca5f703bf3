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


arguments = ["generate", PROMPT, "--seed", "7", "--max-tokens", "24", "--json", "--threads", "1"]
expected = json.loads(duality(0, *arguments)[0])["tokens"]
endless = ["generate", PROMPT, "--seed", "7", "--max-tokens", "100000", "--ignore-end", "--context", "200000", "--tensor-parallel", "2", "--threads", "1"]
try:
    build()
    with tempfile.TemporaryDirectory() as folder:
        agent = f"{folder}/agent"
        with open(agent, "w") as file:
            file.write(AGENT)
        os.chmod(agent, os.stat(agent).st_mode | stat.S_IXUSR)
        out, err, status, seconds = run([*launcher(agent), os.path.abspath(DUALITY), *arguments, "--tensor-parallel", "2"])
        expect(status == 0, f"two namespaces over TCP ({seconds:.1f} s)", err)
        expect(json.loads(out)["tokens"] == expected, "the same tokens", out)
        with Running([*launcher(agent), os.path.abspath(DUALITY), *endless, "--rank-timeout", "3"]) as job:
            expect(job.wait_for_output(), "text comes", job.text(job.err))
            ip("-n", NAMES[1], "link", "set", "duality0", "down")
            began = time.monotonic()
            while ranks_of() and time.monotonic() < began + 30:
                time.sleep(0.05)
            # The launcher takes some seconds more to end by itself.
            seconds = time.monotonic() - began
            expect(seconds <= 3 + 2, f"cable cut: all ranks have ended after {seconds:.1f} s", job.text(job.err))
            out, err, status, more = job.wait(30)
            expect(status == 3, f"and their launcher {more:.1f} s later", err)
            expect("no answer from rank" in err and status not in (0, None), f"the silent rank is named (exit {status})", err)
finally:
    remove()
