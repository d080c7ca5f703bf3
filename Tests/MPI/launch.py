"""Starting `duality` on several ranks, and what the checks have in common."""

import os
import shutil
import signal
import subprocess
import sys
import time

DUALITY = os.environ.get("DUALITY", ".build-mpi/release/duality")
PROMPT = "Once upon a time there was a little fox named Pip."


def mpirun(ranks, *options):
    """The launcher of either library, for more ranks than processors too."""
    version = subprocess.run(["mpirun", "--version"], capture_output=True, text=True).stdout
    if "Open MPI" not in version:
        return ["mpirun", "-n", str(ranks), *options]
    root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
    return ["mpirun", *root, "--oversubscribe", "--bind-to", "none", "-n", str(ranks), *options]


def run(command, timeout=300, **options):
    """Standard output, standard error, exit status and seconds of a command."""
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, **options)
    return done.stdout, done.stderr, done.returncode, time.monotonic() - began


def duality(ranks, *arguments, options=(), **rest):
    """The same, of `duality` on `ranks` ranks; alone for 0."""
    launcher = mpirun(ranks, *options) if ranks else []
    return run([*launcher, DUALITY, *arguments], **rest)


def expect(condition, what, detail=""):
    if condition:
        print(f"ok    {what}", flush=True)
        return
    print(f"FAIL  {what}\n{detail}", flush=True)
    sys.exit(1)


def ranks_of(launcher):
    """Process ids of the ranks below a launcher, by rank."""
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = open(f"/proc/{entry}/environ", "rb").read().split(b"\0")
            executable = os.readlink(f"/proc/{entry}/exe")
        except OSError:
            continue
        values = dict(item.split(b"=", 1) for item in environment if b"=" in item)
        rank = values.get(b"OMPI_COMM_WORLD_RANK", values.get(b"PMI_RANK"))
        if rank is not None and os.path.realpath(executable) == os.path.realpath(DUALITY):
            if descends(int(entry), launcher):
                found[int(rank)] = int(entry)
    return found


def descends(process, ancestor):
    while process > 1:
        if process == ancestor:
            return True
        try:
            process = int(open(f"/proc/{process}/stat").read().rsplit(")", 1)[1].split()[1])
        except OSError:
            return False
    return False


class Running:
    """A command in the background; ended with the block."""

    def __init__(self, command, **options):
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()

    def wait(self, seconds):
        """Output, errors, status and seconds from now to its end."""
        began = time.monotonic()
        try:
            out, err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            return out, err, None, time.monotonic() - began
        return out, err, self.process.returncode, time.monotonic() - began


def need(*commands):
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        print(f"skip  needs {', '.join(missing)}")
        sys.exit(0)
