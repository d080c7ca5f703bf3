"""Two network namespaces with two cables: Open MPI's launcher has one, and messages go over TCP through the other."""

import os
import subprocess
import tempfile

NAMES = ["duality-a", "duality-b"]
# Of the launcher's cable; messages have 10.77.0.
ADDRESSES = ["10.78.0.1", "10.78.0.2"]
AGENT = f"""#!/bin/sh
# Called as a remote shell: host, command.
host=$1; shift
case $host in {ADDRESSES[0]}) name={NAMES[0]};; *) name={NAMES[1]};; esac
exec ip netns exec $name unshare -u sh -c "hostname $name; $*"
"""


def ip(*arguments, check=True):
    subprocess.run(["ip", *arguments], check=check, capture_output=True)


class Namespaces:
    """Both of them, removed with the block. Needs root."""

    def __enter__(self):
        self.remove()
        for name in NAMES:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        for cable, network in [("duality0", "10.77.0"), ("duality1", "10.78.0")]:
            ip("link", "add", cable, "netns", NAMES[0], "type", "veth", "peer", "name", cable, "netns", NAMES[1])
            for number, name in enumerate(NAMES, 1):
                ip("-n", name, "address", "add", f"{network}.{number}/24", "dev", cable)
                ip("-n", name, "link", "set", cable, "up")
        self.folder = tempfile.TemporaryDirectory()
        self.agent = f"{self.folder.name}/agent"
        with open(self.agent, "w") as file:
            file.write(AGENT)
        os.chmod(self.agent, 0o755)
        return self

    def __exit__(self, *_):
        self.remove()
        self.folder.cleanup()

    def remove(self):
        for name in NAMES:
            ip("netns", "delete", name, check=False)

    def hold_to(self, rate):
        """Lets no more through the cable of messages than a rate such as 1gbit."""
        for name in NAMES:
            subprocess.run(
                ["ip", "netns", "exec", name, "tc", "qdisc", "add", "dev", "duality0", "root", "tbf", "rate", rate, "burst", "128kb",
                 "latency", "400ms"], check=True, capture_output=True)

    @property
    def launcher(self):
        """A launcher in the first namespace with a rank in each."""
        return [
            "ip", "netns", "exec", NAMES[0], "unshare", "-u", "sh", "-c", f'hostname {NAMES[0]}; exec "$@"', "sh",
            "mpirun", "--allow-run-as-root", "--bind-to", "none", "--mca", "plm_rsh_agent", self.agent, "--mca", "btl", "self,tcp",
            "--mca", "btl_tcp_if_include", "10.77.0.0/24", "--mca", "oob_tcp_if_include", "10.78.0.0/24",
            "--host", ",".join(ADDRESSES), "-n", "2"]
